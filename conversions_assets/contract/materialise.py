"""One run of `conversions/<name>`: stage, check, and replace the good days (R10-R12)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from conversions_assets.contract import suite
from conversions_assets.contract.columns import COVERED_DAYS, QUARANTINE, STORED
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.project import ConfigurationError
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Materialised:
    """What a run of `conversions/<name>` found and did.

    Attributes:
        profile: one row per wanted day, the columns of profile.sql; days without a row are there with zeros.
        values: per day and currency: `ids`, `value` (sum, in units of the currency).
        unwanted_rows: rows that the query returned for other days (R2).
        failing_days: days that broke a blocking rule and were left as they were.
        failing_ids: per blocking rule up to 20 ids of rows that broke it.
    """

    days: Days
    profile: Sequence[Mapping[str, Any]]
    values: Sequence[Mapping[str, Any]]
    unwanted_rows: int
    outcomes: Sequence[suite.Outcome]
    failing_days: frozenset[date]
    failing_ids: Mapping[str, Sequence[str]]

    @property
    def good_days(self) -> list[date]:
        return [day for day in self.days.all() if day not in self.failing_days]


def materialise(
    warehouse: Warehouse, conversion: Conversion, days: Days, run: Run, progress: Progress = lambda _: None
) -> Materialised:
    """Bring the wanted days to what the query says now; days that break a blocking rule stay as they were.

    Raises:
        QueryError: the result as a whole breaks the contract; nothing is written.
        ConfigurationError: the project's time zone is not the one the table was made with.
    """
    suite.preload()
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    progress(f"running {conversion.query.path.name} for {days} ({len(days)} days)")
    unwanted = stage(warehouse, conversion, Wanted(days), run)
    profile = _profile(warehouse, days)
    returned = sum(row["returned_rows"] for row in profile)
    progress(f"staged {returned:,} rows; checking the contract")
    outcomes = suite.validate(profile, conversion.project.thresholds)
    failing = frozenset(day for outcome in outcomes if outcome.rule.blocking for day in outcome.failing_days)
    values = _values(warehouse, days)
    failing_ids = _failing_ids(warehouse, outcomes)
    _write(warehouse, conversion, days, run, failing)
    progress(f"wrote {len(days) - len(failing)} of {len(days)} days in one transaction")
    return Materialised(days, profile, values, unwanted, outcomes, failing, failing_ids)


def create_tables(warehouse: Warehouse, conversion: Conversion) -> None:
    """Make the conversion's tables of the dataset `conversions` unless they are there."""
    warehouse.create_table(conversion.stored, STORED)
    warehouse.create_table(conversion.quarantine, QUARANTINE)
    warehouse.create_table(conversion.covered, COVERED_DAYS)


def refuse_other_zone(warehouse: Warehouse, conversion: Conversion) -> None:
    """R31: a day is a local day, so the zone cannot change once days are stored.

    Raises:
        ConfigurationError: the stored days belong to another time zone.
    """
    from sqlglot import exp

    stored = exp.select("time_zone").distinct().from_(conversion.covered.expression)
    for row in warehouse.query(Statement(stored)):
        if row["time_zone"] != conversion.project.timezone:
            raise ConfigurationError(
                f"R31: the stored days of {conversion.name} are local days in {row['time_zone']}, project.yaml says "
                f"{conversion.project.timezone}. Write `timezone: {row['time_zone']}`, or start a new "
                "conversion in a new folder."
            )


def _profile(warehouse: Warehouse, days: Days) -> list[dict[str, Any]]:
    [statement] = bind(HERE / "profile.sql", {}, {"first_day": days.first, "last_day": days.last})
    found = {row["day"]: row for row in warehouse.query(statement)}
    columns = statement.tree.named_selects  # type: ignore[attr-defined]
    empty = dict.fromkeys(columns, 0)
    return [found.get(day) or {**empty, "day": day} for day in days.all()]


def _values(warehouse: Warehouse, days: Days) -> list[dict[str, Any]]:
    [statement] = bind(HERE / "values.sql", {}, {"first_day": days.first, "last_day": days.last})
    return warehouse.query(statement)


def _failing_ids(warehouse: Warehouse, outcomes: Sequence[suite.Outcome]) -> dict[str, list[str]]:
    broken = {outcome.rule.name: outcome for outcome in outcomes if outcome.rule.blocking and not outcome.passed}
    if not broken:
        return {}
    [statement] = bind(HERE / "failing_ids.sql", {}, {})
    found: dict[str, list[str]] = {name: [] for name in broken}
    for row in warehouse.query(statement):
        outcome = broken.get(row["rule_name"])
        if outcome is not None and row["day"] in outcome.failing_days and len(found[row["rule_name"]]) < 20:
            found[row["rule_name"]].append(row["id"])
    return found


def _write(warehouse: Warehouse, conversion: Conversion, days: Days, run: Run, failing: frozenset[date]) -> None:
    statements = bind(
        HERE / "write.sql",
        {"stored": conversion.stored, "quarantine": conversion.quarantine, "covered": conversion.covered},
        {
            "first_day": days.first,
            "last_day": days.last,
            "failing_days": sorted(failing),
            "latest_created": run.now + timedelta(minutes=conversion.project.thresholds.future_tolerance_minutes),
            "query_version": conversion.query.version,
            "time_zone": conversion.project.timezone,
            "crm_load_id": run.crm_load_id,
            "run_id": run.id,
            "now": run.now,
        },
    )
    with warehouse.transaction():
        warehouse.execute(statements)
