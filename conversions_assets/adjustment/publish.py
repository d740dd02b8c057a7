"""One run of `adjusted/<name>`: what the rules allow to change is changed, with a ledger entry for each (R12-R22)."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.adjustment import scores
from conversions_assets.adjustment.columns import DRIFT, LEDGER, PUBLISHED_DAYS, RAW_ROWS, published_columns
from conversions_assets.adjustment.guard import IncompleteLoadError, judge, keep_baseline
from conversions_assets.adjustment.rates import rates_source
from conversions_assets.adjustment.report import Published, Reader
from conversions_assets.adjustment.window import ONE_DAY, Window
from conversions_assets.contract.columns import minor_units
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.materialise import create_tables as create_conversion_tables
from conversions_assets.contract.materialise import refuse_other_zone, refuse_uncomputed
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.prediction.tables import create_tables as create_tables_of_scores
from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.raw import RawTables
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
CANDIDATES = Table("", "candidates")
NOTHING_STAGED = exp.select("id", "day").from_("staged").where(exp.false())
Progress = Callable[[str], None]


def publish(
    warehouse: Warehouse,
    conversion: Conversion,
    days: Days,
    run: Run,
    progress: Progress = lambda _: None,
    raw_tables: RawTables | None = None,
) -> Published:
    """Compare the newest conversions of the days with what is published and write what the rules allow.

    Raises:
        IncompleteLoadError: rows would be retracted on the word of a load that looks incomplete (R19).
        NotComputedError: `conversions/<name>` never covered one of the days.
        QueryError: the user's query fails over the window.
        ConfigurationError: the project's time zone changed after the first publication.
    """
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    refuse_uncomputed(warehouse, f"conversions/{conversion.name}", conversion.covered, days)
    if conversion.predicted is not None:
        refuse_uncomputed(warehouse, f"predicted/{conversion.name}", conversion.scored_days, days)
    window = read_window(warehouse, conversion, run)
    params = _params(conversion, days, window, run)
    params |= _homes(warehouse, days, _tables(conversion), params)
    columns = published_columns(conversion)
    tables = scores.with_scores(warehouse, conversion, _tables(conversion), params)
    beside = _look(warehouse, conversion, days, run, window, tables, params, progress)
    params |= {"first_seen_day": beside.first, "open_day": beside.last, "seen_at": _seen_at(warehouse, conversion, run)}
    warehouse.execute(bind(HERE / "cases.sql", tables, params))
    verdict = judge(warehouse, conversion, tables, params, run, raw_tables or {})
    if verdict.stops:
        raise IncompleteLoadError(verdict)
    params |= {"release_note": verdict.note}
    tables["rates"] = rates_source(warehouse)
    for script in ("rates.sql", "versions.sql", "drift.sql"):
        warehouse.execute(bind(HERE / script, tables, params, columns))
    scores.add_to_versions(warehouse, conversion, tables, params)
    scores.add_to_drift(warehouse, conversion)
    reader = Reader(warehouse, tables, params, columns)
    changes, entries = reader.rows("changes.sql"), reader.rows("entries.sql")
    with warehouse.transaction():
        for script in ("apply.sql", "drift_report.sql", "published_days.sql"):
            warehouse.execute(bind(HERE / script, tables, params, columns))
        warehouse.execute(keep_baseline(conversion, verdict, run))
    progress(f"published {sum(row['ids'] for row in changes):,} versions in one transaction")
    return Published(
        days,
        window,
        changes,
        reader.rows("totals.sql"),
        reader.drift(),
        entries,
        reader.rows("window_sums.sql", **scores.newest_values(conversion)),
        reader.replay(ledger=scores.ledger_with_scores(warehouse, conversion)),
        verdict,
    )


def _look(
    warehouse: Warehouse,
    conversion: Conversion,
    days: Days,
    run: Run,
    window: Window,
    tables: Mapping[str, Table | exp.Query],
    params: Mapping[str, Any],
    progress: Progress,
) -> Days:
    """Leave the run's own rows, the ids that differ, and what the query says of them now in the session.

    Returns the days beside the run's own on which a sighting counts (R17, R18).
    """
    warehouse.execute(bind(HERE / "sightings.sql", tables, params))
    scores.add_candidates(warehouse, conversion, tables, params)
    differing, missing = _count_candidates(warehouse)
    progress(f"{differing:,} ids of {days} differ from what is published; window from {window.first} to {window.last}")
    beside = window.seen_beside(days, conversion.start_date, something_missing=missing > 0)
    # R21: what a thawing run misses could lie on a frozen day that it does not cover; that is not vanished.
    asked = Days(min(beside.first, conversion.start_date), beside.last) if run.thaw and missing else beside
    wanted = Wanted(asked, open_ended=True, far=missing > 0, ids=CANDIDATES, nothing=differing == 0)
    stage(warehouse, conversion, wanted, run)
    return beside


def audit_drift(
    warehouse: Warehouse, conversion: Conversion, run: Run, progress: Progress = lambda _: None
) -> Published | None:
    """Compare all frozen days with what the query says now and replace the drift report (R23). Publishes nothing.

    Returns None where no day is frozen yet.
    """
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    window = read_window(warehouse, conversion, run)
    days = _frozen_days(warehouse, conversion, window)
    if days is None:
        return None
    progress(f"auditing {len(days)} frozen days, {days}")
    stage(warehouse, conversion, Wanted(Days(days.first, window.open_day), open_ended=True, far=True), run)
    params = _params(conversion, days, window, run) | {
        "first_seen_day": window.first,
        "open_day": window.open_day,
        "seen_at": _seen_at(warehouse, conversion, run),
    }
    tables = _tables(conversion) | {"stored": _STAGED, "quarantine": NOTHING_STAGED}
    params |= _homes(warehouse, days, tables, params)
    tables = scores.with_scores(warehouse, conversion, tables, params)
    warehouse.execute(bind(HERE / "sightings.sql", tables, params))
    scores.add_candidates(warehouse, conversion, tables, params)
    for script in ("cases.sql", "drift.sql"):
        warehouse.execute(bind(HERE / script, tables, params))
    scores.add_to_drift(warehouse, conversion)
    with warehouse.transaction():
        warehouse.execute(bind(HERE / "drift_report.sql", tables, params))
    reader = Reader(warehouse, tables, params)
    return Published(days, window, [], reader.rows("totals.sql"), reader.drift())


def create_tables(warehouse: Warehouse, conversion: Conversion) -> None:
    """Make the conversion's tables of both datasets unless they are there."""
    create_conversion_tables(warehouse, conversion)
    if conversion.predicted is not None:
        create_tables_of_scores(warehouse, conversion)
    warehouse.create_table(conversion.published, published_columns(conversion))
    warehouse.create_table(conversion.ledger, LEDGER)
    warehouse.create_table(conversion.drift, DRIFT, by_day=False)
    warehouse.create_table(conversion.published_days, PUBLISHED_DAYS, by_day=False)
    warehouse.create_table(conversion.raw_rows, RAW_ROWS)


