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
    # A comment behind the last semicolon is a statement of its own to sqlglot.
    return [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]


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
    translated = _rewritten(tree)
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


def _rewritten(tree: exp.Expr) -> exp.Expr:
    # Children first, so that what stands inside of a rewritten node is rewritten too. The extra root lets the
    # tree's own top be replaced.
    root = exp.Paren(this=tree.copy())
    for node in reversed(list(root.walk(bfs=True))):
        rewrite = _REWRITES.get(type(node))
        if rewrite is not None and node.parent is not None:
            changed = rewrite(node.copy())
            if changed is not None:
                node.replace(changed)
    result: exp.Expr = root.this
    return result


def _aware(node: exp.Expr) -> exp.Expr:
    # DuckDB's epoch functions give a naive time; BigQuery's TIMESTAMP_MILLIS & co. an instant. The session is in UTC.
    return exp.Cast(this=node, to=AWARE.copy())


def _parsed_time(node: exp.Expr) -> exp.Expr:
    # PARSE_TIMESTAMP gives an instant, in UTC unless a zone is named; strptime gives a naive time.
    zone = node.args.get("zone") or exp.Literal.string("UTC")
    node.set("zone", None)
    return exp.AtTimeZone(this=node, zone=zone)


def _local_date(node: exp.Expr) -> exp.Expr | None:
    # DATE(instant, zone): the zone conversion alone; sqlglot takes the way over a naive UTC time, twice the cost.
    zone = node.args.get("zone")
    if zone is None:
        return None
    local = exp.AtTimeZone(this=exp.Cast(this=node.this, to=AWARE.copy()), zone=zone)
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


def _day_of_week(node: exp.Expr) -> exp.Expr | None:
    # Sunday is 0 in DuckDB and 1 in BigQuery.
    if node.this.name.upper() not in ("DAYOFWEEK", "DAY_OF_WEEK"):
        return None
    return exp.Paren(this=exp.Add(this=node, expression=exp.Literal.number(1)))


def _printf(node: exp.Expr) -> exp.Expr:
    # DuckDB's FORMAT reads another language; its printf reads BigQuery's, but for %t and %T.
    arguments = [node.this, *node.expressions]
    if "%t" in node.this.name.lower():
        raise DialectError("FORMAT with %t or %T has no equal on DuckDB: write the format that you want out")
    return exp.Anonymous(this="PRINTF", expressions=arguments)


def _text_of_number(node: exp.Expr) -> exp.Expr | None:
    # CAST(1.0 AS STRING) is '1' in BigQuery and '1.0' in DuckDB, which folds the test of the type when it binds.
    if not node.to.is_type(exp.DType.TEXT, exp.DType.VARCHAR) or node.this.is_string:  # type: ignore[attr-defined]
        return None
    of_type = exp.Anonymous(this="TYPEOF", expressions=[node.this.copy()])
    has_decimals = exp.Anonymous(
        this="REGEXP_MATCHES", expressions=[of_type, exp.Literal.string("^(DOUBLE|FLOAT|DECIMAL)")]
    )
    trailing_zeros = [exp.Literal.string(r"(\.\d*[1-9])0+$|\.0+$"), exp.Literal.string(r"\1")]
    short = exp.Anonymous(this="REGEXP_REPLACE", expressions=[node.copy(), *trailing_zeros])
    return exp.Case(ifs=[exp.If(this=has_decimals, true=short)], default=node)


def _exact_number(node: exp.Expr) -> exp.Expr | None:
    # NUMERIC is DECIMAL(38, 9) in BigQuery, DECIMAL(18, 3) in DuckDB; BIGNUMERIC has more digits than DuckDB can hold.
    if node.this in (exp.DType.DECIMAL, exp.DType.BIGDECIMAL) and not node.expressions:
        return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
    return None


_REWRITES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr | None]] = {
    exp.UnixToTime: _aware,
    exp.StrToTime: _parsed_time,
    exp.Date: _local_date,
    exp.Properties: _without_layout,
    exp.CountIf: _count_if,
    exp.RegexpReplace: _single_replacement,
    exp.Extract: _day_of_week,
    exp.Format: _printf,
    exp.Cast: _text_of_number,
    exp.DataType: _exact_number,
}
