"""Dates and times: types, parts, differences."""

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, cast, has_late_type, number, text

WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
# BigQuery's part -> DuckDB's; the two that BigQuery cuts to the second come with their size.
PARTS = {
    "YEAR": "year", "ISOYEAR": "isoyear", "QUARTER": "quarter", "MONTH": "month", "ISOWEEK": "week", "DAY": "day",
    "DAYOFYEAR": "dayofyear", "HOUR": "hour", "MINUTE": "minute", "SECOND": "second",
}  # fmt: skip
FRACTIONS = {"MILLISECOND": 1000, "MICROSECOND": 1000000}


def aware(node: exp.Expr) -> exp.Expr:
    """DuckDB's epoch functions give a naive time; TIMESTAMP_MILLIS & co. an instant. The session is in UTC."""
    return cast(node, "TIMESTAMPTZ")


def local_date(node: exp.Expr) -> exp.Expr | None:
    """DATE(instant, zone): the zone conversion alone; sqlglot takes the way over a naive UTC time, twice the cost."""
    zone = node.args.get("zone")
    if zone is None:
        return None
    _refuse_offset(zone)
    return cast(exp.AtTimeZone(this=cast(node.this, "TIMESTAMPTZ"), zone=zone), "DATE")


def instant_of_local(node: exp.Expr) -> exp.Expr | None:
    """TIMESTAMP(local time, zone): the first of two instants when the clock is set back."""
    zone = node.args.get("zone")
    if zone is None:
        return None if isinstance(node.this, exp.Parameter) else call("bq_instant", node.this)
    _refuse_offset(zone)
    return call("bq_timestamp", node.this, zone)


def local_of_instant(node: exp.Expr) -> exp.Expr | None:
    """DATETIME(instant, zone), DATETIME(date, time), DATETIME(x)."""
    if node.expressions or node.args.get("zone") is not None or len([v for v in node.args.values() if v]) > 2:
        return None
    other = node.args.get("expression")
    if other is None:
        return call("bq_naive", node.this)
    if not isinstance(other, exp.Literal):
        return call("bq_local", node.this, other)
    _refuse_offset(other)
    return call("bq_local", node.this, other)


def clock_of(node: exp.Expr) -> exp.Expr:
    """TIME(timestamp)."""
    return call("bq_time", node.this)


def text_of_instant(node: exp.Expr) -> exp.Expr:
    """STRING(timestamp); with a zone its offset would be missing."""
    if node.args.get("zone") is not None:
        raise DialectError("STRING with a zone has no equal on DuckDB: use FORMAT_TIMESTAMP")
    return call("bq_text", node.this)


def date_stays_date(node: exp.Expr) -> exp.Expr:
    """DATE_ADD, DATE_SUB and DATE_TRUNC of a DATE are a DATE; in DuckDB a naive time."""
    value = node.this
    if node.args["unit"].name.upper() == "ISOYEAR" and isinstance(node, exp.DateTrunc):
        raise DialectError("DATE_TRUNC to ISOYEAR has no equal on DuckDB: truncate to ISOWEEK or YEAR")
    if value.is_string:
        node.set("this", cast(value, "DATE"))
        return cast(node, "DATE")
    if _is_date(value):
        return cast(node, "DATE")
    if has_late_type(value):
        raise DialectError(
            "DATE_ADD, DATE_SUB or DATE_TRUNC of an aggregate, window or subquery has no equal on DuckDB: "
            "CAST it to DATE first, or compute it in WITH"
        )
    return call("bq_like", value.copy(), node)


def elapsed(node: exp.Expr) -> exp.Expr:
    """TIMESTAMP_DIFF counts whole elapsed units; DuckDB's DATE_DIFF the boundaries between."""
    unit = node.args["unit"].name.upper()
    return call("DATESUB", text(unit), cast(node.args["expression"], "TIMESTAMPTZ"), cast(node.this, "TIMESTAMPTZ"))


def boundaries(node: exp.Expr) -> exp.Expr | None:
    """DATE_DIFF counts boundaries of dates, but whole elapsed units of instants."""
    unit = node.args.get("unit")
    if unit is None or unit.name.upper() not in ("DAY", "HOUR", "MINUTE", "SECOND"):
        return None
    return call("bq_date_diff", text(unit.name.upper()), node.this, node.args["expression"])


def part(node: exp.Expr) -> exp.Expr:
    """EXTRACT: parts that DuckDB counts otherwise."""
    source = node.args["expression"]
    if isinstance(source.unnest(), exp.Sub):
        raise DialectError("EXTRACT from a difference has no equal on DuckDB: write DATE_DIFF or TIMESTAMP_DIFF")
    name = "WEEK" if isinstance(node.this, exp.WeekStart) else node.this.name.upper()
    if name == "WEEK":
        first = node.this.name.upper() if isinstance(node.this, exp.WeekStart) else "SUNDAY"
        return call("bq_week", source, number(WEEKDAYS.index(first)))
    if name in ("DAYOFWEEK", "DAY_OF_WEEK"):
        return exp.Paren(this=exp.Add(this=call("bq_part", text("dayofweek"), source), expression=number(1)))
    if name == "DATE":
        return cast(source, "DATE")
    if name == "TIME":
        return call("bq_time", source)
    if name in FRACTIONS:
        cut = exp.Mod(this=call("bq_part", text(name.lower()), source), expression=number(FRACTIONS[name]))
        return exp.Paren(this=cut)
    if name not in PARTS:
        raise DialectError(f"EXTRACT({name}) has no equal on DuckDB")
    return call("bq_part", text(PARTS[name]), source)


def _is_date(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name in ("bq_date", "bq_safe_date")
    return isinstance(node, exp.CurrentDate) or (isinstance(node, exp.Cast) and bool(node.to.is_type(exp.DType.DATE)))


def _refuse_offset(zone: exp.Expr) -> None:
    if zone.is_string and zone.this[:1] in "+-":
        raise DialectError(f"the time zone {zone.this} has no equal on DuckDB: use a name like Europe/Berlin")
