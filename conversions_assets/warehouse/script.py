"""Our own SQL: files in BigQuery SQL beside the code that runs them, completed as trees, never as text.

A file names its inputs and outputs by placeholder tables (`published`, `user_query`). `bind` puts real tables or
queries in their place, fills lists into `IN UNNEST(@list)`, and expands `ROW_AS_JSON(alias)` and `COLUMNS_OF(alias)`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.dialect import parse_bigquery, parse_expression

ISO_MICROSECONDS = "%Y-%m-%dT%H:%M:%E6SZ"


@cache
def _parsed(path: Path) -> tuple[exp.Expr, ...]:
    return tuple(parse_bigquery(path.read_text(encoding="utf-8")))


def bind(
    path: Path,
    tables: Mapping[str, Table | exp.Query],
    params: Mapping[str, Any],
    columns: Mapping[str, str] | None = None,
) -> list[Statement]:
    """The statements of a .sql file, completed.

    Args:
        tables: placeholder -> table, or a query that stands there as a subquery.
        params: values of `@name`; a list or tuple fills `IN UNNEST(@name)`.
        columns: name -> BigQuery type of the row that ROW_AS_JSON and COLUMNS_OF write out.
    """
    return [_bind_tree(tree, tables, params, columns or {}) for tree in _parsed(path)]


def _bind_tree(
    template: exp.Expr,
    tables: Mapping[str, Table | exp.Query],
    params: Mapping[str, Any],
    columns: Mapping[str, str],
) -> Statement:
    tree = template.copy()
    for membership in list(tree.find_all(exp.In)):
        _fill_list(membership, params)
    for call in list(tree.find_all(exp.Anonymous)):
        _expand(call, columns)
    for table in list(tree.find_all(exp.Table)):
        if not table.db and table.name in tables:
            _place(table, tables[table.name])
    used = {parameter.name for parameter in tree.find_all(exp.Parameter)}
    return Statement(tree, {name: value for name, value in params.items() if name in used})


def _place(node: exp.Table, target: Table | exp.Query) -> None:
    alias = node.alias or node.name
    if isinstance(target, Table):
        replacement: exp.Expr = target.expression
        # The target of an INSERT or CREATE takes no alias.
        if isinstance(node.parent, exp.From | exp.Join | exp.Delete | exp.Update):
            replacement.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    else:
        replacement = exp.Subquery(this=target.copy(), alias=exp.TableAlias(this=exp.to_identifier(alias)))
    for part in ("joins", "laterals", "pivots"):
        if node.args.get(part):
            replacement.set(part, node.args[part])
    node.replace(replacement)


def _fill_list(node: exp.In, params: Mapping[str, Any]) -> None:
    unnest = node.args.get("unnest")
    argument = unnest.expressions[0] if isinstance(unnest, exp.Unnest) else None
    if isinstance(argument, exp.Parameter) and isinstance(params.get(argument.name), list | tuple):
        literals: Sequence[Any] = params[argument.name]
        if not literals:
            node.replace(exp.false())
            return
        node.set("unnest", None)
        node.set("expressions", [exp.convert(value) for value in literals])


def _expand(node: exp.Anonymous, columns: Mapping[str, str]) -> None:
    name = node.name.upper()
    if name == "COLUMNS_OF":
        _expand_columns(node, list(columns))
    elif name == "ROW_AS_JSON":
        alias = node.expressions[0].name
        fields = [
            exp.PropertyEQ(this=exp.to_identifier(column), expression=_json_field(alias, column, kind))
            for column, kind in columns.items()
        ]
        node.replace(exp.JSONFormat(this=exp.Struct(expressions=fields)))


def _expand_columns(node: exp.Anonymous, names: Sequence[str]) -> None:
    """COLUMNS_OF(alias) becomes the columns, also as the column list of the INSERT it stands in."""
    alias, select, insert = node.expressions[0].name, node.find_ancestor(exp.Select), node.find_ancestor(exp.Insert)
    assert select is not None
    select.set("expressions", [exp.column(name, table=alias) for name in names])
    if insert is not None:
        listed = [exp.to_identifier(name, quoted=True) for name in names]
        insert.set("this", exp.Schema(this=insert.this, expressions=listed))


def _json_field(alias: str, column: str, kind: str) -> exp.Expr:
    value = exp.column(column, table=alias)
    if kind == "TIMESTAMP":
        return _completed(f"as_is(FORMAT_TIMESTAMP('{ISO_MICROSECONDS}', value))", value)
    if kind.startswith("ARRAY"):
        # BigQuery keeps an empty array where DuckDB keeps NULL.
        return _completed("as_is(IF(ARRAY_LENGTH(value) > 0, value, NULL))", value)
    if kind == "NUMERIC":
        return value
    return _completed("as_float(value)" if kind == "FLOAT64" else "as_is(value)", value)


@cache
def _template(text: str) -> exp.Expr:
    return parse_expression(text)


def _completed(text: str, value: exp.Expr) -> exp.Expr:
    tree = _template(text).copy()
    for node in list(tree.find_all(exp.Column)):
        node.replace(value.copy())
    return tree
