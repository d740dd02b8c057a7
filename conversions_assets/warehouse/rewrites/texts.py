"""Text functions."""

import re

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, integer_literal, literal_text, text, text_value

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def substring(node: exp.Expr) -> exp.Expr | None:
    """SUBSTR at 0, or before the start of the text, takes from the start; a negative length is an error."""
    start, length = node.args.get("start"), node.args.get("length")
    first, size = integer_literal(start), integer_literal(length)
    if first is not None and first > 0 and (length is None or (size is not None and size >= 0)):
        return None
    return call("bq_substr", node.this, *[part for part in (start, length) if part is not None])


def counted(node: exp.Expr) -> exp.Expr | None:
    """LEFT, RIGHT, LPAD, RPAD, REPEAT: a negative length is an error."""
    key = "times" if isinstance(node, exp.Repeat) else "expression"
    length = node.args.get(key)
    if length is None or (integer_literal(length) or -1) >= 0:
        return None
    node.set(key, call("bq_not_negative", length))
    return node


def trimmed(node: exp.Expr) -> exp.Expr | None:
    """TRIM takes all white space, DuckDB's leaves tabs and line ends."""
    if node.args.get("expression") is None:
        node.set("expression", text(WHITE_SPACE))
    return node


def escaped_like(node: exp.Expr) -> exp.Expr | None:
    r"""LIKE has the escape \ in BigQuery, none in DuckDB."""
    pattern = node.args["expression"]
    if isinstance(node.parent, exp.Escape) or "\\" not in (text_value(pattern) or "\\"):
        return None
    return exp.Escape(this=node, expression=text("\\"))


def found_at(node: exp.Expr) -> exp.Expr | None:
    """INSTR from the end has no equal."""
    position = node.args.get("position")
    if position is not None and (integer_literal(position) or 0) < 1:
        raise DialectError("INSTR with a position that is not a positive number has no equal on DuckDB: use STRPOS")
    return None


def printf(node: exp.Expr) -> exp.Expr:
    """DuckDB's FORMAT reads another language; its printf reads BigQuery's, but for some specifiers."""
    pattern = literal_text(node.this, "FORMAT", "the format")
    for specifier in re.findall(r"%[-+ #0-9.*']*[a-zA-Z%]", pattern):
        if "'" in specifier or specifier[-1] in "tTpPnaAuUcCkKlL" or "*" in specifier:
            raise DialectError(f"FORMAT with {specifier} has no equal on DuckDB: write the format that you want out")
    return call("PRINTF", node.this, *node.expressions)


def extracted(node: exp.Expr) -> exp.Expr | None:
    """REGEXP_EXTRACT with more than one group is an error in BigQuery."""
    pattern = text_value(node.args["expression"]) or ""
    if re.sub(r"\\.|\[\^?\]?[^]]*\]", "", pattern).replace("(?", "").count("(") > 1:
        raise DialectError("REGEXP_EXTRACT takes one group: write the others as (?:…)")
    return None


def single_replacement(node: exp.Expr) -> exp.Expr:
    """A pattern that begins at the start of the text matches once: without DuckDB's slow 'g'."""
    if re.fullmatch(r"\^\((?:[^()]|\([^()]*\))*\)", node.args["expression"].name):
        node.set("single_replace", True)
    return node
