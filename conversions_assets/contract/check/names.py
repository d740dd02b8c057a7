"""Tables and columns that are not there, and columns that could be of two tables."""

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import Analysis
from conversions_assets.contract.source import Finding
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope


def missing_tables(analysis: Analysis) -> Iterator[Finding]:
    """Tables of a known dataset that neither a schema nor a declaration knows."""
    from sqlglot import exp

    for node in analysis.query.tree.find_all(exp.Table):
        table = Table(node.db, node.name)
        near = analysis.catalog.nearest(table) if table in analysis.query.tables else None
        if near is not None:
            fix = f"write {near}" if near else "declare it with CrmTables, or correct the name"
            yield analysis.query.source.finding(analysis.start(node), f"the table `{table}` does not exist", fix)


def unknown_columns(analysis: Analysis) -> Iterator[Finding]:
    """Columns that no table in reach has, and columns without a table that several have."""
    for scope, select in analysis.selects():
        for column in own_columns(select):
            yield from _judge(analysis, scope, column)


def own_columns(select: "exp.Select") -> "Iterator[exp.Column]":
    """The columns that a SELECT itself names, without those of its subqueries."""
    from sqlglot import exp

    for column in select.find_all(exp.Column):
        if column.parent_select is select and not isinstance(column.this, exp.Star):
            yield column


def source_columns(analysis: Analysis, source: "Scope | exp.Expr") -> Sequence[str] | None:
    """The columns of a table, a subquery or a CTE in lower case; None where they cannot be told."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    if isinstance(source, exp.Table):
        table = Table(source.db, source.name)
        columns = analysis.catalog.columns(table)
        if columns is None or source.args.get("pivots"):
            return None
        return [name.lower() for name in (*columns, *analysis.catalog.pseudo_columns(table))]
    if not isinstance(source, Scope) or not isinstance(source.expression, exp.Query) or source.expression.is_star:
        return None
    first = source.expression.selects[0] if source.expression.selects else None
    if first is None or any(scope.expression.args.get("kind") for scope in source.traverse()):
        return None
    outer = [name.lower() for name in source.outer_columns]
    return outer or [name.lower() for name in source.expression.named_selects]


def _judge(analysis: Analysis, scope: "Scope", column: "exp.Column") -> Iterator[Finding]:
    name = column.name
    reach = list(_reach(scope))
    if column.table:
        found = next((s.sources[column.table] for s in reach if column.table in s.sources), None)
        if found is None:
            if not any(_hides_columns(analysis, s) for s in reach):
                names = sorted({n for s in reach for n in s.sources if not n.startswith("_")})
                yield _finding(analysis, column, f"`{column.table}` is no table of this query", column.table, names)
            return
        columns = source_columns(analysis, found)
        if columns is not None and name.lower() not in columns:
            yield _finding(
                analysis, column, f"the column `{name}` does not exist in `{column.table}`", name, _plain(columns)
            )
        return
    owners = owning_sources(analysis, scope, name)
    if len(owners) > 1:
        problem = f"the column `{name}` is in {' and in '.join(f'`{owner}`' for owner in owners)}"
        yield analysis.query.source.finding(analysis.start(column), problem, f"write {owners[0]}.{name}")
    elif not owners and not any(_hides_columns(analysis, s) for s in reach) and not _is_source(reach, name):
        columns = [c for s in reach for source in s.sources.values() for c in _of(analysis, source) or ()]
        yield _finding(analysis, column, f"the column `{name}` does not exist", name, _plain(columns))


def owning_sources(analysis: Analysis, scope: "Scope", name: str) -> list[str]:
    """The tables, subqueries and CTEs of a scope that have a column, by their alias."""
    return [
        alias for alias, (_, source) in scope.selected_sources.items() if name.lower() in (_of(analysis, source) or ())
    ]


def _reach(scope: "Scope") -> "Iterator[Scope]":
    """The scope and those around it whose tables it may name."""
    inner: Scope | None = scope
    while inner is not None:
        yield inner
        inner = inner.parent


def _of(analysis: Analysis, source: "Scope | exp.Expr") -> Sequence[str] | None:
    from sqlglot import exp

    unnest = getattr(source, "expression", None)
    if isinstance(unnest, exp.Unnest):
        alias = unnest.args.get("alias")
        offset = unnest.args.get("offset")
        named = [c.name.lower() for c in (alias.columns if alias else ())] + [n.lower() for n in unnest.named_selects]
        fields = [f.name.lower() for f in unnest.type.expressions if f.name] if unnest.type else []
        return [*named, *fields, *([offset.name.lower()] if isinstance(offset, exp.Expr) else [])]
    return source_columns(analysis, source)


def _hides_columns(analysis: Analysis, scope: "Scope") -> bool:
    """Whether a source of the scope may have columns that nobody can tell."""
    from sqlglot import exp

    for source in scope.sources.values():
        unnest = getattr(source, "expression", None)
        if isinstance(unnest, exp.Unnest):
            # Elements of a known simple type have no columns.
            if unnest.type is None or unnest.type.is_type(exp.DType.UNKNOWN):
                return True
        elif _of(analysis, source) is None:
            return True
    return bool(scope.pivots)


def _is_source(reach: "Sequence[Scope]", name: str) -> bool:
    return any(name.lower() == alias.lower() for s in reach for alias in s.sources)


def _plain(columns: Sequence[str]) -> list[str]:
    return sorted(set(columns))


def _finding(analysis: Analysis, column: "exp.Column", problem: str, name: str, names: Sequence[str]) -> Finding:
    near = difflib.get_close_matches(name.lower(), names, n=1)
    fix = f"write {near[0]}" if near else f"write one of {', '.join(names[:12])}" if names else "correct the name"
    part = column.args["table"] if problem.startswith(f"`{name}`") else column.this
    return analysis.query.source.finding(analysis.start(part), problem, fix)
