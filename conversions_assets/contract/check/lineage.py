"""Where a column comes from: through subqueries, CTEs and unions down to the raw tables."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import Analysis

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope


@dataclass
class Lineage:
    """Follows the columns of an analysed query."""

    analysis: Analysis
    _scopes: "dict[int, Scope]" = field(init=False)

    def __post_init__(self) -> None:
        self._scopes = {id(scope.expression): scope for scope in self.analysis.scopes}

    def reached(self, expression: "exp.Expr") -> "Iterator[exp.Expr]":
        """The expression's nodes and those of everything that its columns are made of, each once."""
        from sqlglot import exp

        seen: set[int] = set()
        pending = [expression]
        while pending:
            for node in pending.pop().walk():
                if id(node) in seen:
                    continue
                seen.add(id(node))
                yield node
                if isinstance(node, exp.Column):
                    pending.extend(e for e in self.definitions(node) if id(e) not in seen)

    def definitions(self, column: "exp.Column") -> "list[exp.Expr]":
        """What a column of a subquery, a CTE or an UNNEST is made of; nothing for a column of a table."""
        from sqlglot.optimizer.scope import Scope

        source = self.source(column)
        return _projected(source, column.name) if isinstance(source, Scope) else []

    def base(self, column: "exp.Column") -> "tuple[exp.Table, str] | None":
        """The table and the column's name there, if it is a table's own column."""
        from sqlglot import exp

        source = self.source(column)
        return (source, column.name.lower()) if isinstance(source, exp.Table) else None

    def source(self, column: "exp.Column") -> "Scope | exp.Expr | None":
        """The table, subquery, CTE or UNNEST that a column is read from."""
        scope = self._scopes.get(id(column.parent_select))
        while scope is not None:
            if column.table in scope.sources:
                return scope.sources[column.table]
            scope = scope.parent
        return None


def _projected(source: "Scope", name: str) -> "list[exp.Expr]":
    from sqlglot import exp

    expression = source.expression
    if isinstance(expression, exp.Unnest):
        return list(expression.expressions)
    if isinstance(expression, exp.SetOperation):
        names = [n.lower() for n in expression.named_selects]
        if name.lower() not in names:
            return []
        position = names.index(name.lower())
        return [e for branch in branches(expression) for e in branch.selects[position : position + 1]]
    if isinstance(expression, exp.Query):
        return [e.unalias() for e in expression.selects if e.alias_or_name.lower() == name.lower()]
    return []


def branches(query: "exp.Expr") -> "list[exp.Select]":
    """The SELECTs that a query's rows come from: itself, or the parts of a union."""
    from sqlglot import exp

    if isinstance(query, exp.Subquery):
        return branches(query.this)
    if isinstance(query, exp.SetOperation):
        return branches(query.this) + branches(query.expression)
    return [query] if isinstance(query, exp.Select) else []
