"""Small pieces that rewrites build trees of."""

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of a function of DuckDB, or of a macro of duckdb_bigquery.sql."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Expr:
    """A text literal."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expr:
    """An integer literal."""
    return exp.Literal.number(value)


def cast(node: exp.Expr, duckdb_type: str) -> exp.Expr:
    """CAST to a DuckDB type."""
    return exp.Cast(this=node, to=exp.DataType.build(duckdb_type, dialect="duckdb"))


def has_late_type(node: exp.Expr) -> bool:
    """Whether DuckDB does not know the type of an expression before it binds an aggregate or a query in it."""
    return node.find(exp.AggFunc, exp.Window, exp.Subquery) is not None


def integer_literal(node: exp.Expr | None) -> int | None:
    """The value of an integer literal with or without a sign; None for everything else."""
    if isinstance(node, exp.Neg):
        value = integer_literal(node.this)
        return None if value is None else -value
    return int(node.this) if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit() else None


def text_value(node: exp.Expr | None) -> str | None:
    """The value of a text literal, raw or not; None for everything else."""
    if isinstance(node, exp.RawString) or (node is not None and node.is_string):
        return str(node.this)
    return None


def literal_text(node: exp.Expr | None, function: str, what: str) -> str:
    """The value of a text literal.

    Raises:
        DialectError: it is no literal.
    """
    value = text_value(node)
    if value is None:
        raise DialectError(f"{function}: {what} must be written out as text to be translated to DuckDB")
    return value
