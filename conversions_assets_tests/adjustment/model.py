"""R14-R22 once more, in plain Python over plain dictionaries: what a run must do, read from docs/semantics.md.

Nothing here knows the product's SQL. A row of the CRM is a dict: id, created, value, currency, is_qualified, client_id,
status; the query returns the rows with status 'confirmed', and the contract refuses those with currency '???'.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
ONE_DAY = timedelta(days=1)
REASONS = {"value": "VALUE_CHANGED", "currency": "CURRENCY_CHANGED", "is_qualified": "QUALIFICATION_CHANGED"}


@dataclass(frozen=True)
class Look:
    """What a run sees: its own days first..last, the window first_window_day..r-1, the open day r."""

    crm: list[Row]
    now: datetime
    first_window_day: date
    first: date
    last: date
    published_days: frozenset[date]
    latest_wins: bool
    thaws: bool = False

    def covers(self, day: date) -> bool:
        return self.first <= day <= self.last

    def may_change(self, day: date) -> bool:
        """R14, R21: a day of the window, one that was never published, or a covered one that is thawed."""
        return not self.is_frozen(day) or (self.thaws and self.covers(day))

    def is_frozen(self, day: date) -> bool:
        """R21: published once, and not in the window."""
        return not self.first_window_day <= day < self.now.date() and day in self.published_days

    def returned(self) -> list[Row]:
        """R18: the query over the own days, the window, the open day, and what is dated after it."""
        return [
            row
            for row in self.crm
            if row["status"] == "confirmed" and (self.covers(_day(row)) or _day(row) >= self.first_window_day)
        ]

    def returned_ids(self) -> set[str]:
        """R18; a run that thaws asks for all days before it takes a row for vanished (R21)."""
        rows = [row for row in self.crm if row["status"] == "confirmed"] if self.thaws else self.returned()
        return {row["id"] for row in rows}

    def winners(self) -> dict[str, Row]:
        """R5, R17: after quarantine, the earliest (or latest) `created` of an id."""
        accepted = [
            r for r in self.returned() if r["currency"] != "???" and r["created"] <= self.now + timedelta(minutes=15)
        ]
        accepted.sort(key=lambda row: row["created"], reverse=not self.latest_wins)
        return {row["id"]: row for row in accepted}


@dataclass
class Model:
    """What is published, how it came about, and how the frozen days differ from the CRM.

    Attributes:
        days: the days that were published once (R21).
        frozen_before: no published day before this one can change any more (R31).
        ledger: (id, version, reason, day_before, day_after, value_delta) in the order of writing.
        drift: (the day it belongs to, id, day, kind, field, frozen value, CRM value, value_delta, currency).
    """

    latest_wins: bool = False
    published: dict[str, Row] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    frozen_before: date = date.min
    ledger: list[tuple[Any, ...]] = field(default_factory=list)
    drift: set[tuple[Any, ...]] = field(default_factory=set)

    def run(self, crm: list[Row], now: datetime, window: int, first: date, last: date, thaws: bool = False) -> None:
        """Both assets over the days first..last, with a window of so many days."""
        look = self._look(crm, now, window, first, last, thaws)
        changes, drift = self._judge(look)
        for id, seen, day in changes:
            self._write(look, id, seen, day)
        self._replace_drift(look, drift)
        self.days |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
        self.frozen_before = max(self.frozen_before, look.first_window_day)

    def audit(self, crm: list[Row], now: datetime, window: int) -> None:
        """drift_audit: all days from the first published one to the window, against the query; publishes nothing."""
        edge = self._first_window_day(now, window)
        if self.days and min(self.days) < edge:
            look = self._look(crm, now, window, min(self.days), edge - ONE_DAY)
            self._replace_drift(look, self._judge(look)[1])

    def _first_window_day(self, now: datetime, window: int) -> date:
        return min(max(now.date() - timedelta(days=window), self.frozen_before), now.date())

    def _look(self, crm: list[Row], now: datetime, window: int, first: date, last: date, thaws: bool = False) -> Look:
        edge = self._first_window_day(now, window)
        return Look(crm, now, edge, first, last, frozenset(self.days), self.latest_wins, thaws)

    def _replace_drift(self, look: Look, drift: set[tuple[Any, ...]]) -> None:
        self.drift = {row for row in self.drift if not look.covers(row[0])} | drift

    def _judge(self, look: Look) -> tuple[list[tuple[str, Row | None, date]], set[tuple[Any, ...]]]:
        """The changes that the rules allow (id, what is seen, the day it gets), and the drift."""
        returned = look.returned_ids()
        winners = look.winners()
        changes: list[tuple[str, Row | None, date]] = []
        drift: set[tuple[Any, ...]] = set()
        for id in sorted(winners.keys() | self.published.keys()):
            known, seen = self.published.get(id), winners.get(id)
            if seen is None:
                assert known is not None
                if id in returned or known["status"] == "RETRACTED" or not look.covers(known["day"]):
                    continue
                if look.may_change(known["day"]):
                    changes.append((id, None, known["day"]))
                else:
                    drift.add(_drift(known["day"], known, "VANISHED", known["value"], None))
            elif look.covers(_day(seen)):
                if known is None and look.may_change(_day(seen)):
                    changes.append((id, seen, _day(seen)))
                elif known is None:
                    drift.add(_drift(_day(seen), seen | {"day": _day(seen)}, "NEW_LATE", None, seen["value"]))
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
        thawed = look.thaws and any(look.is_frozen(day) for day in (known and known["day"], seen and _day(seen)) if day)
        new = dict(known) if known else _first_publication(seen or {})
        if known and reason not in ("MOVED", "ATTRIBUTE_CHANGED"):
            new["adjustment_type"] = "RETRACTION" if seen is None else "RESTATEMENT"
            new["adjustment_reason"] = "THAWED" if thawed else reason
            new["previous_value"], new["previous_currency"] = known["value"], known["currency"]
            new["adjustment_count"] += 1
        if seen is None:
            new |= {"status": "RETRACTED", "value": 0.0}
        else:
            new |= {name: seen[name] for name in ("id", "client_id", *REASONS)} | {"status": "ACTIVE", "day": day}
            if _day(seen) == day:
                new["created"] = seen["created"]
        version = 1 + sum(entry[0] == id for entry in self.ledger)
        delta = (new["value"] or 0.0) - ((known or {}).get("value") or 0.0)
        self.ledger.append((id, version, "THAWED" if thawed else reason, known and known["day"], new["day"], delta))
        self.published[id] = new


def _meet(look: Look, known: Row, seen: Row) -> tuple[date | None, set[tuple[Any, ...]]]:
    """R17, R21: a published row and its sighting on a covered day: the day that it is updated for, and the drift."""
    home, sight = known["day"], _day(seen)
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


def _day(row: Row) -> date:
    created: datetime = row["created"]
    return created.date()


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
