"""FORMAT_DATE & co. and PARSE_DATE & co.: BigQuery's format elements in DuckDB's, or refused by name.

sqlglot has replaced some elements already when a format arrives here (%F by %Y-%m-%d, %e by %-d, %E6S by %S.%f).
"""

import re

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, cast, literal_text, number, text

ELEMENT = re.compile(r"%(?:E[*0-9]?[A-Za-z]|-?.)", re.DOTALL)
WRITTEN = set("YmdHMSfaAbBjyIpUWVGuwT%") | {"D"}
SECONDS = re.compile(r"%E[*0-9]S")
FORMATS = {"%h": "%b", "%R": "%H:%M", "%X": "%H:%M:%S", "%E3S": "%S.%g", "%E6S": "%S.%f", "%E4Y": "%Y"}
READ = set("YmdHMSfaAbByIpjz%")
TWO_WIDE = {"%-d": "%d", "%e": "%d"}


def formatted(node: exp.Expr) -> exp.Expr:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIMESTAMP."""
    pattern = literal_text(node.args["format"], "FORMAT_DATE or FORMAT_TIMESTAMP", "the format")
    value, zone = node.this, node.args.get("zone")
    if isinstance(value, exp.TsOrDsToTimestamp):
        local = call("TIMEZONE", zone or text("UTC"), cast(value.this, "TIMESTAMPTZ"))
    elif isinstance(value, exp.TsOrDsToDate):
        local = cast(value.this, "DATE")
    elif isinstance(value, exp.TsOrDsToDatetime):
        local = cast(value.this, "TIMESTAMP")
    else:
        raise DialectError("FORMAT_TIME has no equal on DuckDB")
    pieces: list[exp.Expr] = []
    plain = ""
    for piece in _split(pattern):
        special = _special(piece, local, zone)
        if special is None:
            plain += _element(piece, "FORMAT_DATE and FORMAT_TIMESTAMP", WRITTEN)
            continue
        if plain:
            pieces.append(call("STRFTIME", local.copy(), text(plain)))
        pieces.append(special)
        plain = ""
    if plain or not pieces:
        pieces.append(call("STRFTIME", local, text(plain)))
    result = pieces[0]
    for more in pieces[1:]:
        result = exp.DPipe(this=result, expression=more, safe=False)
    return exp.Paren(this=result) if len(pieces) > 1 else result


def parsed(node: exp.Expr) -> exp.Expr:
    """PARSE_DATE, PARSE_DATETIME, PARSE_TIMESTAMP: an instant in UTC unless a zone is named."""
    pattern = literal_text(node.args["format"], "PARSE_DATE or PARSE_TIMESTAMP", "the format")
    formats = _read_formats(pattern)
    if isinstance(node, exp.StrToDate) and re.search(r"%(H|I|M|S|p|z|T)", formats[0]):
        raise DialectError("PARSE_DATE with a time of day has no equal on DuckDB: use PARSE_TIMESTAMP")
    value: exp.Expr = exp.Trim(this=node.this, expression=text("\t\n\v\f\r "))
    if not re.search(r"%[Yy]", formats[0]):
        # BigQuery takes 1970 where no year is told, DuckDB 1900.
        formats = [f"%Y {format}" for format in formats]
        value = exp.DPipe(this=text("1970 "), expression=value, safe=False)
    wanted = [text(format) for format in formats]
    result = call("STRPTIME", value, wanted[0] if len(wanted) == 1 else exp.Array(expressions=wanted))
    if isinstance(node, exp.StrToDate):
        return cast(result, "DATE")
    if isinstance(node, exp.ParseDatetime):
        return result
    if "%z" in formats[0]:
        return cast(result, "TIMESTAMPTZ")
    zone = node.args.get("zone")
    if zone is None:
        return exp.Paren(this=exp.AtTimeZone(this=result, zone=text("UTC")))
    return call("bq_first_instant", result, zone)


def _split(pattern: str) -> list[str]:
    pieces, end = [], 0
    for found in ELEMENT.finditer(pattern):
        pieces += [pattern[end : found.start()], found[0]]
        end = found.end()
    return [piece for piece in [*pieces, pattern[end:]] if piece]


def _special(piece: str, local: exp.Expr, zone: exp.Expr | None) -> exp.Expr | None:
    if piece in TWO_WIDE:
        return call("REGEXP_REPLACE", call("STRFTIME", local.copy(), text(TWO_WIDE[piece])), text("^0"), text(" "))
    if piece == "%Q":
        return cast(call("DATE_PART", text("quarter"), local.copy()), "VARCHAR")
    if piece == "%C":
        return call("LEFT", call("STRFTIME", local.copy(), text("%Y")), number(2))
    if piece == "%E*S":
        return call("REGEXP_REPLACE", call("STRFTIME", local.copy(), text("%S.%f")), text(r"\.?0*$"), text(""))
    if piece in ("%z", "%Ez", "%Z") and zone is None:
        return text({"%z": "+0000", "%Ez": "+00:00", "%Z": "UTC"}[piece])
    return None


def _element(piece: str, function: str, known: set[str]) -> str:
    if piece in FORMATS:
        return FORMATS[piece]
    if piece.startswith("%") and piece[1:] not in known:
        raise DialectError(f"{function}: the format element {piece} has no equal on DuckDB")
    return piece


def _read_formats(pattern: str) -> list[str]:
    # The fraction of a second may be missing in BigQuery; strptime tries one format after the other.
    function = "PARSE_DATE and PARSE_TIMESTAMP"
    pieces = ["%z" if piece == "%Ez" else piece for piece in _split(pattern)]
    pieces = [{"%-d": "%d", "%e": "%d", "%T": "%H:%M:%S", "%E4Y": "%Y"}.get(piece, piece) for piece in pieces]
    with_fraction = "".join("%S.%f" if SECONDS.fullmatch(p) else _element(p, function, READ) for p in pieces)
    without = "".join("%S" if SECONDS.fullmatch(p) else _element(p, function, READ) for p in pieces)
    return [without] if with_fraction == without else [with_fraction, without]
