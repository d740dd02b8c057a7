"""BigQuery SQL -> DuckDB SQL: one text, two engines. What has no equal meaning is refused, never guessed.

What is rewritten stands in `rewrites/` and `duckdb_bigquery.sql`; the differential test compares it with ZetaSQL.
"""

from collections.abc import Iterable
from functools import cache

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites import rewritten

__all__ = ["DialectError", "bigquery_type", "parse_bigquery", "parse_expression", "to_duckdb"]


def parse_bigquery(text: str) -> list[exp.Expr]:
    """Parse BigQuery SQL into one tree per statement.

    Raises:
        sqlglot.errors.SqlglotError: the text is no BigQuery SQL.
    """
    trees = sqlglot.parse(text, read="bigquery", error_level=ErrorLevel.IMMEDIATE)
    # A comment behind the last semicolon is a statement of its own to sqlglot.
    return [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]


def parse_expression(text: str) -> exp.Expr:
    """Parse one BigQuery expression: 'a + 1'."""
    [tree] = parse_bigquery(f"SELECT {text}")
    assert isinstance(tree, exp.Query)
    return tree.selects[0]


def to_duckdb(tree: exp.Expr, float_columns: Iterable[str] = ()) -> str:
    """DuckDB SQL of the same meaning; `@name` becomes `$name`.

    Args:
        float_columns: names of columns that hold FLOAT64 in some table: comparisons with them heed NaN.

    Raises:
        DialectError: a construct has no equal on DuckDB.
    """
    translated = rewritten(tree, float_columns)
    try:
        return translated.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE, copy=False)
    except UnsupportedError as error:
        raise DialectError(f"DuckDB has no equal of this BigQuery SQL: {error}") from error


@cache
def bigquery_type(duckdb_type: str) -> str:
    """The BigQuery name of a DuckDB type: 'VARCHAR' -> 'STRING', 'TIMESTAMP' -> 'DATETIME'."""
    if duckdb_type.strip('"') == "NULL":
        return "NULL"
    data_type = exp.DataType.build(duckdb_type, dialect="duckdb")
    if data_type.this in exp.DataType.NUMERIC_TYPES and data_type.this not in exp.DataType.FLOAT_TYPES:
        return "NUMERIC" if data_type.this == exp.DType.DECIMAL else "INT64"
    return data_type.sql(dialect="bigquery").replace("`", "")
