"""The rules R14-R22 once more, in plain Python over plain dictionaries: what a run must do, read from docs/semantics.md.

Nothing here knows the product's SQL. A row of the CRM is a dict: id, created, value, currency, is_qualified, client_id,
status ('confirmed' is returned by the query) and, for a row that the contract refuses, currency '???'.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
ONE_DAY = timedelta(days=1)
# created is not compared: a change within the day is no version by itself (R15)
REPORTED = ("value", "currency", "is_qualified")


@dataclass
class Model:
    """What is published, how it came about, and how the frozen days differ from the CRM.

    Attributes:
        days: the days that were published once (R21).
        frozen_before: no day before this one can change any more (R31).
        ledger: (id, version, reason, day_before, day_after, value_delta) in the order of writing.
        drift: (the day it belongs to, id, day, kind, field, frozen value, CRM value, value_delta, currency).
    """

    latest_wins: bool = False
    published: dict[str, Row] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    frozen_before: date = date.min
    ledger: list[tuple[Any, ...]] = field(default_factory=list)
    drift: set[tuple[Any, ...]] = field(default_factory=set)

    def first_window_day(self, r: date, window: int) -> date:
        return min(max(r - timedelta(days=window), self.frozen_before), r)

    def run(self, crm: Iterable[Row], r: date, window: int, first: date, last: date) -> None:
        """conversions and adjusted over the days first..last, with the window's W days at local date r."""
        edge = self.first_window_day(r, window)
        found = self._compare(crm, r, edge, first, last, audit=False)
        self._replace_drift(found, first, last)
        self.days |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
        self.frozen_before = edge

    def audit(self, crm: Iterable[Row], r: date, window: int) -> None:
        """drift_audit: all frozen days against the query; publishes nothing."""
        edge = self.first_window_day(r, window)
        if self.days and min(self.days) < edge:
            first, last = min(self.days), edge - ONE_DAY
            self._replace_drift(self._compare(crm, r, edge, first, last, audit=True), first, last)

    def _replace_drift(self, found: set[tuple[Any, ...]], first: date, last: date) -> None:
        self.drift = {row for row in self.drift if not first <= row[0] <= last} | found

    def _compare(
        self, crm: Iterable[Row], r: date, edge: date, first: date, last: date, audit: bool
    ) -> set[tuple[Any, ...]]:
        def covered(day: date) -> bool:
            return first <= day <= last

        def may_change(day: date) -> bool:
            return edge <= day < r or day not in self.days

        returned = [
            row
            for row in crm
            if row["status"] == "confirmed" and (covered(_day(row)) or edge <= _day(row) <= r or _day(row) > r)
        ]
        ids = {row["id"] for row in returned}
        winners: dict[str, Row] = {}
        for row in sorted(returned, key=lambda row: row["created"], reverse=not self.latest_wins):
            if row["currency"] != "???" and _day(row) <= r and not row.get("future"):
                winners[row["id"]] = row
        found: set[tuple[Any, ...]] = set()
        for id in sorted(winners.keys() | self.published.keys()):
            known, seen = self.published.get(id), winners.get(id)
            change: tuple[Row | None, date] | None = None
            if known is None:
                assert seen is not None
                if covered(_day(seen)):
                    if may_change(_day(seen)):
                        change = seen, _day(seen)
                    else:
                        found.add(_drift(seen, seen, _day(seen), "NEW_LATE", "value", None, seen["value"], seen["value"] or 0.0))
            elif seen is None:
                if id not in ids and covered(known["day"]) and known["status"] == "ACTIVE":
                    if may_change(known["day"]):
                        change = None, known["day"]
                    else:
                        lost = known["value"]
                        found.add(_drift(known, known, known["day"], "VANISHED", "value", lost, None, -(lost or 0.0)))
            elif covered(_day(seen)):
                home, sight = known["day"], _day(seen)
                if home != sight and not (may_change(home) and may_change(sight)):
                    found.add(_drift(known, seen, home, "MOVED", "day", home, sight, 0.0))
                if not may_change(home):
                    found |= _differing_fields(known, seen)
                elif may_change(sight):
                    change = seen, sight
                elif covered(home):
                    change = seen, home
            if change is not None and not audit:
                self._write(id, *change)
        return found

    def _write(self, id: str, seen: Row | None, day: date) -> None:
        known = self.published.get(id)
        reason = _reason(known, seen, day)
        if reason is None:
            return
        if known is None:
            assert seen is not None
            new = {"adjustment_type": "NONE", "adjustment_reason": None, "original_value": seen["value"]}
            new |= {"previous_value": None, "previous_currency": None, "adjustment_count": 0}
        else:
            new = dict(known)
        if reason not in ("PUBLISHED", "MOVED", "ATTRIBUTE_CHANGED"):
            assert known is not None
            new["adjustment_type"] = "RETRACTION" if seen is None else "RESTATEMENT"
            new["adjustment_reason"] = reason
            new["previous_value"], new["previous_currency"] = known["value"], known["currency"]
            new["adjustment_count"] += 1
        if seen is None:
            new |= {"status": "RETRACTED", "value": 0.0}
        else:
            new |= {name: seen[name] for name in ("id", "client_id", *REPORTED)} | {"status": "ACTIVE", "day": day}
            if _day(seen) == day:
                new["created"] = seen["created"]
        version = 1 + sum(entry[0] == id for entry in self.ledger)
        delta = (new["value"] or 0.0) - ((known or {}).get("value") or 0.0)
        self.ledger.append((id, version, reason, known["day"] if known else None, new["day"], delta))
        self.published[id] = new


def _day(row: Row) -> date:
    created: datetime = row["created"]
    return created.date()


def _reason(known: Row | None, seen: Row | None, day: date) -> str | None:
    if known is None:
        return "PUBLISHED"
    if seen is None:
        return "VANISHED"
    if known["status"] == "RETRACTED":
        return "REAPPEARED"
    for name, reason in zip(REPORTED, ("VALUE_CHANGED", "CURRENCY_CHANGED", "QUALIFICATION_CHANGED"), strict=True):
        if known[name] != seen[name]:
            return reason
    if known["day"] != day:
        return "MOVED"
    return "ATTRIBUTE_CHANGED" if known["client_id"] != seen["client_id"] else None


def _differing_fields(known: Row, seen: Row) -> set[tuple[Any, ...]]:
    found = set()
    for name in REPORTED:
        if known[name] != seen[name]:
            delta = (seen["value"] or 0.0) - (known["value"] or 0.0) if name == "value" else 0.0
            found.add(_drift(known, seen, known["day"], "VALUE", name, known[name], seen[name], delta))
    return found


def _drift(
    money: Row, seen: Row, day: date, kind: str, field: str, frozen: object, crm: object, delta: float
) -> tuple[Any, ...]:
    """`seen` tells the day that the row belongs to; a published row tells its home day."""
    belongs = seen["day"] if "day" in seen else _day(seen)
    return belongs, money["id"], day, kind, field, as_text(frozen), as_text(crm), delta, money["currency"]


def as_text(value: object) -> str | None:
    """A value as the drift report writes it; engines differ in '10' and '10.0', so numbers are made alike."""
    if value is None or isinstance(value, date):
        return None if value is None else str(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return repr(float(text))
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
