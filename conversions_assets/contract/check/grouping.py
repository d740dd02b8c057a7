"""Columns beside an aggregate that are neither grouped nor aggregated."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import Analysis
from conversions_assets.contract.check.types import written
from conversions_assets.contract.source import Finding

if TYPE_CHECKING:
    from sqlglot import exp


def ungrouped_columns(analysis: Analysis) -> Iterator[Finding]:
    """A finding per column of a grouped SELECT that its GROUP BY lacks; and aggregates in WHERE."""
    from sqlglot import exp

    for _scope, select in analysis.selects():
        where = select.args.get("where")
        for aggregate in _own(where, select, exp.AggFunc) if where else ():
            if not _in_window(aggregate):
                problem = f"{aggregate.key.upper()} cannot stand in WHERE"
                yield analysis.query.source.finding(analysis.start(aggregate), problem, "write it in HAVING")
        group = select.args.get("group")
        if group is None and not _aggregates(select):
            continue
        if group is not None and (
            group.args.get("all") or any(group.args.get(k) for k in ("rollup", "cube", "grouping_sets"))
        ):
            continue
        keys = {written(e.unnest()) for e in group.expressions} if group else set()
        for part in (*select.selects, *(select.args[k] for k in ("having",) if select.args.get(k))):
            for column in _free(part, select, keys):
                name = written(column)
                problem = f"`{name}` stands beside an aggregate and is neither grouped nor aggregated"
                fix = f"add {name} to GROUP BY, or write ANY_VALUE({name})"
                yield analysis.query.source.finding(analysis.start(column), problem, fix)


def _own(part: "exp.Expr", select: "exp.Select", kind: "type[exp.Expr]") -> "Iterator[exp.Expr]":
    return (node for node in part.find_all(kind) if node.parent_select is select)


def _in_window(node: "exp.Expr") -> bool:
    from sqlglot import exp

    parent = node.parent
    while isinstance(parent, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        parent = parent.parent
    return isinstance(parent, exp.Window)


def _aggregates(select: "exp.Select") -> bool:
    from sqlglot import exp

    having = select.args.get("having")
    parts = [*select.selects, *([having] if having else [])]
    return any(not _in_window(node) for part in parts for node in _own(part, select, exp.AggFunc))


def _free(part: "exp.Expr", select: "exp.Select", keys: set[str]) -> "Iterator[exp.Column]":
    """The columns of an expression that stand outside of aggregates and of grouped expressions."""
    from sqlglot import exp

    own_sources = {source.alias_or_name for source in select.find_all(exp.Table, exp.Subquery, exp.Unnest)}
    pending: list[exp.Expr] = [part.unalias()]
    while pending:
        node = pending.pop()
        if (isinstance(node, exp.AggFunc) and not _in_window(node)) or written(node) in keys:
            continue
        if isinstance(node, exp.Query | exp.Subquery):
            continue
        if isinstance(node, exp.Column):
            # A bare name that is still here is a column of HAVING.
            if (not node.table or node.table in own_sources) and not isinstance(node.this, exp.Star):
                yield node
            continue
        pending.extend(reversed(list(node.iter_expressions())))
