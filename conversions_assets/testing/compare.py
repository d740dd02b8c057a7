"""What a case expects against what the SQL returned, as a table that an author of SQL reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from conversions_assets.contract.columns import NAMES
from conversions_assets.testing.casefile import Case, Row

WHOLE_ROW = "(row)"
HEADINGS = ("line", "id", "column", "expected", "got")
Returned = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What a run staged.

    Attributes:
        accepted: rows of the wanted days.
        outside: rows that the SQL returned for other days.
        refused: rows for the quarantine.
    """

    accepted: Sequence[Returned]
    outside: Sequence[Returned]
    refused: Sequence[Returned]


@dataclass(frozen=True)
class Difference:
    """One line of the table.

    Attributes:
        line: the line of the file that expects it; None for a row that nothing expects.
    """

    line: int | None
    id: str
    column: str
    expected: str
    got: str

    @property
    def extra(self) -> bool:
        return self.line is None


def differences(case: Case, result: Result) -> list[Difference]:
    """Rows that are missing or not expected, and values that differ; nothing where the case passes."""
    found: list[Difference] = []
    left = list(result.accepted)
    # Rows that fit in full are taken first: an id may stand on several days.
    expected = sorted(case.expect, key=lambda row: not any(_same(row, other) for other in left))
    for row in expected:
        same_id = [other for other in left if other["id"] == row.values["id"]]
        match = next((other for other in same_id if _same(row, other)), same_id[0] if same_id else None)
        if match is None:
            found.append(_missing(row, result))
        else:
            left = [other for other in left if other is not match]
            found += _columns(row, match)
    found += [_extra(other, f"a row: {_shown(other)}") for other in left]
    return sorted(found + _quarantine(case, result), key=lambda difference: difference.line or math.inf)


def _same(row: Row, other: Returned) -> bool:
    return row.values["id"] == other["id"] and not _columns(row, other)


def _columns(row: Row, other: Returned) -> list[Difference]:
    return [
        Difference(row.lines[name], str(row.values["id"]), name, _text(value), _text(_plain(name, other[name])))
        for name, value in row.values.items()
        if not _equal(value, _plain(name, other[name]))
    ]


def _equal(expected: Any, got: Any) -> bool:
    if isinstance(expected, int | float) and isinstance(got, float):
        return math.isclose(expected, got, rel_tol=1e-9, abs_tol=1e-9) or expected is got
    return bool(expected == got)


def _plain(name: str, value: Any) -> Any:
    return {pair["key"]: pair["value"] for pair in value} if name == "params" and value else value


def _missing(row: Row, result: Result) -> Difference:
    id = row.values["id"]
    got = "no row"
    for other in result.outside:
        if other["id"] == id:
            got = f"a row for {other['day']}, outside of the days"
    for other in result.refused:
        if other["id"] == id:
            got = f"quarantined, {other['refusal']}"
    return Difference(row.line, str(id), WHOLE_ROW, "a row", got)


def _quarantine(case: Case, result: Result) -> list[Difference]:
    found = []
    left = list(result.refused)
    for row in case.quarantined:
        id, rule = row.values["id"] or "", row.values.get("rule")
        same_id = [other for other in left if (other["id"] or "") == id]
        match = next((other for other in same_id if rule in (None, _rule(other))), same_id[0] if same_id else None)
        wanted = f"quarantined by {rule}" if rule else "quarantined"
        if match is None:
            accepted = any(other["id"] == id for other in result.accepted)
            found.append(Difference(row.line, id, WHOLE_ROW, wanted, "an accepted row" if accepted else "no row"))
            continue
        left = [other for other in left if other is not match]
        if rule not in (None, _rule(match)):
            found.append(Difference(row.line, id, WHOLE_ROW, wanted, f"quarantined, {match['refusal']}"))
    expected = {row.values["id"] for row in case.expect}
    # One that a case expects among the accepted rows is told there.
    return found + [_extra(o, f"quarantined, {o['refusal']}") for o in left if o["id"] not in expected]


def _rule(other: Returned) -> str:
    return str(other["refusal"]).partition(":")[0]


def _extra(other: Returned, got: str) -> Difference:
    return Difference(None, str(other["id"] or ""), WHOLE_ROW, "no row", got)


def _shown(other: Returned) -> str:
    # As it can be pasted under `expect:`.
    filled = {name: _plain(name, other[name]) for name in NAMES if other[name] is not None}
    return _text(filled)


def _text(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def table_of(found: Sequence[Difference]) -> str:
    """The differences as a table of text."""
    rows = [
        HEADINGS,
        *((str(d.line or ""), d.id, d.column, d.expected, d.got) for d in found),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS) - 1)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
