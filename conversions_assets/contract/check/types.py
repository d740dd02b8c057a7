"""Types that BigQuery does not bring together: `TIMESTAMP > DATE`, `INT64 + STRING`, `IF(number, …)`.

What goes with what was asked of ZetaSQL, Google's analyser; a test asks it again. NULL goes with everything, and so
does what has no known type.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from conversions_assets.contract.check.analysis import UNKNOWN, Analysis, type_of
from conversions_assets.contract.source import Finding

if TYPE_CHECKING:
    from sqlglot import exp

NUMBERS = ("INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64")
TEMPORAL = ("DATE", "DATETIME", "TIMESTAMP", "TIME")
NOT_TEXT = ("JSON", "ARRAY", "STRUCT")
Found = tuple["exp.Expr", str, str]
"""A node, what is wrong with it and what to write."""


def clashes(analysis: Analysis) -> Iterator[Finding]:
    """Each place where types clash, with the cast to write."""
    for node in analysis.tree.walk():
        judge = _judges().get(type(node))
        for place, problem, fix in judge(node) if judge else ():
            yield analysis.query.source.finding(analysis.start(place), problem, fix)


def family(node: "exp.Expr") -> str:
    """The types that compare with each other have one name: NUMBER, DATE (with DATETIME), …; '' where unknown."""
    kind = type_of(node).split("<")[0].split("(")[0]
    if kind in (UNKNOWN, "NULL", ""):
        return ""
    if kind in NUMBERS:
        return "NUMBER"
    return "DATE" if kind == "DATETIME" else kind


def written(node: "exp.Expr") -> str:
    """An expression as its author would write it."""
    from sqlglot import exp

    copy = exp.paren(node.copy(), copy=False)
    for cast in list(copy.find_all(exp.Cast)):
        if isinstance(cast.this, exp.Parameter):
            cast.replace(cast.this)
    return str(copy.this.sql(dialect="bigquery", comments=False))


@cache
def _judges() -> "dict[type[exp.Expr], Callable[[exp.Expr], Iterator[Found]]]":
    from sqlglot import exp

    comparisons = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
    text_functions = (
        exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.RegexpReplace, exp.RegexpExtract, exp.RegexpLike,
        exp.StartsWith, exp.EndsWith, exp.Split, exp.StrPosition, exp.Left, exp.Right, exp.Initcap, exp.Length,
        exp.Like,
    )  # fmt: skip
    rules: list[tuple[Sequence[type[exp.Expr]], Callable[[exp.Expr], Iterator[Found]]]] = [
        (comparisons, lambda node: _compared(node.this, node.expression)),
        ((exp.NullSafeEQ, exp.NullSafeNEQ), lambda node: _matched(node.this, node.expression)),
        ((exp.Add, exp.Sub, exp.Mul, exp.Div), _calculated),
        ((exp.And, exp.Or), lambda node: _all_bool(node.this, node.expression)),
        ((exp.Not, exp.Where, exp.Having, exp.Qualify, exp.CountIf), lambda node: _all_bool(node.this)),
        ((exp.Coalesce, exp.Greatest, exp.Least), lambda node: _one_family([node.this, *node.expressions])),
        ((exp.Sum, exp.Avg), lambda node: _takes(node.this, ("NUMBER", "INTERVAL"), "SAFE_CAST({} AS FLOAT64)")),
        (text_functions, lambda node: _takes(node.this, ("STRING", "BYTES"), "CAST({} AS STRING)")),
        (
            (exp.UnixMillis, exp.UnixMicros, exp.UnixSeconds),
            lambda node: _takes(node.this, ("TIMESTAMP",), "TIMESTAMP({})"),
        ),
        ((exp.Between,), _between),
        ((exp.In,), _in),
        ((exp.If,), _if),
        ((exp.Case,), _case),
        ((exp.Join,), lambda node: _all_bool(*filter(None, [node.args.get("on")]))),
        ((exp.Cast, exp.TryCast), _cast),
        ((exp.UnixToTime,), lambda node: _takes(node.this, ("NUMBER",), "CAST({} AS INT64)")),
        ((exp.StrToTime,), lambda node: _takes(node.this, ("STRING",), "CAST({} AS STRING)")),
        ((exp.JSONExtractScalar,), lambda node: _takes(node.this, ("STRING", "JSON"), "TO_JSON({})")),
        ((exp.Union, exp.Except, exp.Intersect), _union),
    ]
    return {kind: judge for kinds, judge in rules for kind in kinds}


def _literal(node: "exp.Expr") -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Literal) and node.is_string


def _goes_with(left: "exp.Expr", right: "exp.Expr") -> bool:
    a, b = family(left), family(right)
    if not a or not b or a == b:
        return True
    # A text that is written out may be read as a date or a time, a column of text may not.
    return (_literal(left) and b in TEMPORAL) or (_literal(right) and a in TEMPORAL)


def _compared(left: "exp.Expr", right: "exp.Expr") -> Iterator[Found]:
    null, other = (left, right) if type_of(left) == "NULL" else (right, left)
    if type_of(null) == "NULL":
        problem = "a comparison with NULL is never true, and BigQuery refuses it"
        yield (other, problem, f"write {written(other)} IS NULL, or IS NOT NULL")
    elif not _goes_with(left, right):
        problem = f"{type_of(left)} and {type_of(right)} do not compare"
        yield (left, problem, _bring_together(left, right))


def _matched(left: "exp.Expr", right: "exp.Expr") -> Iterator[Found]:
    """IN, CASE x WHEN and IS DISTINCT FROM take NULL."""
    if "NULL" not in (type_of(left), type_of(right)):
        yield from _compared(left, right)


def _bring_together(left: "exp.Expr", right: "exp.Expr") -> str:
    a, b = family(left), family(right)
    for other, kind in ((right, b), (left, a)):
        if {a, b} == {"TIMESTAMP", "DATE"} and kind == "DATE":
            zone = ", 'UTC'" if type_of(other) == "DATETIME" else ""
            return f"write TIMESTAMP({written(other)}{zone})"
        if {a, b} == {"STRING", "NUMBER"} and kind == "NUMBER":
            return f"write CAST({written(other)} AS STRING), or SAFE_CAST the text to a number"
        if kind == "STRING" and {a, b} & set(TEMPORAL):
            target = b if kind == a else a
            return f"write SAFE_CAST({written(other)} AS {target})"
    return f"cast one of them: CAST({written(right)} AS {type_of(left)})"


def _between(node: "exp.Expr") -> Iterator[Found]:
    yield from _compared(node.this, node.args["low"])
    yield from _compared(node.this, node.args["high"])


def _in(node: "exp.Expr") -> Iterator[Found]:
    from sqlglot import exp

    for value in node.expressions:
        yield from _matched(node.this, value)
    query = node.args.get("query")
    if isinstance(query, exp.Subquery) and len(query.this.selects) == 1:
        yield from _matched(node.this, query.this.selects[0].unalias())


def _calculated(node: "exp.Expr") -> Iterator[Found]:
    from sqlglot import exp

    left, right = node.this, node.expression
    a, b = family(left), family(right)
    if "NULL" in (type_of(left), type_of(right)):
        yield (left, "a calculation with NULL gives NULL, and BigQuery refuses it", "leave it out, or write COALESCE")
        return
    if not a or not b or (a == b == "NUMBER") or "INTERVAL" in (a, b):
        return
    if isinstance(node, exp.Add) and sorted(["DATE" if _is_date(e) else type_of(e) for e in (left, right)]) == [
        "DATE",
        "INT64",
    ]:
        return
    if isinstance(node, exp.Sub) and _is_date(left) and type_of(right) == "INT64":
        return
    if isinstance(node, exp.Sub) and a == b and a in TEMPORAL:
        return
    wrong = right if a == "NUMBER" else left
    fix = f"write SAFE_CAST({written(wrong)} AS FLOAT64)"
    if a in TEMPORAL:
        fix = f"write {type_of(left)}_{'ADD' if isinstance(node, exp.Add) else 'SUB'}({written(left)}, INTERVAL … DAY)"
    yield (wrong, f"{type_of(left)} {_SIGNS[type(node).__name__]} {type_of(right)} cannot be calculated", fix)


def _is_date(node: "exp.Expr") -> bool:
    return type_of(node) == "DATE" or (_literal(node) and re.fullmatch(r"\d{4}-\d\d?-\d\d?", node.name) is not None)


_SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}


def _all_bool(*nodes: "exp.Expr") -> Iterator[Found]:
    for node in nodes:
        if family(node) not in ("", "BOOL"):
            yield (node, f"a condition is BOOL, this is {type_of(node)}", f"write a comparison: {written(node)} = …")


def _one_family(nodes: "Sequence[exp.Expr]") -> Iterator[Found]:
    known = [node for node in nodes if family(node)]
    for node in known[1:]:
        if not _goes_with(known[0], node):
            problem = f"{type_of(known[0])} and {type_of(node)} have no common type"
            yield (node, problem, _bring_together(known[0], node))
            return


def _if(node: "exp.Expr") -> Iterator[Found]:
    from sqlglot import exp

    yield from _condition(node)
    if not isinstance(node.parent, exp.Case):
        yield from _one_family([value for value in (node.args.get("true"), node.args.get("false")) if value])


def _condition(node: "exp.Expr") -> Iterator[Found]:
    from sqlglot import exp

    if not (isinstance(node.parent, exp.Case) and node.parent.this is not None):
        yield from _all_bool(node.this)


def _case(node: "exp.Expr") -> Iterator[Found]:
    branches = [branch.args["true"] for branch in node.args["ifs"]]
    default = node.args.get("default")
    yield from _one_family([*branches, *([default] if default is not None else [])])
    if node.this is not None:
        for branch in node.args["ifs"]:
            yield from _matched(node.this, branch.this)


def _takes(node: "exp.Expr", families: Sequence[str], cast: str) -> Iterator[Found]:
    if family(node) not in ("", *families):
        wanted = " or ".join("a number" if name == "NUMBER" else name for name in families)
        yield (node, f"this is {type_of(node)}, the function takes {wanted}", f"write {cast.format(written(node))}")


_NO_CAST = {
    ("BOOL", "FLOAT64"), ("BOOL", "NUMERIC"), ("FLOAT64", "BOOL"), ("INT64", "TIMESTAMP"), ("INT64", "DATE"),
    ("INT64", "DATETIME"), ("FLOAT64", "TIMESTAMP"), ("FLOAT64", "DATE"), ("DATE", "INT64"), ("DATE", "FLOAT64"),
    ("TIMESTAMP", "INT64"), ("TIMESTAMP", "FLOAT64"), ("DATETIME", "INT64"), ("TIMESTAMP", "BOOL"),
}  # fmt: skip


def _cast(node: "exp.Expr") -> Iterator[Found]:
    source, target = type_of(node.this), str(node.args["to"].sql(dialect="bigquery"))
    simple = source.split("<")[0]
    if (source, target) in _NO_CAST or (simple in NOT_TEXT and target == "STRING"):
        fix = "write another expression"
        if source == "INT64" and target == "TIMESTAMP":
            fix = f"write TIMESTAMP_MILLIS({written(node.this)}) or TIMESTAMP_SECONDS, as the column counts"
        elif simple in NOT_TEXT:
            fix = (
                f"write TO_JSON_STRING({written(node.this)})"
                if simple != "JSON"
                else f"write JSON_VALUE({written(node.this)})"
            )
        elif source == "TIMESTAMP":
            fix = f"write UNIX_MILLIS({written(node.this)})"
        yield (node.this, f"{source} cannot be cast to {target}", fix)


def _union(node: "exp.Expr") -> Iterator[Found]:
    left, right = node.this, node.expression
    while hasattr(left, "unnest") and left.key == "subquery":
        left = left.this
    if node.args.get("by_name") or left.is_star or right.is_star:
        return
    first, second = left.selects, right.selects
    if len(first) != len(second):
        yield (
            right.selects[0] if second else right,
            f"the parts of the union have {len(first)} and {len(second)} columns",
            "let both return the same columns in the same order",
        )
        return
    for a, b in zip(first, second, strict=True):
        if not _goes_with(a.unalias(), b.unalias()):
            problem = f"the column `{a.alias_or_name}` of the union is {type_of(a)} above and {type_of(b)} here"
            yield (b, problem, _bring_together(a.unalias(), b.unalias()))
