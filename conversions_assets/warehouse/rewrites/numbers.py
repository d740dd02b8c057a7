"""Numbers: literals, rounding, casts to and from text."""

import re
from collections.abc import Callable

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, cast, has_late_type, integer_literal, number, text

# A text that both engines read alike needs no test when the query runs.
ISO_LITERALS = {
    "DATE": re.compile(r"\d{4}-\d{2}-\d{2}"),
    "TIMESTAMP": re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?)?"),
    "TIMESTAMPTZ": re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}(:?\d{2})?)?)?"),
}
CASTS = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "datetime",
    "TIMESTAMPTZ": "instant",
}


def float_literal(node: exp.Expr) -> exp.Expr | None:
    """1.5 is a FLOAT64 in BigQuery and a DECIMAL in DuckDB; 1.5e0 is a double in both."""
    if node.is_string or "." not in node.this or "e" in node.this.lower():
        return None
    return exp.Literal(this=f"{node.this}e0", is_string=False)


def wide_integers(node: exp.Expr) -> exp.Expr | None:
    """Two integer literals are computed in 64 bits, not in DuckDB's 32."""
    if integer_literal(node.this) is None or integer_literal(node.args["expression"]) is None:
        return None
    node.set("this", cast(node.this, "BIGINT"))
    return node


def rounded(node: exp.Expr) -> exp.Expr:
    """ROUND gives FLOAT64 of an INT64, and rounds exact halves only."""
    decimals = node.args.get("decimals") or number(0)
    if integer_literal(decimals) is None:
        raise DialectError("ROUND: the number of digits must be written out to be translated to DuckDB")
    return call("bq_round_any" if has_late_type(node.this) else "bq_round", node.this, decimals)


def called(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rewrite to a macro of one argument."""
    return lambda node: call(name, node.this)


def converted(node: exp.Expr) -> exp.Expr | None:
    """CAST and SAFE_CAST: to text as BigQuery writes it, from text only what BigQuery reads."""
    if node.args.get("format") is not None:
        raise DialectError("CAST … FORMAT has no equal on DuckDB: use FORMAT_DATE, FORMAT_TIMESTAMP or PARSE_DATE")
    to = node.args["to"]
    name = to.sql(dialect="duckdb")
    if to.is_type(exp.DType.JSON):
        raise DialectError("the type JSON has no equal on DuckDB: keep JSON as text and read it with JSON_VALUE")
    if name in ("TEXT", "VARCHAR"):
        return None if node.this.is_string else call("bq_text", node.this)
    macro = CASTS.get(name)
    is_whole = integer_literal(node.this) is not None or isinstance(node.this, exp.Null | exp.Boolean)
    if macro is None or is_whole or (node.this.is_number and name != "BIGINT"):
        return None
    if node.this.is_string and name in ISO_LITERALS:
        if ISO_LITERALS[name].fullmatch(node.this.this):
            return None
        zone = re.fullmatch(r"(.+?) ([A-Z][A-Za-z_]+(?:/[A-Za-z_/+-]+)?)", node.this.this)
        if zone and name == "TIMESTAMPTZ":
            return call("bq_timestamp", text(zone[1]), text(zone[2]))
    return call(f"bq_safe_{macro}" if isinstance(node, exp.TryCast) else f"bq_{macro}", node.this)


def exact_number(node: exp.Expr) -> exp.Expr | None:
    """NUMERIC is DECIMAL(38, 9) in BigQuery, DECIMAL(18, 3) in DuckDB; BIGNUMERIC has too many digits for DuckDB."""
    if node.this in (exp.DType.DECIMAL, exp.DType.BIGDECIMAL) and not node.expressions:
        return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
    return None


def day_number(node: exp.Expr) -> exp.Expr:
    """DATE_FROM_UNIX_DATE gives a DATE."""
    epoch = cast(text("1970-01-01"), "DATE")
    return exp.Paren(this=exp.Add(this=epoch, expression=cast(node.this, "INT")))


def whole_seconds(node: exp.Expr) -> exp.Expr:
    """UNIX_SECONDS cuts the fraction off."""
    return exp.Paren(this=exp.IntDiv(this=call("EPOCH_US", node.this), expression=number(1_000_000)))
