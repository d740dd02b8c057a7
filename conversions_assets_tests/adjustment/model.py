"""R12-R24 once more, in plain Python over plain dictionaries: what a run must do, read from docs/semantics.md.

Nothing here knows the product's SQL. A row of the CRM is a dict: id, created, value, currency, is_qualified, client_id,
status, is_deleted. The query is a Python function that says which of them it returns; the contract refuses those with
currency '???' and those from the future.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Query = Callable[[Row], Row | None]
ONE_DAY = timedelta(days=1)
UTC = ZoneInfo("UTC")
SOON = timedelta(minutes=15)
REASONS = {"value": "VALUE_CHANGED", "currency": "CURRENCY_CHANGED", "is_qualified": "QUALIFICATION_CHANGED"}


@dataclass(frozen=True)
class Load:
    """What a run finds in the warehouse: the raw rows, whether the loader calls them whole, and the query over them.

    Attributes:
        version: names the text of the query (R31).
    """

    rows: Sequence[Row]
    query: Query
    version: str = "confirmed"
    complete: bool = True

    def returned(self, zone: ZoneInfo) -> list[Row]:
        """The rows that the query returns, each with its local day."""
        found = (self.query(row) for row in self.rows)
        return [{**row, "day": row["created"].astimezone(zone).date()} for row in found if row is not None]


@dataclass(frozen=True)
class Look:
    """What a run sees: its own days first..last as they are stored, the window first_window_day..r-1, the open day r.

    Attributes:
        own: accepted rows of the own days.
        refused: ids of refused rows of the own days.
        live: what the query returns now.
    """

    own: Sequence[Row]
    refused: frozenset[str]
    live: Sequence[Row]
    now: datetime
    r: date
    first_window_day: date
    first: date
    last: date
    published_days: frozenset[date]
    latest_wins: bool
    thaws: bool = False

    def covers(self, day: date) -> bool:
        return self.first <= day <= self.last

    def in_window(self, day: date) -> bool:
        return self.first_window_day <= day < self.r

    def is_frozen(self, day: date) -> bool:
        """R21: published once, and not in the window."""
        return not self.in_window(day) and day in self.published_days

    def may_change(self, day: date) -> bool:
        """R14, R21: a day of the window, one that was never published, or a covered one that is thawed."""
        return not self.is_frozen(day) or (self.thaws and self.covers(day))

    def returned_ids(self) -> set[str]:
        """R18: the own days, and the query over the window, the open day, and what is dated after it.

        A run that thaws asks for all days before it takes a row for vanished (R21).
        """
        live = {row["id"] for row in self.live if self.thaws or row["day"] >= self.first_window_day}
        return live | {row["id"] for row in self.own} | self.refused

    def winners(self) -> dict[str, Row]:
        """R5, R17: after quarantine, the earliest (or latest) `created` of an id."""
        beside = [
            row
            for row in self.live
            if self.first_window_day <= row["day"] <= self.r and not self.covers(row["day"]) and accepted(row, self.now)
        ]
        return winners([*self.own, *beside], self.latest_wins)


@dataclass
class Model:
    """What is published, how it came about, and how the frozen days differ from the CRM.

    Attributes:
        guard: R19: share of the raw rows that may be gone, share of the window's ids and number of ids that may vanish.
        stored: day -> the accepted rows, the ids of refused ones and the version of the query.
        days: day -> version of the query with which it was published, open or last thawed (R21, R31).
        frozen_before: no published day before this one can change any more (R31).
        raw_rows: how many raw rows the last run that wrote has found (R19).
        ledger: (id, version, reason, day_before, day_after, value_delta) in the order of writing.
        drift: (the day it belongs to, id, day, kind, field, frozen value, CRM value, value_delta, currency).
    """

    latest_wins: bool = False
    zone: ZoneInfo = UTC
    guard: tuple[float, float, int] = (0.2, 0.2, 20)
    stored: dict[date, tuple[list[Row], frozenset[str], str]] = field(default_factory=dict)
    published: dict[str, Row] = field(default_factory=dict)
    days: dict[date, str] = field(default_factory=dict)
    frozen_before: date = date.min
    raw_rows: int = 0
    ledger: list[tuple[Any, ...]] = field(default_factory=list)
    drift: set[tuple[Any, ...]] = field(default_factory=set)

    def convert(self, load: Load, now: datetime, first: date, last: date) -> None:
        """`conversions/<name>` over the days first..last."""
        returned = load.returned(self.zone)
        for day in all_days(first, last):
            rows = [row for row in returned if row["day"] == day]
            kept = winners([row for row in rows if accepted(row, now)], self.latest_wins)
            refused = frozenset(row["id"] for row in rows if not accepted(row, now))
            self.stored[day] = list(kept.values()), refused, load.version

    def adjust(
        self,
        load: Load,
        now: datetime,
        r: date,
        window: int,
        first: date,
        last: date,
        thaws: bool = False,
        releases: bool = False,
    ) -> bool:
        """`adjusted/<name>` over the days first..last, with a window of so many days; False if the guard stops it."""
        look = self._look(load, now, r, window, first, last, thaws)
        changes, drift = self._judge(look)
        if not releases and self._looks_incomplete(look, load, [id for id, seen, _ in changes if seen is None]):
            return False
        for id, seen, day in changes:
            self._write(look, id, seen, day)
        self._replace_drift(look, drift)
        for day in all_days(first, last):
            if look.may_change(day):
                self.days[day] = self.stored[day][2]
        self.frozen_before = max(self.frozen_before, look.first_window_day)
        self.raw_rows = len(load.rows)
        return True

    def audit(self, load: Load, now: datetime, r: date, window: int) -> None:
        """drift_audit: all days from the first published one to the window, against the query; publishes nothing."""
        last = self.first_window_day(r, window) - ONE_DAY
        if self.days and min(self.days) <= last:
            audited = deepcopy(self)
            audited.convert(load, now, min(self.days), last)
            look = audited._look(load, now, r, window, min(self.days), last)
            self._replace_drift(look, self._judge(look)[1])

    def first_window_day(self, r: date, window: int) -> date:
        """The oldest day of the window; r itself where it is empty."""
        return min(max(r - timedelta(days=window), self.frozen_before), r)

    def unapplied(self, load: Load, now: datetime, r: date, window: int, start: date) -> set[date]:
        """R23: closed days never published, and those to which a run over the whole window would bring a change.

        A row that moves is a change on its new day: a run over that day alone takes it away from the old one (R18).
        """
        missing = {day for day in all_days(start, r - ONE_DAY) if day not in self.days}
        if self.first_window_day(r, window) == r:
            return missing
        ahead = deepcopy(self)
        span = ahead.first_window_day(r, window), r - ONE_DAY
        ahead.convert(load, now, *span)
        ahead.adjust(load, now, r, window, *span, releases=True)
        return missing | {entry[4] for entry in ahead.ledger[len(self.ledger) :]}

    def _look(
        self, load: Load, now: datetime, r: date, window: int, first: date, last: date, thaws: bool = False
    ) -> Look:
        days = all_days(first, last)
        return Look(
            own=[row for day in days for row in self.stored[day][0]],
            refused=frozenset().union(*(self.stored[day][1] for day in days)),
            live=load.returned(self.zone),
            now=now,
            r=r,
            first_window_day=self.first_window_day(r, window),
            first=first,
            last=last,
            published_days=frozenset(self.days),
            latest_wins=self.latest_wins,
            thaws=thaws,
        )

    def _looks_incomplete(self, look: Look, load: Load, vanishing: Sequence[str]) -> bool:
        """R19: it trips only where something would be retracted that carries no delete flag of the CRM."""
        flagged = {row["id"] for row in load.rows if row["is_deleted"]}
        unexplained = [id for id in vanishing if id not in flagged]
        active = [row for row in self.published.values() if row["status"] == "ACTIVE"]
        of_window = sum(look.in_window(row["day"]) or (look.thaws and look.covers(row["day"])) for row in active)
        fall, share, number = self.guard
        return bool(unexplained) and (
            not load.complete
            or self.raw_rows - len(load.rows) > fall * self.raw_rows
            or len(unexplained) > max(number, share * of_window)
        )

    def _replace_drift(self, look: Look, drift: set[tuple[Any, ...]]) -> None:
        self.drift = {row for row in self.drift if not look.covers(row[0])} | drift

    def _judge(self, look: Look) -> tuple[list[tuple[str, Row | None, date]], set[tuple[Any, ...]]]:
        """The changes that the rules allow (id, what is seen, the day it gets), and the drift."""
        returned = look.returned_ids()
        seen_now = look.winners()
        changes: list[tuple[str, Row | None, date]] = []
        drift: set[tuple[Any, ...]] = set()
        for id in sorted(seen_now.keys() | self.published.keys()):
            known, seen = self.published.get(id), seen_now.get(id)
            if seen is None:
                assert known is not None
                if id in returned or known["status"] == "RETRACTED" or not look.covers(known["day"]):
                    continue
                if look.may_change(known["day"]):
                    changes.append((id, None, known["day"]))
                else:
                    drift.add(_drift(known["day"], known, "VANISHED", known["value"], None))
            elif look.covers(seen["day"]):
                if known is None and look.may_change(seen["day"]):
                    changes.append((id, seen, seen["day"]))
                elif known is None:
                    drift.add(_drift(seen["day"], seen, "NEW_LATE", None, seen["value"]))
                else:
                    day, listed = _meet(look, known, seen)
                    changes += [(id, seen, day)] if day else []
                    drift |= listed
        return changes, drift

    def _write(self, look: Look, id: str, seen: Row | None, day: date) -> None:
        known = self.published.get(id)
        reason = _reason(known, seen, day)
        if reason is None:
            return
        adjusts = known is not None and reason not in ("MOVED", "ATTRIBUTE_CHANGED")
        if known is not None and self._is_restated_by_sql(look, known, seen):
            reason = "QUERY_CHANGED"
        if look.thaws and any(look.is_frozen(day) for day in (known and known["day"], seen and seen["day"]) if day):
            reason = "THAWED"
        new = dict(known) if known else _first_publication(seen or {})
        if known and adjusts:
            new["adjustment_type"] = "RETRACTION" if seen is None else "RESTATEMENT"
            new["adjustment_reason"] = reason
            new["previous_value"], new["previous_currency"] = known["value"], known["currency"]
            new["adjustment_count"] += 1
        if seen is None:
            new |= {"status": "RETRACTED", "value": 0.0}
        else:
            new |= {name: seen[name] for name in ("id", "client_id", *REASONS)} | {"status": "ACTIVE", "day": day}
            if seen["day"] == day:
                new["created"] = seen["created"]
        version = 1 + sum(entry[0] == id for entry in self.ledger)
        delta = (new["value"] or 0.0) - ((known or {}).get("value") or 0.0)
        self.ledger.append((id, version, reason, known and known["day"], new["day"], delta))
        self.published[id] = new

    def _is_restated_by_sql(self, look: Look, known: Row, seen: Row | None) -> bool:
        """R31: the run's rows come of another SQL than the one with which the row's day was published."""
        home = known["day"]
        computed = home if look.covers(home) or seen is None else seen["day"]
        return self.days.get(home, self.stored[computed][2]) != self.stored[computed][2]


def _meet(look: Look, known: Row, seen: Row) -> tuple[date | None, set[tuple[Any, ...]]]:
    """R17, R21: a published row and its sighting on a covered day: the day that it is updated for, and the drift."""
    home, sight = known["day"], seen["day"]
    drift: set[tuple[Any, ...]] = set()
    if home != sight and not (look.may_change(home) and look.may_change(sight)):
        drift.add(_drift(sight, known, "MOVED", home, sight))
    if not look.may_change(home):
        drift |= {
            _drift(sight, known, "VALUE", known[name], seen[name], name)
            for name in REASONS
            if known[name] != seen[name]
        }
        return None, drift
    if look.may_change(sight):
        return sight, drift
    return home if look.covers(home) else None, drift


def _reason(known: Row | None, seen: Row | None, day: date) -> str | None:
    """R15, R20: the first that applies; None: nothing that makes a version."""
    if known is None or seen is None:
        return "PUBLISHED" if known is None else "VANISHED"
    if known["status"] == "RETRACTED":
        return "REAPPEARED"
    changed = [reason for name, reason in REASONS.items() if known[name] != seen[name]]
    changed += ["MOVED"] if known["day"] != day else []
    changed += ["ATTRIBUTE_CHANGED"] if known["client_id"] != seen["client_id"] else []
    return changed[0] if changed else None


def _first_publication(seen: Row) -> Row:
    nothing_yet = dict.fromkeys(("adjustment_reason", "previous_value", "previous_currency"))
    return {"adjustment_type": "NONE", "adjustment_count": 0, "original_value": seen["value"], **nothing_yet}


def _drift(belongs_to: date, row: Row, kind: str, frozen: Any, crm: Any, name: str = "value") -> tuple[Any, ...]:
    name = "day" if kind == "MOVED" else name
    delta = (crm or 0.0) - (frozen or 0.0) if name == "value" else 0.0
    return belongs_to, row["id"], row["day"], kind, name, as_text(frozen), as_text(crm), delta, row["currency"]


def all_days(first: date, last: date) -> list[date]:
    """Each day, both ends in; none where the last lies before the first."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def accepted(row: Row, now: datetime) -> bool:
    """R6: the contract takes the row."""
    return bool(row["currency"] != "???" and row["created"] <= now + SOON)


def winners(rows: Sequence[Row], latest_wins: bool) -> dict[str, Row]:
    """R5: per id the row with the earliest (or latest) `created`."""
    return {row["id"]: row for row in sorted(rows, key=lambda row: row["created"], reverse=not latest_wins)}


def as_text(value: object) -> str | None:
    """A value as the drift report writes it; engines differ in '10' and '10.0', so numbers are made alike."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return None if value is None else repr(float(text))
    except ValueError:
        return text


def replayed(ledger: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """R16: the ledger alone, replayed in the order of changed_at; the columns as Python values."""
    table: dict[str, dict[str, Any]] = {}
    for entry in sorted(ledger, key=lambda entry: entry["changed_at"]):
        row = json.loads(entry["after"])
        for name in ("created", "adjusted_at", "first_published_at"):
            row[name] = row[name] and datetime.fromisoformat(row[name])
        for name in ("day", "fx_date"):
            row[name] = row[name] and date.fromisoformat(row[name])
        table[entry["id"]] = row
    return table
