"""What gives another answer in each run (CURRENT_*, RAND, GENERATE_UUID), and columns that are always NULL."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import Analysis
from conversions_assets.contract.check.lineage import Lineage, branches
from conversions_assets.contract.columns import COLUMNS, Presence
from conversions_assets.contract.source import Finding
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp

MOVING_FIX = "use @start_date and @end_date; “the last 30 days” is `adjustment_window_days: 30` in defs.yaml"


def moving_functions(analysis: Analysis) -> Iterator[Finding]:
    """R1: a warning for each, an error where it filters by `created` or by a partition column."""
    lineage = Lineage(analysis)
    guarded = _guarded_columns(analysis, lineage)
    forbidden: set[int] = set()
    for predicate in _predicates(analysis):
        nodes = list(lineage.reached(predicate))
        moving = [node for node in nodes if _name(node)]
        if moving and any(_is_guarded(lineage, node, guarded) for node in nodes):
            forbidden |= {id(node) for node in moving}
    for node in analysis.tree.walk():
        name = _name(node)
        if not name:
            continue
        place = analysis.start(node) if "start" in node.meta else analysis.query.source.word(name)
        if id(node) in forbidden:
            problem = f"R1: {name} in a filter on `created` or on a partition column cuts the oldest day in half"
            yield analysis.query.source.finding(place, problem, MOVING_FIX)
        else:
            problem = f"R1: {name} gives another answer in each run, so a run again is no longer the same"
            yield analysis.query.source.finding(place, problem, _fix(name), "warning")


def constant_nulls(analysis: Analysis) -> Iterator[Finding]:
    """R4: columns of the contract that the SQL sets to NULL in every row, also through CTEs and unions."""
    lineage = Lineage(analysis)
    parts = branches(analysis.tree)
    names = [name.casefold() for name in analysis.tree.named_selects]
    for column in COLUMNS:
        if column.name not in names:
            continue
        position = names.index(column.name)
        expressions = [part.selects[position] for part in parts if len(part.selects) > position]
        if not expressions or not all(_is_null(lineage, e, set()) for e in expressions):
            continue
        # NULL itself has no place in the tree.
        place = analysis.query.source.start_of_item(analysis.start(expressions[0]))
        if column.null != Presence.ALLOWED:
            problem = f"R4: `{column.name}` is NULL in every row: {column.null.value}"
            yield analysis.query.source.finding(place, problem, f"return the column that holds it: {column.meaning}")
        elif column.required:
            problem = f"R4: `{column.name}` is NULL in every row: every conversion is (not attributed)"
            yield analysis.query.source.finding(place, problem, "join the table that holds it", "warning")
        else:
            problem = f"R4: `{column.name}` is NULL in every row"
            yield analysis.query.source.finding(place, problem, "omit the column", "warning")


def _name(node: "exp.Expr") -> str:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.name).upper() if str(node.name).upper() in ("NOW", "GENERATE_UUID", "RAND") else ""
    return _NAMES.get(type(node).__name__, "")


_NAMES = {
    "CurrentTimestamp": "CURRENT_TIMESTAMP",
    "CurrentDate": "CURRENT_DATE",
    "CurrentDatetime": "CURRENT_DATETIME",
    "CurrentTime": "CURRENT_TIME",
    "Rand": "RAND",
    "Uuid": "GENERATE_UUID",
}


def _fix(name: str) -> str:
    return "take a column of the CRM instead" if name in ("RAND", "GENERATE_UUID") else MOVING_FIX


def _guarded_columns(analysis: Analysis, lineage: Lineage) -> set[tuple[int, str]]:
    """Columns of tables that make `created` of the result; partition columns are told by their table."""
    from sqlglot import exp

    made: set[tuple[int, str]] = set()
    for part in branches(analysis.tree):
        for expression in part.selects:
            if expression.alias_or_name.casefold() != "created":
                continue
            for node in lineage.reached(expression):
                base = lineage.base(node) if isinstance(node, exp.Column) else None
                if base is not None:
                    made.add((id(base[0]), base[1]))
    return made


def _is_guarded(lineage: Lineage, node: "exp.Expr", guarded: set[tuple[int, str]]) -> bool:
    from sqlglot import exp

    if not isinstance(node, exp.Column):
        return False
    base = lineage.base(node)
    if base is None:
        return False
    partition = lineage.analysis.catalog.partition_column(Table(base[0].db, base[0].name))
    return (id(base[0]), base[1]) in guarded or (partition is not None and partition.lower() == base[1])


def _predicates(analysis: Analysis) -> "Iterator[exp.Expr]":
    """The smallest conditions of each WHERE, HAVING, QUALIFY and ON."""
    from sqlglot import exp

    for _scope, select in analysis.selects():
        joined = [join.args["on"] for join in select.args.get("joins") or () if join.args.get("on")]
        filters = [select.args[k].this for k in ("where", "having", "qualify") if select.args.get(k)]
        pending: list[exp.Expr] = [*filters, *joined]
        while pending:
            node = pending.pop()
            if isinstance(node, exp.And | exp.Or):
                pending += [node.this, node.expression]
            elif isinstance(node, exp.Paren | exp.Not):
                pending.append(node.this)
            else:
                yield node


def _is_null(lineage: Lineage, expression: "exp.Expr", seen: set[int]) -> bool:
    from sqlglot import exp

    inner = expression.unalias()
    if id(inner) in seen:
        return False
    seen.add(id(inner))
    if isinstance(inner, exp.Null):
        return True
    if isinstance(inner, exp.Cast | exp.TryCast | exp.Paren):
        return _is_null(lineage, inner.this, seen)
    if isinstance(inner, exp.Column):
        definitions = [] if lineage.base(inner) else lineage.definitions(inner)
        return bool(definitions) and all(_is_null(lineage, definition, seen) for definition in definitions)
    return False
