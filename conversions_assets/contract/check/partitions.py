"""R1: every read of a partitioned table is cut by @start_date and @end_date on its partition column.

BigQuery prunes partitions by conditions that compare the bare column, or its day, with a constant expression
(https://cloud.google.com/bigquery/docs/querying-partitioned-tables), and pushes a condition on a subquery's column down
to the table where neither windows nor LIMIT stand between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import Analysis
from conversions_assets.contract.check.catalog import TABLE_SUFFIX
from conversions_assets.contract.source import Finding
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope


class Cut(Flag):
    """How the conditions of a scope bound a column."""

    NONE = 0
    CONSTANT = auto()
    LOWER = auto()
    UPPER = auto()
    BOTH = LOWER | UPPER


@dataclass(frozen=True)
class _Read:
    scope: "Scope"
    alias: str
    column: str


def missing_filters(analysis: Analysis) -> Iterator[Finding]:
    """An error per read without a lower bound by a parameter; a warning per read without an upper one."""
    from sqlglot import exp

    for scope in analysis.scopes:
        if not isinstance(scope.expression, exp.Select):
            continue
        for alias, (node, source) in scope.selected_sources.items():
            if not isinstance(source, exp.Table) or not isinstance(node, exp.Table):
                continue
            table = Table(source.db, source.name)
            column = analysis.catalog.partition_column(table)
            if column is not None:
                cut = _cut(analysis, _Read(scope, alias, column.lower()))
                yield from _judge(analysis, node, table, alias, column, cut)


def _judge(analysis: Analysis, node: "exp.Table", table: Table, alias: str, column: str, cut: Cut) -> Iterator[Finding]:
    name = f"{alias}.{column}" if alias not in (table.name, table.name.lower()) else column
    start, end = _bounds(analysis, table, column)
    fix = f"add to its WHERE: {name} BETWEEN {start} AND {end}"
    place = analysis.start(node)
    if Cut.LOWER in cut:
        if Cut.UPPER not in cut:
            problem = f"R1: `{table}` is read from @start_date to its end: no condition on `{name}` names @end_date"
            yield analysis.query.source.finding(place, problem, f"add to its WHERE: {name} <= {end}", "warning")
    elif Cut.UPPER in cut:
        problem = f"R1: `{table}` is read from its beginning: no condition on `{name}` names @start_date"
        yield analysis.query.source.finding(place, problem, f"add to its WHERE: {name} >= {start}")
    elif Cut.CONSTANT in cut:
        problem = f"R1: the filter on `{name}` of `{table}` does not follow the days of a run"
        yield analysis.query.source.finding(place, problem, fix)
    else:
        problem = f"R1: `{table}` is partitioned by `{column}`, and nothing that reads it here filters by it"
        yield analysis.query.source.finding(place, problem, fix)


def _bounds(analysis: Analysis, table: Table, column: str) -> tuple[str, str]:
    if column == TABLE_SUFFIX:
        return "FORMAT_DATE('%Y%m%d', @start_date)", "FORMAT_DATE('%Y%m%d', @end_date)"
    columns = {n.lower(): k for n, k in (analysis.catalog.columns(table) or {}).items()}
    kind = (columns | {n.lower(): k for n, k in analysis.catalog.pseudo_columns(table).items()}).get(column.lower())
    if kind in ("TIMESTAMP", "DATETIME"):
        return f"{kind}(@start_date)", f"{kind}(DATE_ADD(@end_date, INTERVAL 1 DAY))"
    return "@start_date", "@end_date"


def _cut(analysis: Analysis, read: _Read, depth: int = 0) -> Cut:
    found = Cut.NONE
    for condition in _conditions(read):
        found |= _condition(condition, read)
    if Cut.LOWER in found or depth > 20:
        return found
    return found | _cut_outside(analysis, read, depth)


def _cut_outside(analysis: Analysis, read: _Read, depth: int) -> Cut:
    """What the queries around a subquery or CTE filter: all that read it must."""
    from sqlglot import exp

    select = read.scope.expression
    if not isinstance(select, exp.Select) or _blocks(select):
        return Cut.NONE
    position = next((i for i, e in enumerate(select.selects) if _is_column(e.unalias(), read)), None)
    if position is None:
        return Cut.NONE
    scope = read.scope
    while scope.parent is not None and isinstance(scope.parent.expression, exp.SetOperation):
        scope = scope.parent
    named = scope.expression.named_selects if isinstance(scope.expression, exp.Query) else []
    if position >= len(named):
        return Cut.NONE
    name = named[position].lower()
    users = [
        _Read(user, alias, name)
        for user in analysis.scopes
        for alias, (_node, source) in user.selected_sources.items()
        if source is scope
    ]
    if not users:
        return Cut.NONE
    cuts = [_cut(analysis, user, depth + 1) for user in users]
    common = cuts[0]
    for cut in cuts[1:]:
        common &= cut
    return common


def _blocks(select: "exp.Select") -> bool:
    """Whether a condition on the result cannot be asked of the rows before; on a bare column of a GROUP BY it can."""
    from sqlglot import exp

    if any(select.args.get(k) for k in ("limit", "offset", "qualify")):
        return True
    return any(node.parent_select is select for e in select.selects for node in e.find_all(exp.Window))


def _conditions(read: _Read) -> "Iterator[exp.Expr]":
    """The conditions that every row of the read must meet: of WHERE, and of the joins that drop rows of the table."""
    from sqlglot import exp

    select = read.scope.expression
    pending: list[exp.Expr] = [select.args["where"].this] if select.args.get("where") else []
    for join in select.args.get("joins") or ():
        on = join.args.get("on")
        if on is not None and (not join.side or (join.side == "LEFT" and join.this.alias_or_name == read.alias)):
            pending.append(on)
    while pending:
        node = pending.pop()
        if isinstance(node, exp.And):
            pending += [node.this, node.expression]
        elif isinstance(node, exp.Paren):
            pending.append(node.this)
        else:
            yield node


def _condition(node: "exp.Expr", read: _Read) -> Cut:
    from sqlglot import exp

    if isinstance(node, exp.Paren):
        return _condition(node.this, read)
    if isinstance(node, exp.And):
        return _condition(node.this, read) | _condition(node.expression, read)
    if isinstance(node, exp.Or):
        return _condition(node.this, read) & _condition(node.expression, read)
    return _comparison(node, read)


def _comparison(node: "exp.Expr", read: _Read) -> Cut:
    from sqlglot import exp

    if isinstance(node, exp.Between) and _is_column(node.this, read):
        return _bound(node.args["low"], Cut.LOWER) | _bound(node.args["high"], Cut.UPPER)
    if isinstance(node, exp.In) and _is_column(node.this, read):
        values = [*node.expressions, *filter(None, [node.args.get("unnest")])]
        return min((_bound(value, Cut.BOTH) for value in values), default=Cut.NONE, key=_IN_ORDER.index)
    both: dict[type[exp.Expr], tuple[Cut, Cut]] = {
        exp.EQ: (Cut.BOTH, Cut.BOTH), exp.GT: (Cut.LOWER, Cut.UPPER), exp.GTE: (Cut.LOWER, Cut.UPPER),
        exp.LT: (Cut.UPPER, Cut.LOWER), exp.LTE: (Cut.UPPER, Cut.LOWER),
    }  # fmt: skip
    sides = both.get(type(node), (Cut.NONE, Cut.NONE))
    if isinstance(node, exp.Binary) and _is_column(node.this, read):
        return _bound(node.expression, sides[0])
    return (
        _bound(node.this, sides[1]) if isinstance(node, exp.Binary) and _is_column(node.expression, read) else Cut.NONE
    )


# A list prunes as well as its worst value does.
_IN_ORDER = [Cut.NONE, Cut.CONSTANT, Cut.BOTH]


def _is_column(node: "exp.Expr", read: _Read) -> bool:
    """The bare column, or its day or hour: forms by which BigQuery prunes."""
    from sqlglot import exp

    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        # A pseudo column stands without a table.
        return node.name.lower() == read.column and (node.table or read.alias) == read.alias
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc | exp.DatetimeTrunc):
        return not node.args.get("zone") and _is_column(node.this, read)
    if isinstance(node, exp.Date | exp.TsOrDsToDate):
        return (
            not node.args.get("zone") and not node.expressions and node.this is not None and _is_column(node.this, read)
        )
    return type(node) is exp.Cast and node.to.is_type(exp.DType.DATE) and _is_column(node.this, read)


def _bound(value: "exp.Expr", side: Cut) -> Cut:
    """What a value bounds: a constant expression with a parameter bounds a side, one without is a constant."""
    from sqlglot import exp

    if not side or value.find(exp.Column, exp.Query, exp.Subquery) is not None:
        return Cut.NONE
    return side if value.find(exp.Parameter) is not None else Cut.CONSTANT
