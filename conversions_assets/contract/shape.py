"""Names and types of what a user's SQL returns, held against the table of the contract."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from conversions_assets.contract.columns import COLUMNS, NAMES, Column
from conversions_assets.contract.query import Query
from conversions_assets.contract.source import Finding, refuse

if TYPE_CHECKING:
    from sqlglot import exp

MOST_WRONG_NAMES = 20


def check_names(query: Query, names: Sequence[str]) -> None:
    """Each column once, none unknown, none of the required ones missing; order and case do not matter.

    Raises:
        QueryError: names each wrong column and the nearest name of the contract.
    """
    refuse(name_findings(query, names))


def check_types(query: Query, types: Mapping[str, str]) -> None:
    """Each column in the type of the contract.

    Raises:
        QueryError: names each wrong column, its type and the cast to write.
    """
    refuse(type_findings(query, types))


def name_findings(query: Query, names: Sequence[str]) -> Iterator[Finding]:
    """Columns that are there twice, unknown, or missing; of many wrong ones the first."""
    lowered = [name.casefold() for name in names]
    yield from islice(_wrong_names(query, names), MOST_WRONG_NAMES)
    for column in COLUMNS:
        if column.required and column.name not in lowered:
            problem, fix = f"the column `{column.name}` is missing", f"add `… AS {column.name}`: {column.meaning}"
            yield query.source.finding(_select_offset(query), problem, fix)


def _wrong_names(query: Query, names: Sequence[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in names:
        lowered = name.casefold()
        if lowered in seen:
            yield at_column(query, lowered, f"the column `{lowered}` is there twice", "keep one of them", last=True)
        elif lowered not in NAMES:
            yield at_column(query, lowered, f"the column `{name}` is not part of the contract", _nearest(lowered))
        seen.add(lowered)


def type_findings(query: Query, types: Mapping[str, str]) -> Iterator[Finding]:
    """Columns of another type than the contract's; a type that cannot be told ('UNKNOWN') is one."""
    lowered = {name.casefold(): kind for name, kind in types.items()}
    for column in COLUMNS:
        found = lowered.get(column.name, column.type)
        if found == column.type or found in column.accepted or (found == "NULL" and not column.required):
            continue
        problem = f"the column `{column.name}` is {found}, not {column.type}"
        if found == "UNKNOWN":
            problem = f"the type of the column `{column.name}` cannot be told: it must be {column.type}"
        yield at_column(query, column.name, problem, _cast(query, column, found))


def at_column(query: Query, name: str, problem: str, fix: str, last: bool = False) -> Finding:
    """The finding for a column of the result, at its place in the SQL."""
    expression = _projection(query, name, last)
    offset = _select_offset(query) if expression is None else query.source.start_of(expression)
    return query.source.finding(offset, problem, fix)


def _nearest(name: str) -> str:
    if not name.isidentifier():
        return f"give it a name with AS: the columns are {', '.join(NAMES)}"
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f"write AS {near[0]}" if near else f"remove it, or put it into params: the columns are {', '.join(NAMES)}"


def _cast(query: Query, column: Column, found: str) -> str:
    if found == "NULL":
        return f"return the column that holds it: {column.meaning}"
    expression = _projection(query, column.name, last=False)
    written = expression.unalias().sql(dialect="bigquery", comments=False) if expression is not None else column.name
    template = dict(column.hint_of).get(found, column.hint)
    hint = f"{template.format(written)} AS {column.name}" if "{}" in template else f"write it like {template}"
    return f"{hint}\n       {column.advice}" if column.advice else hint


def _projection(query: Query, name: str, last: bool = False) -> "exp.Expr | None":
    found = [e for e in query.tree.selects if e.alias_or_name.casefold() == name]
    return (found[-1] if last else found[0]) if found else None


def _select_offset(query: Query) -> int:
    starts = [query.source.start_of(e) for e in query.tree.selects if any("start" in n.meta for n in e.walk())]
    selects = [t.start for t in query.source.tokens if t.text.upper() == "SELECT"]
    before = [start for start in selects if not starts or start < min(starts)]
    return int(before[-1]) if before else query.source.first_word
