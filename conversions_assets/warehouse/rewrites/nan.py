"""NaN: in BigQuery no number equals it, is smaller or greater; in DuckDB it is equal to itself and the greatest.

Only columns and expressions that may hold a FLOAT64 are looked at, by their names: a name that is a float in any table
counts. The macro bq_is_nan is FALSE for every other type when the query is bound, so a name too many costs nothing.
"""

from collections.abc import Callable, Iterable, Sequence

from sqlglot import exp

from conversions_assets.warehouse.rewrites.trees import call

PASSED_ON = (
    exp.Paren, exp.Neg, exp.Abs, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.SafeDivide, exp.Round, exp.Coalesce, exp.If,
    exp.Case, exp.Max, exp.Min, exp.Sum, exp.Avg, exp.Window, exp.AnyValue, exp.Greatest, exp.Least, exp.Nullif,
    exp.Bracket, exp.Array, exp.ArrayAgg, exp.IgnoreNulls, exp.Order, exp.Subquery, exp.Select, exp.Alias,
    exp.FirstValue, exp.LastValue, exp.Lag, exp.Lead, exp.Distinct, exp.Unnest,
)  # fmt: skip


def with_nan(nodes: Iterable[exp.Expr], float_columns: Iterable[str]) -> None:
    """Rewrite comparisons, orders, MIN and LEAST of what may be NaN, in place.

    Args:
        nodes: all of a tree, from its root on.
    """
    nodes = list(nodes)
    names = _names(nodes, {name.lower() for name in float_columns})
    for node in nodes:
        rewrite = _REWRITES.get(type(node))
        if rewrite is not None and node.parent is not None and not isinstance(node.parent, exp.Update):
            rewrite(node, lambda part: _may_be_nan(part, names))


def _names(nodes: Sequence[exp.Expr], names: set[str]) -> set[str]:
    aliases: list[tuple[str, exp.Expr]] = []
    for node in nodes:
        if isinstance(node, exp.Alias):
            aliases.append((node.alias.lower(), node.this))
        elif isinstance(node, exp.Unnest) and node.args.get("alias"):
            aliases += [(column.name.lower(), node) for column in node.args["alias"].columns]
        elif isinstance(node, exp.PropertyEQ):
            aliases.append((node.name.lower(), node.expression))
        elif isinstance(node, exp.ColumnDef) and node.kind is not None and node.kind.is_type(exp.DType.DOUBLE):
            names.add(node.name.lower())
        elif isinstance(node, exp.SetOperation):
            aliases += zip((name.lower() for name in node.named_selects), _right(node).selects, strict=False)
    while True:
        found = {name for name, value in aliases if name not in names and _may_be_nan(value, names)}
        if not found:
            return names
        names |= found


def _right(union: exp.SetOperation) -> exp.Query:
    right = union.expression.unnest()
    assert isinstance(right, exp.Query)
    return right


def _may_be_nan(node: exp.Expr, names: set[str]) -> bool:
    if isinstance(node, exp.Column | exp.Dot):
        return node.name.lower() in names
    if isinstance(node, exp.Cast):
        return bool(node.to.is_type(exp.DType.DOUBLE, exp.DType.FLOAT)) and not node.this.is_number
    if isinstance(node, exp.Anonymous):
        return node.name.upper() == "IEEE_DIVIDE"
    if not isinstance(node, PASSED_ON):
        return False
    parts = node.selects if isinstance(node, exp.Select) else node.iter_expressions()
    return any(_may_be_nan(part, names) for part in parts)


Test = Callable[[exp.Expr], bool]


def _is_nan(node: exp.Expr) -> exp.Expr:
    return call("bq_is_nan", node.copy())


def _greater(node: exp.Expr, test: Test) -> None:
    swapped = isinstance(node, exp.LT | exp.LTE)
    greater, lesser = (node.expression, node.this) if swapped else (node.this, node.expression)
    if not test(greater):
        return
    nan = _is_nan(greater)
    if not isinstance(lesser, exp.Literal):
        # NULL stays NULL
        nan = exp.and_(nan, exp.Not(this=exp.Is(this=lesser.copy(), expression=exp.Null())))
    node.replace(exp.paren(exp.and_(node.copy(), exp.not_(nan))))


