"""Arrays: elements, UNNEST, aggregates with LIMIT."""

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, integer_literal, number


def element(node: exp.Expr) -> exp.Expr | None:
    """An index outside of an array is an error, with SAFE_OFFSET and SAFE_ORDINAL NULL."""
    [index] = node.expressions
    if index.is_string:
        raise DialectError("the type JSON has no equal on DuckDB: read JSON text with JSON_VALUE")
    position = integer_literal(index)
    base = 1 - int(node.args.get("offset") or 0)
    if position is not None:
        place: exp.Expr = number(position + base)
    else:
        place = exp.Add(this=exp.Paren(this=index), expression=number(base)) if base else index
    return call("bq_safe_element" if node.args.get("safe") else "bq_element", node.this, place)


def limited(node: exp.Expr) -> exp.Expr | None:
    """ARRAY_AGG(x ORDER BY y LIMIT n): the first n of the whole array. IGNORE NULLS stands around it."""
    if isinstance(node, exp.IgnoreNulls) and isinstance(node.this, exp.Anonymous) and node.this.name == "LIST_SLICE":
        # The LIMIT inside was rewritten first, and IGNORE NULLS belongs to the aggregate.
        slice_call = node.this
        node.set("this", slice_call.expressions[0])
        slice_call.set("expressions", [node, *slice_call.expressions[1:]])
        return slice_call
    if not isinstance(node, exp.ArrayAgg) or not isinstance(node.this, exp.Limit):
        return None
    limit = node.this
    node.set("this", limit.this)
    return call("LIST_SLICE", node, number(1), limit.expression)


def joined(node: exp.Expr) -> exp.Expr | None:
    """STRING_AGG with LIMIT has no equal."""
    if node.find(exp.Limit) is not None:
        fix = "use ARRAY_TO_STRING(ARRAY_AGG(… LIMIT n), ',')"
        raise DialectError(f"STRING_AGG with LIMIT has no equal on DuckDB: {fix}")
    return None


def concatenated(node: exp.Expr) -> exp.Expr:
    """ARRAY_CONCAT with a NULL array is NULL."""
    parts = [node.this, *node.expressions]
    missing = [exp.Is(this=part.copy(), expression=exp.Null()) for part in parts if not isinstance(part, exp.Array)]
    if not missing:
        return node
    return exp.Case(ifs=[exp.If(this=exp.or_(*missing), true=exp.Null())], default=node)


def first(node: exp.Expr) -> exp.Expr:
    """ARRAY_FIRST of an empty array is an error."""
    return call("bq_element", node.this, number(1))


def last(node: exp.Expr) -> exp.Expr:
    """ARRAY_LAST of an empty array is an error."""
    return call("bq_element", node.this, call("LEN", node.this.copy()))


def unnested(node: exp.Expr) -> exp.Expr | None:
    """UNNEST in FROM: fields of STRUCTs are columns, and WITH OFFSET counts from 0."""
    if not isinstance(node.parent, exp.From | exp.Join):
        return None
    alias, offset = node.args.get("alias"), node.args.get("offset")
    name = alias.columns[0] if alias and alias.columns else None
    whole = name is not None and _as_element(node, name.name)
    if whole and not offset:
        return None
    [array] = node.expressions
    items = call("UNNEST", array)
    if whole:
        items = exp.alias_(items, name)
    else:
        items.append("expressions", exp.PropertyEQ(this=exp.to_identifier("max_depth"), expression=number(2)))
    columns = [items]
    if offset:
        numbers = call("UNNEST", call("RANGE", call("LEN", array.copy())))
        columns.append(exp.alias_(numbers, offset if isinstance(offset, exp.Identifier) else "offset"))
    if isinstance(node.parent, exp.Join) and node.parent.side and not node.parent.args.get("on"):
        node.parent.set("on", exp.true())
    table_name = exp.to_identifier(f"_{name.name}" if whole else name.name) if name is not None else None
    return exp.Subquery(
        this=exp.Select(expressions=columns), alias=exp.TableAlias(this=table_name) if table_name is not None else None
    )


def _as_element(node: exp.Expr, name: str) -> bool:
    # `item` alone is an element; `item.field`, or no mention at all, tells of STRUCTs whose fields are columns.
    select = node.parent_select
    parts = [column.parts for column in select.find_all(exp.Column)] if select is not None else []
    mentioned = [path for path in parts if path[0].name.lower() == name.lower()]
    return bool(mentioned) and all(len(path) == 1 and not isinstance(path[0], exp.Star) for path in mentioned)


def pivoted(node: exp.Expr) -> exp.Expr | None:
    """UNPIVOT gives its columns in another order."""
    if node.args.get("unpivot"):
        raise DialectError("UNPIVOT has no equal on DuckDB: write UNION ALL")
    return None
