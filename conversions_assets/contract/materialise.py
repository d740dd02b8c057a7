"""One run of `conversions/<name>`: stage, check, and replace the good days (R10-R12)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from conversions_assets.contract import suite
from conversions_assets.contract.columns import COVERED_DAYS, QUARANTINE, STORED
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.fingerprints import fingerprint_staged
from conversions_assets.contract.profile import Row, read_profile
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.project import ConfigurationError
from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
Progress = Callable[[str], None]


class NotComputedError(Exception):
    """Days are asked for that the asset before never covered."""


@dataclass(frozen=True)
class Materialised:
    """What a run of `conversions/<name>` found and did.

    Attributes:
        profile: one row per wanted day (see read_profile).
        values: per day and currency: `ids`, `value` (sum, in units of the currency).
        refusals: per day, rule and reason: `row_count` (R10).
        personal: per day and key of params: `looks_like`, `value_count` (R9).
        unwanted_rows: rows that the query returned for other days (R2).
        failing_days: days that broke a blocking rule and were left as they were.
        failing_ids: per broken rule up to 20 ids of rows that broke it.
    """

    days: Days
    profile: Sequence[Row]
    values: Sequence[Row]
    refusals: Sequence[Row]
    personal: Sequence[Row]
    unwanted_rows: int
    validation: suite.Validation
    failing_days: frozenset[date]
    failing_ids: Mapping[str, Sequence[str]]

    @property
    def outcomes(self) -> Sequence[suite.Outcome]:
        return self.validation.outcomes

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
    thresholds = conversion.project.thresholds
    latest = run.now + timedelta(minutes=thresholds.future_tolerance_minutes)
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    progress(f"running {conversion.query.path.name} for {days} ({len(days)} days)")
    staged = stage(warehouse, conversion, Wanted(days), run)
    personal = _find_personal(warehouse, days, staged.returned)
    profile = read_profile(warehouse, conversion, days, staged.returned, personal)
    progress(f"staged {sum(row['returned_rows'] for row in profile):,} rows; checking the contract")
    validation = suite.validate(profile, thresholds)
    failing = frozenset(day for outcome in validation.outcomes if outcome.rule.blocking for day in outcome.failing_days)
    done = Materialised(
        days=days,
        profile=profile,
        values=_query(warehouse, "values.sql", days, latest),
        refusals=_query(warehouse, "refusals.sql", days, latest),
        personal=personal,
        unwanted_rows=staged.unwanted_rows,
        validation=validation,
        failing_days=failing,
        failing_ids=_failing_ids(warehouse, validation.outcomes),
    )
    _write(warehouse, conversion, days, run, failing, latest)
    progress(f"wrote {len(days) - len(failing)} of {len(days)} days in one transaction")
    return done


def create_tables(warehouse: Warehouse, conversion: Conversion) -> None:
    """Make the conversion's tables of the dataset `conversions` unless they are there."""
    warehouse.create_table(conversion.stored, STORED)
    warehouse.create_table(conversion.quarantine, QUARANTINE)
    warehouse.create_table(conversion.covered, COVERED_DAYS, by_day=False)


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


def refuse_uncomputed(warehouse: Warehouse, asset: str, covered: Table, days: Days) -> None:
    """Refuse days that an asset never covered.

    Args:
        covered: the table of the days that the asset has covered.

    Raises:
        NotComputedError: it names the days and the command that computes them.
    """
    from sqlglot import exp

    seen = exp.select("day").from_(covered.expression)
    never = sorted(set(days.all()) - {row["day"] for row in warehouse.query(Statement(seen))})
    if never:
        raise NotComputedError(
            f"{asset} was never computed for {len(never)} of {len(days)} days (first {never[0]}, last {never[-1]}), so "
            f"there is nothing to go on from. Run first: dg launch --assets {asset} "
            f"--partition-range {never[0]}...{never[-1]}"
        )


def _query(warehouse: Warehouse, file: str, days: Days, latest: datetime) -> list[dict[str, Any]]:
    params = {"first_day": days.first, "last_day": days.last, "latest_created": latest}
    [statement] = bind(HERE / file, {}, params)
    return warehouse.query(statement)


def _find_personal(warehouse: Warehouse, days: Days, returned: frozenset[str]) -> list[dict[str, Any]]:
    """R9: leaves `personal` in the session; per day and key of params how many values look like what."""
    [finding] = bind(HERE / "personal.sql", {}, {})
    tree = finding.tree.copy()
    if "params" not in returned:
        tree.expression.where("FALSE", copy=False)
    warehouse.execute([Statement(tree)])
    [counting] = bind(HERE / "personal_keys.sql", {}, {"first_day": days.first, "last_day": days.last})
    return warehouse.query(counting)


def _failing_ids(warehouse: Warehouse, outcomes: Sequence[suite.Outcome]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {outcome.rule.name: [] for outcome in outcomes if not outcome.passed}
    if found:
        lists = {f"{outcome.rule.name}_days": outcome.failing_days for outcome in outcomes}
        [statement] = bind(HERE / "failing_ids.sql", {}, lists)
        for row in warehouse.query(statement):
            found[row["rule_name"]].append(row["id"])
    return found


def _write(
    warehouse: Warehouse, conversion: Conversion, days: Days, run: Run, failing: frozenset[date], latest: datetime
) -> None:
    statements = bind(
        HERE / "write.sql",
        {"stored": conversion.stored, "quarantine": conversion.quarantine, "covered": conversion.covered},
        {
            "first_day": days.first,
            "last_day": days.last,
            "failing_days": sorted(failing),
            "latest_created": latest,
            "query_version": conversion.query.version,
            "time_zone": conversion.project.timezone,
            "crm_load_id": run.crm_load_id,
            "run_id": run.id,
            "now": run.now,
        },
    )
    fingerprint_staged(warehouse, days, not_before=run.local_date - timedelta(days=conversion.window_days))
    with warehouse.transaction():
        warehouse.execute(statements)