def read_window(warehouse: Warehouse, conversion: Conversion, run: Run) -> Window:
    """The window of a run; what an earlier run has frozen stays frozen under a larger W (R31)."""
    frontier = exp.select(exp.func("MAX", exp.column("first_window_day")).as_("day"))
    rows = warehouse.query(Statement(frontier.from_(conversion.published_days.expression)))
    return Window(run.local_date, conversion.window_days, frozen_before=rows[0]["day"])


_STAGED = (
    exp.select("id", "client_id", "created", "value", "currency", "is_qualified", "params", "user_id", "day")
    .from_("staged")
    .where("refusal IS NULL")
)


def _tables(conversion: Conversion) -> dict[str, Table | exp.Query]:
    return {
        "stored": conversion.stored,
        "quarantine": conversion.quarantine,
        "covered": conversion.covered,
        "published": conversion.published,
        "ledger": conversion.ledger,
        "drift": conversion.drift,
        "published_days": conversion.published_days,
    }


def _params(conversion: Conversion, days: Days, window: Window, run: Run) -> dict[str, Any]:
    units = minor_units()
    return {
        "first_day": days.first,
        "last_day": days.last,
        "first_window_day": window.first,
        "last_window_day": window.last,
        "latest_wins": conversion.dedup == "latest",
        "project_currency": conversion.project.currency,
        "no_decimals": units.get(0, ()),
        "three_decimals": units.get(3, ()),
        "four_decimals": units.get(4, ()),
        "crm_load_id": run.crm_load_id,
        "run_id": run.id,
        "now": run.now,
        "time_zone": conversion.project.timezone,
        "thaws": run.thaw is not None,
        "thaw_note": run.thaw,
    }


def _homes(
    warehouse: Warehouse, days: Days, tables: Mapping[str, Table | exp.Query], params: Mapping[str, Any]
) -> dict[str, date]:
    """The days between which lies all that is published and that a run over `days` could change."""
    [statement] = bind(HERE / "homes.sql", tables, params)
    [found] = warehouse.query(statement)
    first, last = (found["first_home"] or days.first, found["last_home"] or days.last)
    return {"first_home": min(first, days.first), "last_home": max(last, days.last)}


def _frozen_days(warehouse: Warehouse, conversion: Conversion, window: Window) -> Days | None:
    """From the first published day to the last one before the window: also days between that were never published."""
    first = exp.select(exp.func("MIN", exp.column("day")).as_("day")).from_(conversion.published_days.expression)
    day: date | None = warehouse.query(Statement(first))[0]["day"]
    return Days(day, window.first - ONE_DAY) if day is not None and day < window.first else None


def _seen_at(warehouse: Warehouse, conversion: Conversion, run: Run) -> datetime:
    """The run's clock, but later than every drift row: rows of one run share it, and those of two runs never do."""
    newest = exp.select(exp.func("MAX", exp.column("seen_at")).as_("seen_at")).from_(conversion.drift.expression)
    last: datetime | None = warehouse.query(Statement(newest))[0]["seen_at"]
    return run.now if last is None else max(run.now, last + timedelta(microseconds=1))


def _count_candidates(warehouse: Warehouse) -> tuple[int, int]:
    counting = exp.select(
        exp.Count(this=exp.Star()).as_("differing"), exp.CountIf(this=exp.column("missing")).as_("missing")
    ).from_("candidates")
    row = warehouse.query(Statement(counting))[0]
    return int(row["differing"]), int(row["missing"])
