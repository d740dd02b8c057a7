"""The story of one id: what was published of it, what changed and why, and why it may or may not change now."""

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from sqlglot import exp

from conversions_assets.adjustment.publish import read_window
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.project import Clock
from conversions_assets.warehouse.base import Statement, Table, Warehouse

# What may be shown: no client ids, no user ids, no values of params.
SHOWN = ("value", "currency", "is_qualified", "day", "status", "value_source", "model_version", "reported_value")


def explain(warehouse: Warehouse, conversion: Conversion, id: str, clock: Clock) -> str | None:
    """The story as text, oldest first; None where nothing is known of the id. Writes nothing."""
    ledger = _rows(warehouse, conversion.ledger, id, "version")
    published = _rows(warehouse, conversion.published, id)
    stored = _rows(warehouse, conversion.stored, id, "day")
    drift = _rows(warehouse, conversion.drift, id, "seen_at")
    quarantine = _rows(warehouse, conversion.quarantine, id, "quarantined_at")
    if not (ledger or published or stored or drift or quarantine):
        return None
    lines = [f"{conversion.name} {id}"]
    for entry in ledger:
        lines += _version(entry)
    if not ledger:
        lines.append("  never published")
    for row in published:
        lines += ["", f"Now published: {_state(row)}", f"  {_why(warehouse, conversion, row['day'], clock)}"]
    lines += ["", f"The SQL said when it last ran: {'; '.join(_sighting(row) for row in stored) or 'no such row'}"]
    lines += _listed("Drift report (frozen, the CRM says otherwise):", [_difference(row) for row in drift])
    lines += _listed("Quarantine:", [_refusal(row) for row in quarantine])
    return "\n".join(lines)


def _version(entry: Mapping[str, Any]) -> Iterator[str]:
    first = entry["before"] is None
    yield (
        f"  {entry['changed_at']:%Y-%m-%d %H:%M:%S} UTC  version {entry['version']}, {entry['reason']}"
        f"{' (first published)' if first else ''}"
    )
    after = json.loads(entry["after"])
    before = {} if first else json.loads(entry["before"])
    if first:
        yield f"      {_state(after)}"
    else:
        # What belongs to scores is in no entry of a conversion that is not predicted.
        changed = [name for name in SHOWN if before.get(name) != after.get(name)]
        told = [f"{name} {_text(name, before.get(name))} -> {_text(name, after.get(name))}" for name in changed]
        yield f"      {', '.join(told) or 'client id, user id or params (not shown)'}"
    delta = f"value moved {entry['value_delta']:+,.2f}, " if entry["value_delta"] else ""
    yield f"      {delta}load {entry['crm_load_id'] or 'unknown'}, run {entry['run_id']}"
    if entry["note"]:
        yield f"      note: {entry['note']}"


def _why(warehouse: Warehouse, conversion: Conversion, day: date, clock: Clock) -> str:
    today = conversion.project.local_date(clock.now)
    window = read_window(warehouse, conversion, Run("explain", clock, today, None))
    if day > window.last:
        return f"Its day {day} has not closed on {today}."
    if day >= window.first:
        return (
            f"Adjustable: its day {day} lies in the window {window.first} to {window.last} (W = {window.size}, "
            f"today {today}). It freezes on {day + timedelta(days=window.size + 1)}."
        )
    if conversion.window_days == 0:
        return f"Frozen: adjustment is off (adjustment_window_days 0), each day is published once (R14). {_THAW}"
    if day >= today - timedelta(days=window.size):
        return f"Frozen: an earlier run had frozen {day}, and a larger window thaws nothing (R31). {_THAW}"
    return f"Frozen: its day {day} lies before the window {window.first} to {window.last} (R21). {_THAW}"


_THAW = "Differences go to the drift report; a run configuration with `thaw` and a reason changes it."


def _state(row: Mapping[str, Any]) -> str:
    value = "no value" if row["value"] is None else f"{row['value']:,.2f} {row['currency']}"
    qualified = {None: "", True: ", qualified", False: ", not qualified"}[row["is_qualified"]]
    return f"{row['status']}, {value}{qualified}, day {row['day']}"


def _sighting(row: Mapping[str, Any]) -> str:
    return _state({**row, "status": "returned"})


def _difference(row: Mapping[str, Any]) -> str:
    return (
        f"{row['seen_at']:%Y-%m-%d %H:%M} UTC  {row['kind']}, {row['field']} of {row['day']}: published "
        f"{_text(row['field'], row['frozen_value'])}, CRM {_text(row['field'], row['crm_value'])}"
    )


def _refusal(row: Mapping[str, Any]) -> str:
    return f"{row['quarantined_at']:%Y-%m-%d %H:%M} UTC  day {row['day']}, {row['rule']}: {row['reason']}"


def _listed(title: str, rows: list[str]) -> list[str]:
    return ["", title, *(f"  {row}" for row in rows)] if rows else []


def _text(field: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"{float(value):,.2f}" if field in ("value", "reported_value") else str(value)


def _rows(warehouse: Warehouse, table: Table, id: str, *order: str) -> list[dict[str, Any]]:
    if warehouse.columns(table) is None:
        return []
    query = (
        exp.select("*").from_(table.expression).where(exp.column("id").eq(exp.Parameter(this=exp.to_identifier("id"))))
    )
    return warehouse.query(Statement(query.order_by(*order) if order else query, {"id": id}))
