"""Which days are to be rerun (R23): what the query says of the window now, against what `adjusted` has applied."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.adjustment.publish import create_tables, read_window
from conversions_assets.adjustment.scores import applied_form, is_older_model
from conversions_assets.adjustment.window import Window
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.fingerprints import fingerprint_staged
from conversions_assets.contract.materialise import refuse_other_zone
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
LARGEST_GAP = timedelta(days=31)
Fingerprints = Mapping[date, str | None]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Attributes:
        days: the closed days of the window that were compared; None where no day is adjustable.
        rows: what the query returned for them.
        missing: closed days that were never published, also older ones.
        changed: published days of the window whose rows differ from what was applied.
        convert: ranges to rerun from the query on, both assets in one run each.
        publish: ranges whose conversions are what the query says but were not published: `adjusted` alone (R11), with
            `predicted` where the value is predicted, also because there is a newer model (R28).
        rescored: those of the changed days that a newer model alone has changed.
    """

    window: Window
    days: Days | None
    rows: int
    missing: Sequence[date]
    changed: Sequence[date]
    convert: Sequence[Days]
    publish: Sequence[Days]
    rescored: Sequence[date] = ()

    @property
    def found(self) -> list[date]:
        """All days that a rerun is asked for because of, oldest first."""
        return sorted({*self.missing, *self.changed})

    @property
    def requested(self) -> list[date]:
        """All days of the ranges, oldest first."""
        return sorted({day for days in (*self.convert, *self.publish) for day in days.all()})

    @property
    def sentence(self) -> str:
        """What a person reads."""
        if not self.found:
            return f"all {len(self.days) if self.days else 0} days of the window are what the CRM says"
        by_model = f" ({len(self.rescored)} by a newer model)" if self.rescored else ""
        parts = [f"{len(self.changed)} days changed{by_model}", f"{len(self.missing)} were never published"]
        ranges = ", ".join(str(days) for days in (*self.convert, *self.publish))
        return f"{' and '.join(parts)}: rerun of {ranges}"


def scan(warehouse: Warehouse, conversion: Conversion, run: Run, progress: Progress = lambda _: None) -> Scan | None:
    """Run the query once over the window and compare each day with what `adjusted` has applied. Writes nothing.

    Returns None where nothing was ever published: the first backfill is started by hand (R33).

    Raises:
        QueryError: the user's query fails over the window.
        ConfigurationError: the project's time zone changed after the first publication.
    """
    if not was_published(warehouse, conversion):
        return None
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    window = read_window(warehouse, conversion, run)
    stored, applied = (_fingerprints(warehouse, table) for table in (conversion.covered, conversion.published_days))
    days = _adjustable(conversion, window)
    now: Fingerprints = {}
    rows, unsettled = 0, set[date]()
    if days is not None:
        progress(f"running {conversion.query.path.name} over the window, {days}")
        stage(warehouse, conversion, Wanted(Days(days.first, window.open_day), open_ended=True, far=True), run)
        fingerprint_staged(warehouse, days, not_before=days.first)
        now, rows = _read_staged(warehouse)
        unsettled = _unsettled(warehouse, conversion, days, window)
    missing = _never_published(conversion, window, applied)
    convert = {day for day in now if day not in stored or stored[day] != now[day]}
    wanted = applied_form(warehouse, conversion, now)
    publish = {day for day in now if day not in applied or applied[day] != wanted[day]} | unsettled
    changed = sorted((convert | publish) & set(applied))
    older = [day for day in missing if day < window.first]
    return Scan(
        window=window,
        days=days,
        rows=rows,
        missing=missing,
        changed=changed,
        convert=[*_ranges(older, stored), *_hull(convert)],
        publish=_coverable(sorted(publish - convert), stored),
        rescored=[day for day in changed if day not in convert and is_older_model(applied[day], wanted.get(day))],
    )


def was_published(warehouse: Warehouse, conversion: Conversion) -> bool:
    """Whether a run of `adjusted/<name>` has ever covered a day."""
    if warehouse.columns(conversion.published_days) is None:
        return False
    some = exp.select("day").from_(conversion.published_days.expression).limit(1)
    return bool(warehouse.query(Statement(some)))


def stale_days(warehouse: Warehouse, conversion: Conversion, window: Window) -> tuple[list[date], list[date]]:
    """Days of the window that were never published, and those whose stored conversions were not applied.

    Cheap: reads the covered days only. At W = 0 the newest closed day alone is looked at.
    """
    stored, applied = (_fingerprints(warehouse, table) for table in (conversion.covered, conversion.published_days))
    first = max(min(window.first, window.last), conversion.start_date)
    days = Days(first, window.last).all() if first <= window.last else []
    wanted = applied_form(warehouse, conversion, stored)
    missing = [day for day in days if day not in applied]
    stale = [day for day in days if day >= window.first and day in applied and wanted.get(day) != applied[day]]
    return missing, stale


def _adjustable(conversion: Conversion, window: Window) -> Days | None:
    first = max(window.first, conversion.start_date)
    return Days(first, window.last) if first <= window.last else None


def _never_published(conversion: Conversion, window: Window, applied: Fingerprints) -> list[date]:
    if conversion.start_date > window.last:
        return []
    return [day for day in Days(conversion.start_date, window.last).all() if day not in applied]


def _hull(days: set[date]) -> list[Days]:
    return [Days(min(days), max(days))] if days else []


def _ranges(days: Sequence[date], stored: Fingerprints) -> list[Days]:
    """Ranges of older days, apart by whether a run has stored them: one that fails its contract holds up no other."""
    ranges: list[Days] = []
    for day in days:
        last = ranges[-1].last if ranges else None
        if last is not None and day - last <= LARGEST_GAP and (day in stored) == (last in stored):
            ranges[-1] = Days(ranges[-1].first, day)
        else:
            ranges.append(Days(day, day))
    return ranges


def _coverable(days: Sequence[date], stored: Fingerprints) -> list[Days]:
    """The hull, but broken at days that `adjusted` cannot cover because they were never stored."""
    ranges: list[Days] = []
    for day in days:
        if ranges and all(between in stored for between in Days(ranges[-1].last, day).all()):
            ranges[-1] = Days(ranges[-1].first, day)
        else:
            ranges.append(Days(day, day))
    return ranges


def _fingerprints(warehouse: Warehouse, table: Table) -> dict[date, str | None]:
    rows = warehouse.query(Statement(exp.select("day", "fingerprint").from_(table.expression)))
    return {row["day"]: row["fingerprint"] for row in rows}


def _read_staged(warehouse: Warehouse) -> tuple[dict[date, str | None], int]:
    rows = warehouse.query(Statement(exp.select("day", "fingerprint", "row_count").from_("fingerprints")))
    return {row["day"]: row["fingerprint"] for row in rows}, sum(row["row_count"] for row in rows)


def _unsettled(warehouse: Warehouse, conversion: Conversion, days: Days, window: Window) -> set[date]:
    params: dict[str, Any] = {
        "first_day": days.first,
        "last_day": days.last,
        "open_day": window.open_day,
        "latest_wins": conversion.dedup == "latest",
    }
    [statement] = bind(HERE / "unsettled.sql", {"published": conversion.published}, params)
    return {row["day"] for row in warehouse.query(statement)}
