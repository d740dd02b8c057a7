"""HubSpot's search: filters, one sort, pages up to the 10,000th result.

Source: HubSpot developer documentation, docs/api-reference/search/guide: 5 filter groups, 6 filters a group, 18 in all,
200 results a page, an error beyond 10,000.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from conversions_assets.demo.fake_crm.hubspot_properties import Properties
from conversions_assets.demo.fake_crm.index import Index, Record

MOST = 10_000
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "GT": lambda value, bound: value > bound,
    "GTE": lambda value, bound: value >= bound,
    "LT": lambda value, bound: value < bound,
    "LTE": lambda value, bound: value <= bound,
}
_OPERATORS = (*_ORDERED, "EQ", "NEQ", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY")


class SearchError(ValueError):
    """HubSpot answers 400."""


@dataclass(frozen=True)
class Matches:
    """Numbers of all records that match, in the order of the search."""

    numbers: list[int]
    by_number: bool


@dataclass(frozen=True)
class Search:
    """A parsed search.

    Bounds on the record's id are kept apart: a client that pages by id asks the same search again.
    """

    groups: list[list[dict[str, Any]]]
    above: int
    sort: str
    descending: bool
    limit: int
    after: int
    kind: str
    properties: Properties

    @classmethod
    def parse(cls, body: dict[str, Any], kind: str, properties: Properties) -> "Search":
        """Check a body.

        Raises:
            SearchError: a limit is passed, or a name or a value is unknown.
        """
        limit, after = body.get("limit", 10), str(body.get("after", 0))
        if not isinstance(limit, int) or not 1 <= limit <= 200:
            raise SearchError("'limit' must be a whole number between 1 and 200")
        if not after.isdecimal():
            raise SearchError("'after' is no cursor of this search")
        if int(after) + limit > MOST:
            raise SearchError(f"The search has exceeded {MOST} results")
        groups = [group.get("filters", []) for group in body.get("filterGroups", [])]
        if len(groups) > 5 or any(not 1 <= len(group) <= 6 for group in groups) or sum(map(len, groups)) > 18:
            raise SearchError("a search has at most 5 filterGroups of 1 to 6 filters, 18 in all")
        for entry in (entry for group in groups for entry in group):
            _check(entry, kind, properties)
        above = -1
        if len(groups) == 1:
            bounds = [entry for entry in groups[0] if _bound(entry) is not None]
            above = max((int(_bound(entry) or 0) for entry in bounds), default=-1)
            groups = [[entry for entry in groups[0] if entry not in bounds]]
        sort, descending = _sort(body.get("sorts", []), kind, properties)
        return cls(groups, above, sort, descending, limit, int(after), kind, properties)

    @property
    def key(self) -> str:
        """Equal for searches that match the same records but for bounds on the id."""
        return json.dumps([self.groups, self.sort, self.descending])

    def matches(self, index: Index) -> Matches:
        """All records that match, whatever their id."""
        found = [record for record in self._candidates(index) if self._matches(record)]
        if self.sort != "hs_object_id":
            found.sort(key=lambda record: record.number)
            found.sort(key=self._sort_key, reverse=self.descending)
        else:
            found.sort(key=lambda record: record.number, reverse=self.descending)
        return Matches([record.number for record in found], self.sort == "hs_object_id" and not self.descending)

    def page(self, matches: Matches) -> tuple[int, list[int]]:
        """The number of all results and the numbers of this page."""
        if matches.by_number:
            start = bisect_right(matches.numbers, self.above)
            first = start + self.after
            return len(matches.numbers) - start, matches.numbers[first : first + self.limit]
        numbers = [number for number in matches.numbers if number > self.above]
        return len(numbers), numbers[self.after : self.after + self.limit]

    def _candidates(self, index: Index) -> Iterable[Record]:
        """Those changed since the bound, where a single group has one."""
        if len(self.groups) == 1:
            for entry in self.groups[0]:
                if entry["propertyName"].endswith("lastmodifieddate") and entry["operator"] in ("GT", "GTE"):
                    start = typed(str(entry["value"]), "datetime").replace(microsecond=0)
                    changes = index.changes
                    return [index.rows[number] for _, number in changes[bisect_left(changes, (start, -1)) :]]
        return index.rows.values()

    def _matches(self, record: Record) -> bool:
        groups = [group for group in self.groups if group]
        return not groups or any(all(self._fulfils(record, entry) for entry in group) for group in groups)

    def _fulfils(self, record: Record, entry: dict[str, Any]) -> bool:
        name, operator = entry["propertyName"], entry["operator"]
        text, kind = self.properties.value(record, name), self.properties.type(self.kind, name) or "string"
        if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return bool((text is not None) == (operator == "HAS_PROPERTY"))
        if text is None:
            return bool(operator in ("NEQ", "NOT_IN"))
        value = typed(text, kind)
        if operator in ("IN", "NOT_IN"):
            return bool((value in [typed(str(other), kind) for other in entry["values"]]) == (operator == "IN"))
        bound = typed(str(entry["value"]), kind)
        if operator in ("EQ", "NEQ"):
            return bool((value == bound) == (operator == "EQ"))
        if operator == "BETWEEN":
            return bool(bound <= value <= typed(str(entry["highValue"]), kind))
        return _ORDERED[operator](value, bound)

    def _sort_key(self, record: Record) -> Any:
        text = self.properties.value(record, self.sort)
        kind = self.properties.type(self.kind, self.sort) or "string"
        return (text is not None, typed(text, kind) if text is not None else None)


def typed(text: str, kind: str) -> Any:
    """A value of a property or a filter, comparable with others of the type.

    Raises:
        SearchError: it is none of the type.
    """
    try:
        if kind == "number":
            return float(text)
        if kind == "datetime":
            # Milliseconds since 1970 or ISO 8601.
            if text.lstrip("-").isdecimal():
                return datetime.fromtimestamp(int(text) / 1000, UTC)
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except (ValueError, OverflowError):
        raise SearchError(f"'{text}' is no {kind}") from None
    return text.lower()


def _check(entry: Any, kind: str, properties: Properties) -> None:
    if not isinstance(entry, dict) or set(entry) - {"propertyName", "operator", "value", "values", "highValue"}:
        raise SearchError("a filter has propertyName, operator and value, values or highValue")
    name, operator = entry.get("propertyName"), entry.get("operator")
    value_type = properties.type(kind, str(name))
    if value_type is None:
        raise SearchError(f"There was a problem with the request: the property '{name}' does not exist")
    if operator not in _OPERATORS:
        raise SearchError(f"there is no operator '{operator}'")
    needed = {"IN": ["values"], "NOT_IN": ["values"], "BETWEEN": ["value", "highValue"]}.get(operator, ["value"])
    for part in [] if operator.endswith("HAS_PROPERTY") else needed:
        if part not in entry:
            raise SearchError(f"the filter on '{name}' lacks '{part}'")
        for value in entry[part] if part == "values" else [entry[part]]:
            typed(str(value), value_type)


def _bound(entry: dict[str, Any]) -> float | None:
    """The id above which a filter looks, None for other filters."""
    if entry["propertyName"] != "hs_object_id" or entry["operator"] not in ("GT", "GTE"):
        return None
    return float(entry["value"]) - float(entry["operator"] == "GTE")


def _sort(sorts: Any, kind: str, properties: Properties) -> tuple[str, bool]:
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise SearchError("a search has at most one sort")
    # HubSpot promises no order without a sort; here the newest come first, so that nobody relies on ids.
    entry = sorts[0] if sorts else {"propertyName": "hs_object_id", "direction": "DESCENDING"}
    name, direction = entry.get("propertyName"), entry.get("direction", "ASCENDING")
    if properties.type(kind, str(name)) is None or direction not in ("ASCENDING", "DESCENDING"):
        raise SearchError(f"cannot sort by '{name}' {direction}")
    return str(name), direction == "DESCENDING"
