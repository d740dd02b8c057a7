"""Random histories: the product does what the small model of R14-R22 does, version for version."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from conversions_assets.adjustment import publish
from conversions_assets.contract import materialise, stage, suite
from conversions_assets.project import Project, Thresholds
from conversions_assets.warehouse import duckdb as engine
from conversions_assets.warehouse.base import Statement
from conversions_assets_tests.adjustment.model import Model, as_text, replayed
from conversions_assets_tests.shop import Shop, make_shop, order

IDS = "abcd"
START = date(2026, 1, 20)
LENIENT = Project(timezone="UTC", currency="EUR", thresholds=Thresholds(quarantined_share=1, conflicting_ids_share=1))
COMPARED = (
    *("id", "client_id", "created", "value", "currency", "is_qualified", "day", "status", "adjustment_type"),
    *("adjustment_reason", "original_value", "previous_value", "previous_currency", "adjustment_count"),
)
DRIFT = ("id", "day", "kind", "field", "frozen_value", "crm_value", "value_delta", "currency")

# An edit of one id between two loads: (what, an argument). Days are told as days before r; -1 is after the open day.
days_ago = st.integers(-1, 14)
edits = st.one_of(
    st.tuples(st.just("insert"), days_ago),
    st.tuples(st.just("move"), days_ago),
    st.tuples(st.just("again on"), days_ago),
    st.tuples(st.just("once"), st.none()),
    st.tuples(st.just("value"), st.sampled_from([10.0, 25.0, None])),
    st.tuples(st.just("currency"), st.sampled_from(["EUR", "USD", "???"])),
    st.tuples(st.just("is_qualified"), st.sampled_from([None, True])),
    st.tuples(st.just("client_id"), st.sampled_from(["1.2", "3.4"])),
    st.tuples(st.just("status"), st.sampled_from(["confirmed", "cancelled"])),
)
steps = st.fixed_dictionaries(
    {
        "edits": st.dictionaries(st.sampled_from(IDS), st.lists(edits, min_size=1, max_size=2), max_size=len(IDS)),
        "days later": st.integers(0, 4),
        "window": st.sampled_from([None, None, None, 0, 3, 10]),
        "last": st.integers(1, 6),
        "length": st.sampled_from([1, 2, 4, 8, 16]),
        "audit": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """The rules alone: statements are completed and translated once, and the contract (tested elsewhere) finds no fault."""
    bound: dict[str, list[Statement]] = {}
    translated: dict[int, str] = {}
    real_bind, real_translation = publish.bind, engine.to_duckdb

    def bind(path: Path, tables: Mapping[str, Any], params: Mapping[str, Any], columns: Any = None) -> list[Statement]:
        filled = {name: value for name, value in params.items() if isinstance(value, list | tuple)}
        placed = {name: table.sql() if isinstance(table, exp.Expression) else table for name, table in tables.items()}
        key = repr((path, placed, filled, columns and list(columns)))
        bound[key] = bound.get(key) or real_bind(path, tables, dict.fromkeys(params, "") | filled, columns)
        return [Statement(s.tree, {name: params[name] for name in s.params}) for s in bound[key]]

    def to_duckdb(tree: exp.Expression) -> str:
        if not any(tree is s.tree for statements in bound.values() for s in statements):
            return real_translation(tree)
        translated[id(tree)] = translated.get(id(tree)) or real_translation(tree)
        return translated[id(tree)]

    with pytest.MonkeyPatch.context() as patch:
        for station in (stage, materialise, publish):
            patch.setattr(station, "bind", bind)
        patch.setattr(engine, "to_duckdb", to_duckdb)
        patch.setattr(suite, "validate", lambda *_: ())
        patch.setattr(suite, "preload", lambda: None)
        yield


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(
    window=st.sampled_from([0, 3, 10]),
    dedup=st.sampled_from(["earliest", "earliest", "latest"]),
    history=st.lists(steps, min_size=2, max_size=6),
)
def test_r14_to_r22_any_history_is_published_as_the_model_says(
    quick: None, window: int, dedup: str, history: Sequence[Mapping[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shop = make_shop(Path(folder), window_days=window, project=LENIENT)
        shop.configure(dedup=dedup)
        model, crm, r = Model(latest_wins=dedup == "latest"), {}, START
        for number, step in enumerate(history):
            r += timedelta(days=step["days later"])
            window = window if step["window"] is None else step["window"]
            for id, changes in step["edits"].items():
                for change in changes:
                    crm[id] = _edited(crm.get(id, []), id, r, *change)
            rows = [row for id in crm for row in crm[id]]
            last = r - timedelta(days=step["last"])
            first = last - timedelta(days=step["length"] - 1)
            shop.now = datetime.combine(r, time(6), UTC)
            shop.configure(window_days=window)
            shop.set_orders(rows)
            shop.update(first, last)
            model.run(_with_future(rows, shop.now), r, window, first, last)
            _same(shop, model, f"step {number}: r {r}, W {window}, run over {first} to {last}")
            if step["audit"]:
                shop.audit()
                model.audit(_with_future(rows, shop.now), r, window)
                _same(shop, model, f"step {number}: audit at r {r}, W {window}")


def _edited(rows: list[dict[str, Any]], id: str, r: date, what: str, argument: Any) -> list[dict[str, Any]]:
    """The rows of one id after an edit in the CRM: none, one, or two on different days."""
    match what:
        case "insert":
            return rows or [order(id, _at(r, argument), currency="EUR")]
        case "move":
            return [{**row, "created": _at(r, argument)} for row in rows[:1]]
        case "again on":
            again = [{**row, "created": _at(r, argument), "value": 40.0} for row in rows[:1]]
            return rows[:1] + [row for row in again if row["created"].date() != rows[0]["created"].date()]
        case "once":
            return rows[-1:]
        case _:
            return [{**row, what: argument} for row in rows]


def _at(r: date, days: int) -> datetime:
    # three o'clock is before the run of the day, nine o'clock after it
    return datetime.combine(r - timedelta(days=days), time(3 if days % 2 else 9), UTC)


def _with_future(rows: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """R6: what lies after the load and 15 minutes is refused."""
    return [{**row, "future": row["created"] > now + timedelta(minutes=15)} for row in rows]


def _same(shop: Shop, model: Model, where: str) -> None:
    with duckdb.connect(str(shop.path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table, ledger, drift = (_rows(connection, name) for name in ('"order"', "order_changes", "order_drift"))
    assert {row["id"]: {name: row[name] for name in COMPARED} for row in table} == {
        id: {name: row[name] for name in COMPARED} for id, row in model.published.items()
    }, where
    entries = ("id", "version", "reason", "day_before", "day_after", "value_delta")
    assert sorted(tuple(row[name] for name in entries) for row in ledger) == sorted(model.ledger), where
    for row in drift:
        row["frozen_value"], row["crm_value"] = as_text(row["frozen_value"]), as_text(row["crm_value"])
    listed = sorted((tuple(row[name] for name in DRIFT) for row in drift), key=repr)
    assert listed == sorted({row[1:] for row in model.drift}, key=repr), where
    assert replayed(ledger) == {row["id"]: row for row in table}, where


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM adjusted.{name}")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