def _equal(node: exp.Expr, test: Test) -> None:
    if not (test(node.this) and test(node.expression)):
        return
    both = exp.and_(_is_nan(node.this), _is_nan(node.expression))
    changed = exp.or_(node.copy(), both) if isinstance(node, exp.NEQ) else exp.and_(node.copy(), exp.not_(both))
    node.replace(exp.paren(changed))


def _in_list(node: exp.Expr, test: Test) -> None:
    suspects = [part for part in node.expressions if test(part)]
    if suspects and test(node.this):
        equal = [exp.EQ(this=node.this.copy(), expression=part.copy()) for part in suspects]
        others = [part for part in node.expressions if part not in suspects]
        node.set("expressions", others)
        whole = exp.paren(exp.or_(*([node.copy()] if others else []), *equal))
        node.replace(whole)
        for part in list(whole.find_all(exp.EQ)):
            _equal(part, test)


def _null_if(node: exp.Expr, test: Test) -> None:
    if test(node.this) and test(node.expression):
        both = exp.and_(_is_nan(node.this), _is_nan(node.expression))
        node.replace(exp.Case(ifs=[exp.If(this=both, true=node.this.copy())], default=node.copy()))


def _smallest(node: exp.Expr, test: Test) -> None:
    if not test(node.this):
        return
    window = node.parent if isinstance(node.parent, exp.Window) and node.arg_key == "this" else None
    whole = window or node
    any_nan: exp.Expr = exp.LogicalOr(this=_is_nan(node.this))
    largest: exp.Expr = exp.Max(this=node.this.copy())
    if window is not None:
        any_nan, largest = (_over(window, part) for part in (any_nan, largest))
    whole.replace(exp.Case(ifs=[exp.If(this=any_nan, true=largest)], default=whole.copy()))


def _over(window: exp.Expr, function: exp.Expr) -> exp.Expr:
    copy = window.copy()
    copy.set("this", function)
    return copy


def _least(node: exp.Expr, test: Test) -> None:
    parts = [node.this, *node.expressions]
    suspects = [part for part in parts if test(part)]
    if suspects:
        greatest = exp.Greatest(this=node.this.copy(), expressions=[part.copy() for part in node.expressions])
        any_nan = exp.or_(*[_is_nan(part) for part in suspects])
        node.replace(exp.Case(ifs=[exp.If(this=any_nan, true=greatest)], default=node.copy()))


def _between(node: exp.Expr, test: Test) -> None:
    if test(node.args["high"]):
        low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
        high = exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())
        both = exp.paren(exp.and_(low, high))
        node.replace(both)
        for part in list(both.find_all(exp.GTE, exp.LTE)):
            _greater(part, test)


def _ordered(node: exp.Expr, test: Test) -> None:
    key = _ordinal(node) or node.this
    order = node.parent
    if not test(key) or not isinstance(order, exp.Order):
        return
    first = exp.Ordered(this=_is_nan(key), desc=not node.args.get("desc"), nulls_first=node.args.get("nulls_first"))
    place = node.index or 0
    keys = list(order.expressions)
    order.set("expressions", [*keys[:place], first, *keys[place:]])


def _ordinal(node: exp.Expr) -> exp.Expr | None:
    select = node.find_ancestor(exp.Select)
    if not isinstance(node.this, exp.Literal) or node.this.is_string or select is None:
        return None
    place = int(node.this.this)
    return select.selects[place - 1].unalias() if 0 < place <= len(select.selects) else None


_REWRITES: dict[type[exp.Expr], Callable[[exp.Expr, Test], None]] = {
    exp.GT: _greater,
    exp.GTE: _greater,
    exp.LT: _greater,
    exp.LTE: _greater,
    exp.EQ: _equal,
    exp.NEQ: _equal,
    exp.In: _in_list,
    exp.Nullif: _null_if,
    exp.Min: _smallest,
    exp.Least: _least,
    exp.Between: _between,
    exp.Ordered: _ordered,
}
