"""Names and types of what a user's SQL returns, held against the table of the contract."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from conversions_assets.contract.columns import COLUMNS, NAMES
from conversions_assets.contract.query import Query, QueryError, point_at

if TYPE_CHECKING:
    from sqlglot import exp


def check_names(query: Query, names: Sequence[str]) -> None:
    """Each column once, none unknown, none of the required ones missing; their order does not matter.

    Raises:
        QueryError: names the column and the nearest name of the contract.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            raise at_column(query, name, f"the column `{name}` is there twice", "keep one of them", last=True)
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            fix = (
                f"write AS {near[0]}"
                if near
                else f"remove it, or put it into params: the columns are {', '.join(NAMES)}"
            )
            raise at_column(query, name, f"the column `{name}` is not part of the contract", fix)
    for column in COLUMNS:
        if column.required and column.name not in names:
            raise point_at(
                query.path,
                query.text,
                _select_offset(query),
                f"the column `{column.name}` is missing",
                f"add `… AS {column.name}`: {column.meaning}",
            )


def check_types(query: Query, types: Mapping[str, str]) -> None:
    """Each column in the type of the contract.

    Raises:
        QueryError: names the column, its type and the cast to write.
    """
    for column in COLUMNS:
        found = types.get(column.name, column.type)
        if found == column.type or found in column.accepted or (found == "NULL" and not column.required):
            continue
        expression = _projection(query, column.name)
        source = expression.unalias().sql(dialect="bigquery", comments=False) if expression is not None else column.name
        raise at_column(
            query,
            column.name,
            f"the column `{column.name}` is {found}, not {column.type}",
            f"{column.hint.format(source)} AS {column.name}" if "{}" in column.hint else f"write it like {column.hint}",
        )


def at_column(query: Query, name: str, problem: str, fix: str, last: bool = False) -> QueryError:
    """The error for a column of the result, at its place in the SQL."""
    expression = _projection(query, name, last)
    starts = [n.meta["start"] for n in expression.walk() if "start" in n.meta] if expression is not None else []
    return point_at(query.path, query.text, min(starts) if starts else _select_offset(query), problem, fix)


def output_names(query: Query) -> list[str] | None:
    """The names of the result's columns as the SQL tells them; None if a star hides them."""
    tree = query.tree
    return None if tree.is_star else list(tree.named_selects)


def _projection(query: Query, name: str, last: bool = False) -> "exp.Expr | None":
    found = [e for e in query.tree.selects if e.alias_or_name == name]
    return (found[-1] if last else found[0]) if found else None


def _select_offset(query: Query) -> int:
    return max(query.text.upper().rfind("SELECT"), 0) if not query.tree.selects else _first_select(query)


def _first_select(query: Query) -> int:
    starts = [n.meta["start"] for e in query.tree.selects for n in e.walk() if "start" in n.meta]
    before = query.text.upper().rfind("SELECT", 0, min(starts, default=0) + 1)
    return max(before, 0)
