"""The tables that predicting reads and writes, and what stands in for those that nobody has made yet."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.contract.conversion import Conversion, PredictedValue
from conversions_assets.contract.stage import ONE_DAY, Run
from conversions_assets.prediction.columns import MODELS, SCORED_DAYS, SCORES
from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
MICROS_PER_DAY = 86_400_000_000
_NO_LEDGER = ("id", "after", "day_after", "version")
_NO_PUBLISHED = ("id", "params", "day", "first_published_at")
Tables = dict[str, Table | exp.Query]


def create_tables(warehouse: Warehouse, conversion: Conversion) -> None:
    """Make the conversion's tables of the dataset `predicted` unless they are there."""
    warehouse.create_table(conversion.scores, SCORES)
    warehouse.create_table(conversion.scored_days, SCORED_DAYS, by_day=False)
    warehouse.create_table(conversion.models, MODELS)


def cut_off(warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue, run: Run) -> datetime | None:
    """Until when targets are known: the end of the newest published day of the target, and at most the run's day.

    None where no day of the target was ever published.
    """
    if warehouse.columns(predicted.published_target_days) is None:
        return None
    newest = exp.select(exp.func("MAX", exp.column("day")).as_("day")).from_(predicted.published_target_days.expression)
    day: date | None = warehouse.query(Statement(newest))[0]["day"]
    return None if day is None else conversion.project.midnight(min(day + ONE_DAY, run.local_date))


def reading(warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue) -> Tables:
    """What linking and features read: leads, targets, and the conversion's own ledger where there is one."""
    published = warehouse.columns(conversion.published) is not None
    return {
        "stored": conversion.stored,
        "published": conversion.published if published else _nothing(_NO_PUBLISHED),
        "ledger": conversion.ledger if published else _nothing(_NO_LEDGER),
        "leads": _query("all_leads.sql", {"stored": conversion.stored}),
        "targets": _query("targets.sql", {"published": predicted.published_targets}),
    }


def link(
    warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue, tables: Tables, until: datetime
) -> None:
    """Leave `linked` in the session: the targets of each lead as they are known at the cut-off (R26)."""
    params = {
        "cut_off": until,
        "window_micros": predicted.window_days * MICROS_PER_DAY,
        "link_first": predicted.link == "first",
        "link_all": predicted.link == "all",
        "latest_wins": conversion.dedup == "latest",
    }
    warehouse.execute(bind(HERE / "linking.sql", tables, params))


def _query(file: str, tables: Tables) -> exp.Query:
    [statement] = bind(HERE / file, tables, {})
    tree = statement.tree
    assert isinstance(tree, exp.Query)
    return tree


def _nothing(columns: tuple[str, ...]) -> exp.Query:
    kinds = {"params": "ARRAY<STRUCT<key STRING, value STRING>>", "day": "DATE", "day_after": "DATE"}
    kinds |= {"first_published_at": "TIMESTAMP", "version": "INT64"}
    empty: list[Any] = [
        exp.cast(exp.null(), exp.DataType.build(kinds.get(name, "STRING"), dialect="bigquery")).as_(name)
        for name in columns
    ]
    return exp.select(*empty).where(exp.false())
