"""BigQuery's meaning in DuckDB's words: a tree in BigQuery's dialect becomes one that sqlglot can write for DuckDB."""

from collections.abc import Callable, Iterable

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites import arrays, formats, jsons, numbers, texts, times
from conversions_assets.warehouse.rewrites.known import refuse_unknown
from conversions_assets.warehouse.rewrites.nan import with_nan
from conversions_assets.warehouse.rewrites.trees import call

LAYOUT = (exp.PartitionedByProperty, exp.ClusterProperty)
# DuckDB's TRY does not stand around functions that call error().
RAISING = ("bq_substr", "bq_element", "bq_not_negative", "bq_part", "bq_json")
Rewrite = Callable[[exp.Expr], exp.Expr | None]


def rewritten(tree: exp.Expr, float_columns: Iterable[str] = ()) -> exp.Expr:
    """A tree of the same meaning for DuckDB; the given one stays as it is.

    Args:
        float_columns: names of columns that hold FLOAT64 in some table, for NaN.

    Raises:
        DialectError: a construct has no equal on DuckDB.
    """
    # The extra root lets the tree's own top be replaced.
    root = exp.Paren(this=tree.copy())
    nodes: list[exp.Expr] = list(root.walk(bfs=True))
    refuse_unknown(nodes)
    with_nan(nodes, float_columns)
    # Children first, so that what stands inside of a rewritten node is rewritten too.
    for node in reversed(list(root.walk(bfs=True))):
        rewrite = _REWRITES.get(type(node))
        parent, key, index = node.parent, node.arg_key, node.index
        if rewrite is None or parent is None or key is None:
            continue
        changed = rewrite(node)
        if changed is not None and changed is not node:
            parent.set(key, changed, index)
    result: exp.Expr = root.this
    return result


def _without_layout(node: exp.Expr) -> exp.Expr:
    node.set("expressions", [p for p in node.expressions if not isinstance(p, LAYOUT)])
    return node


def _count_if(node: exp.Expr) -> exp.Expr:
    # DuckDB's count_if gives NULL where no row counts; BigQuery's COUNTIF gives 0.
    return exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=node.this))


def _safe(node: exp.Expr) -> exp.Expr:
    # SAFE.f(x) is NULL where f(x) is an error. TRY would not cover a call that DuckDB computes once for several places.
    parsers = [part for part in node.find_all(exp.Anonymous) if part.name == "STRPTIME"]
    for parser in parsers:
        parser.set("this", "TRY_STRPTIME")
    inner: exp.Expr = node.this
    if parsers:
        return inner
    if any(part.name.startswith(RAISING) for part in node.find_all(exp.Anonymous)):
        raise DialectError("SAFE. before this function has no equal on DuckDB: use SAFE_CAST, SAFE_DIVIDE or a test")
    return call("TRY", inner)


def _other_function(node: exp.Expr) -> exp.Expr | None:
    if node.name.upper() == "IEEE_DIVIDE":
        return call("bq_ieee_divide", *node.expressions)
    return None


_REWRITES: dict[type[exp.Expr], Rewrite] = {
    exp.Properties: _without_layout,
    exp.CountIf: _count_if,
    exp.SafeFunc: _safe,
    exp.Anonymous: _other_function,
    exp.Literal: numbers.float_literal,
    exp.Add: numbers.wide_integers,
    exp.Sub: numbers.wide_integers,
    exp.Mul: numbers.wide_integers,
    exp.Round: numbers.rounded,
    exp.Cast: numbers.converted,
    exp.TryCast: numbers.converted,
    exp.DataType: numbers.exact_number,
    exp.DateFromUnixDate: numbers.day_number,
    exp.UnixSeconds: numbers.whole_seconds,
    exp.Substring: texts.substring,
    exp.Left: texts.counted,
    exp.Right: texts.counted,
    exp.Pad: texts.counted,
    exp.Repeat: texts.counted,
    exp.Trim: texts.trimmed,
    exp.Upper: numbers.called("bq_upper"),
    exp.ByteLength: numbers.called("bq_byte_length"),
    exp.Like: texts.escaped_like,
    exp.StrPosition: texts.found_at,
    exp.Format: texts.printf,
    exp.RegexpExtract: texts.extracted,
    exp.RegexpExtractAll: texts.extracted,
    exp.RegexpReplace: texts.single_replacement,
    exp.UnixToTime: times.aware,
    exp.Date: times.local_date,
    exp.Timestamp: times.instant_of_local,
    exp.Datetime: times.local_of_instant,
    exp.TsOrDsToTime: times.clock_of,
    exp.String: times.text_of_instant,
    exp.DateAdd: times.date_stays_date,
    exp.DateSub: times.date_stays_date,
    exp.DateTrunc: times.date_stays_date,
    exp.TimestampDiff: times.elapsed,
    exp.DateDiff: times.boundaries,
    exp.Extract: times.part,
    exp.TimeToStr: formats.formatted,
    exp.StrToTime: formats.parsed,
    exp.StrToDate: formats.parsed,
    exp.ParseDatetime: formats.parsed,
    exp.JSONExtractScalar: jsons.scalar,
    exp.JSONExtract: jsons.query,
    exp.JSONExtractArray: jsons.query_array,
    exp.JSONValueArray: jsons.value_array,
    exp.JSONFormat: jsons.written,
    exp.Bracket: arrays.element,
    exp.ArrayAgg: arrays.limited,
    exp.IgnoreNulls: arrays.limited,
    exp.GroupConcat: arrays.joined,
    exp.ArrayConcat: arrays.concatenated,
    exp.ArrayFirst: arrays.first,
    exp.ArrayLast: arrays.last,
    exp.Unnest: arrays.unnested,
    exp.Pivot: arrays.pivoted,
}
