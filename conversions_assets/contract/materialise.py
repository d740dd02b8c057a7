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
ATTRIBUTION_DAYS = 28
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Materialised:
    """What a run of `conversions/<name>` found and did.

    Attributes:
        profile: one row per wanted day, the columns of profile.sql and shares; days without a row have zeros.
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
    profile = _profile(warehouse, conversion, days)
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


def _profile(warehouse: Warehouse, conversion: Conversion, days: Days) -> list[dict[str, Any]]:
    params = {"first_day": days.first, "last_day": days.last}
    [statement] = bind(HERE / "profile.sql", {}, params)
    found = {row["day"]: row for row in warehouse.query(statement)}
    empty = dict.fromkeys(statement.tree.named_selects, 0)  # type: ignore[attr-defined]
    profile = [found.get(day) or {**empty, "day": day} for day in days.all()]
    share = 0.0
    if any(row["conflicting_ids"] for row in profile):
        [counting] = bind(HERE / "conflicts.sql", {}, params)
        counted = warehouse.query(counting)[0]
        share = counted["conflicting"] / counted["ids"]
    rises = _attribution_rises(warehouse, conversion, profile)
    for row in profile:
        # The share is the whole result's (R5); the days that hold such ids are the ones that fail.
        row["conflicting_ids_share"] = share if row["conflicting_ids"] else 0.0
        row["quarantined_share"] = row["quarantined_rows"] / row["returned_rows"] if row["returned_rows"] else 0.0
        row["not_attributed_rise"] = rises[row["day"]]
    return profile


def _attribution_rises(
    warehouse: Warehouse, conversion: Conversion, profile: Sequence[Mapping[str, Any]]
) -> dict[date, float]:
    """R8: per day the share of (not attributed) less its mean over 28 days before; 0 where nothing is before."""
    first, last = profile[0]["day"], profile[-1]["day"]
    before = {"first_day": first - timedelta(days=ATTRIBUTION_DAYS), "last_day": last}
    [statement] = bind(HERE / "attribution.sql", {"stored": conversion.stored}, before)
    shares = {row["day"]: row["not_attributed"] / row["ids"] for row in warehouse.query(statement)}
    shares |= {row["day"]: row["not_attributed_rows"] / row["ids"] for row in profile if row["ids"]}
    rises = {}
    for row in profile:
        day = row["day"]
        past = [shares[d] for n in range(1, ATTRIBUTION_DAYS + 1) for d in [day - timedelta(days=n)] if d in shares]
        rises[day] = shares[day] - sum(past) / len(past) if past and row["ids"] else 0.0
    return rises


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
