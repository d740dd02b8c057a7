"""The part of SOQL that loaders write: SELECT fields FROM one object, conditions joined by AND, ORDER BY, LIMIT.

Source: Salesforce "SOQL and SOSL Reference" (SELECT syntax; COUNT(); date formats and date literals are not quoted).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

Row = dict[str, Any]
_QUERY = re.compile(
    r"\s*SELECT\s+(?P<fields>.+?)\s+FROM\s+(?P<object>\w+)(?:\s+WHERE\s+(?P<where>.+?))?"
    r"(?:\s+ORDER\s+BY\s+(?P<order>.+?))?(?:\s+LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_LITERAL = r"'(?:[^'\\]|\\.)*'|[\w:.+-]+"
_CONDITION = re.compile(
    rf"\s*(?P<field>\w+)\s*(?P<operator>>=|<=|!=|=|<|>|\bIN\b)\s*(?P<value>\((?:{_LITERAL}|[\s,])*\)|{_LITERAL})\s*",
    re.IGNORECASE,
)
_COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


class SoqlError(ValueError):
    """Salesforce answers 400 with `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Condition:
    """One comparison of a WHERE clause."""

    field: str
    operator: str
    value: Any

    def holds(self, row: Row) -> bool:
        """Whether a row fulfils it; NULL is equal to NULL alone."""
        found = row[self.field]
        if self.operator == "IN":
            return found in self.value
        if found is None or self.value is None:
            return self.operator in ("=", "!=") and bool(_COMPARE[self.operator](found, self.value))
        return bool(_COMPARE[self.operator](found, self.value))


@dataclass(frozen=True)
class Soql:
    """A parsed query; names are written as the object writes them. COUNT() has no fields."""

    fields: list[str]
    object: str
    conditions: list[Condition]
    order: list[tuple[str, bool]]
    limit: int | None

    def since(self) -> datetime | None:
        """The earliest SystemModstamp that can match."""
        bounds = [c.value for c in self.conditions if c.field == "SystemModstamp" and c.operator in (">", ">=", "=")]
        return max(bounds, default=None)

    def run(self, rows: Iterable[Row]) -> list[Row]:
        """The rows of the result, with all their columns."""
        found = [row for row in rows if all(condition.holds(row) for condition in self.conditions)]
        for name, descending in reversed(self.order):
            found.sort(key=lambda row: (row[name] is not None, row[name]), reverse=descending)
        return found[: self.limit]


def object_of(query: str) -> str:
    """The object that a query reads.

    Raises:
        SoqlError: it is no query.
    """
    match = _QUERY.fullmatch(query)
    if match is None:
        raise SoqlError("MALFORMED_QUERY", "unexpected token: write SELECT fields FROM object")
    return match["object"]


def parse(query: str, types: Mapping[str, str]) -> Soql:
    """Parse a query on an object with these fields (name -> Salesforce type).

    Raises:
        SoqlError: a name is unknown, or the text is not in the part of SOQL that is understood here.
    """
    match = _QUERY.fullmatch(query)
    if match is None:
        raise SoqlError("MALFORMED_QUERY", "unexpected token: write SELECT fields FROM object")
    names = {name.lower(): name for name in types}

    def known(name: str) -> str:
        if name.lower() not in names:
            raise SoqlError("INVALID_FIELD", f"No such column '{name}' on entity '{match['object']}'")
        return names[name.lower()]

    counted = re.fullmatch(r"COUNT\(\s*\)", match["fields"], re.IGNORECASE) is not None
    if counted and match["order"]:
        raise SoqlError("MALFORMED_QUERY", "COUNT() takes no ORDER BY")
    fields = [] if counted else [known(name.strip()) for name in match["fields"].split(",")]
    if len(set(fields)) != len(fields):
        raise SoqlError("MALFORMED_QUERY", "duplicate field selected")
    order = []
    for part in (match["order"] or "").split(",") if match["order"] else []:
        name, *direction = part.split()
        if [word.upper() for word in direction] not in ([], ["ASC"], ["DESC"]):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{' '.join(direction)}'")
        order.append((known(name), [word.upper() for word in direction] == ["DESC"]))
    conditions = []
    for field, operator, value in _conditions(match["where"] or ""):
        name = known(field)
        conditions.append(Condition(name, operator.upper(), _value(name, types[name], operator.upper(), value)))
    return Soql(fields, match["object"], conditions, order, int(match["limit"]) if match["limit"] else None)


def _conditions(where: str) -> Iterable[tuple[str, str, str]]:
    position = 0
    while position < len(where):
        match = _CONDITION.match(where, position)
        if match is None:
            raise SoqlError("MALFORMED_QUERY", "unexpected token in WHERE; here conditions are joined by AND alone")
        yield match["field"], match["operator"], match["value"]
        position = match.end()
        if position < len(where):
            joined = re.compile(r"AND\s+", re.IGNORECASE).match(where, position)
            if joined is None:
                raise SoqlError("MALFORMED_QUERY", "unexpected token in WHERE; here conditions are joined by AND alone")
            position = joined.end()


def _value(field: str, kind: str, operator: str, text: str) -> Any:
    if operator == "IN":
        if not text.startswith("("):
            raise SoqlError("MALFORMED_QUERY", "IN needs a list in parentheses")
        return [_literal(field, kind, part) for part in re.findall(_LITERAL, text)]
    return _literal(field, kind, text)


def _literal(field: str, kind: str, text: str) -> Any:
    if text.upper() == "NULL":
        return None
    quoted = text.startswith("'")
    if quoted != (kind in ("string", "id", "reference", "picklist", "email", "url")):
        rule = "should be" if not quoted else "should not be"
        raise SoqlError("INVALID_FIELD", f"value of filter criterion for field '{field}' {rule} enclosed in quotes")
    try:
        if quoted:
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "datetime":
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError
            return moment.astimezone(UTC)
        if kind == "date":
            return date.fromisoformat(text).isoformat()
        if kind == "boolean":
            return {"TRUE": True, "FALSE": False}[text.upper()]
        return float(text)
    except (ValueError, KeyError):
        message = f"value of filter criterion for field '{field}' must be of type {kind}"
        raise SoqlError("INVALID_FIELD", message) from None
