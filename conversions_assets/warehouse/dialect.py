"""BigQuery SQL -> DuckDB SQL: one text, two engines. What has no equal meaning is refused, never guessed.

Tried facts and known differences: docs/rules.md and sqlglot's own tests.
"""

import re
from collections.abc import Callable

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

AWARE = exp.DataType.build("TIMESTAMPTZ", dialect="duckdb")
LAYOUT = (exp.PartitionedByProperty, exp.ClusterProperty)


class DialectError(Exception):
    """BigQuery SQL that has no equal on DuckDB."""


def parse_bigquery(text: str) -> list[exp.Expr]:
    """Parse BigQuery SQL into one tree per statement.

    Raises:
        sqlglot.errors.SqlglotError: the text is no BigQuery SQL.
    """
    trees = sqlglot.parse(text, read="bigquery", error_level=ErrorLevel.IMMEDIATE)
    return [tree for tree in trees if isinstance(tree, exp.Expr)]


def parse_expression(text: str) -> exp.Expr:
    """Parse one BigQuery expression: 'a + 1'."""
    [tree] = parse_bigquery(f"SELECT {text}")
    assert isinstance(tree, exp.Query)
    return tree.selects[0]


def to_duckdb(tree: exp.Expr) -> str:
    """DuckDB SQL of the same meaning; `@name` becomes `$name`.

    Raises:
        DialectError: a construct has no equal on DuckDB.
    """
    translated = tree.transform(_rewrite)
    try:
        return translated.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise DialectError(f"DuckDB has no equal of this BigQuery SQL: {error}") from error


def bigquery_type(duckdb_type: str) -> str:
    """The BigQuery name of a DuckDB type: 'VARCHAR' -> 'STRING', 'TIMESTAMP' -> 'DATETIME'."""
    if duckdb_type.strip('"') == "NULL":
        return "NULL"
    data_type = exp.DataType.build(duckdb_type, dialect="duckdb")
    if data_type.this in exp.DataType.NUMERIC_TYPES and data_type.this not in exp.DataType.FLOAT_TYPES:
        return "NUMERIC" if data_type.this == exp.DType.DECIMAL else "INT64"
    return data_type.sql(dialect="bigquery").replace("`", "")


def _rewrite(node: exp.Expr) -> exp.Expr:
    for kind, rewrite in _REWRITES.items():
        if isinstance(node, kind):
            return rewrite(node)
    return node


def _aware(node: exp.Expr) -> exp.Expr:
    # DuckDB's epoch functions give a naive time; BigQuery's TIMESTAMP_MILLIS & co. an instant.
    if isinstance(node.parent, exp.Cast) and node.parent.to == AWARE:
        return node
    return exp.Cast(this=node, to=AWARE.copy())


def _local_date(node: exp.Expr) -> exp.Expr:
    # DATE(instant, zone): the zone conversion alone; sqlglot takes the way over a naive UTC time, twice the cost.
    instant, zone = node.this, node.args.get("zone")
    if zone is None:
        return node
    local = exp.AtTimeZone(this=exp.Cast(this=instant, to=AWARE.copy()), zone=zone)
    return exp.Cast(this=local, to=exp.DataType.build("DATE"))


def _without_layout(node: exp.Expr) -> exp.Expr:
    node.set("expressions", [p for p in node.expressions if not isinstance(p, LAYOUT)])
    return node


def _single_replacement(node: exp.Expr) -> exp.Expr:
    # A pattern that begins at the start of the text matches once: without DuckDB's slow 'g'.
    pattern = node.args["expression"].name
    if re.fullmatch(r"\^\((?:[^()]|\([^()]*\))*\)", pattern):
        node.set("single_replace", True)
    return node


def _count_if(node: exp.Expr) -> exp.Expr:
    # DuckDB's count_if gives NULL where no row counts; BigQuery's COUNTIF gives 0.
    return exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=node.this))


_REWRITES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.UnixToTime: _aware,
    exp.Date: _local_date,
    exp.Properties: _without_layout,
    exp.CountIf: _count_if,
    exp.RegexpReplace: _single_replacement,
}
