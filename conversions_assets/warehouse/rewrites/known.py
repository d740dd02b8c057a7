"""Functions that may go to DuckDB: those that the differential test has compared with BigQuery's. Others are refused.

A function that nobody has compared could exist in DuckDB under the same name with another meaning.
"""

from collections.abc import Iterable

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError

# Of duckdb_functions.sql, those that script.py expands, and what sqlglot writes a date or time of Python as.
OWN = frozenset(
    {
        "TRIMMED",
        "CLEAN_PARAMS",
        "SORTED_PARAMS",
        "HAS_KEY",
        "PARAM",
        "PARAMS_IN",
        "ROW_HASH",
        "AS_FLOAT",
        "AS_IS",
        "ROW_AS_JSON",
        "COLUMNS_OF",
        "DateStrToDate",
        "TimeStrToTime",
    }
)
KNOWN = frozenset(
    {
        "Abs", "And", "AnyValue", "Array", "ArrayAgg", "ArrayConcat", "ArrayConcatAgg", "ArrayFirst", "ArrayLast",
        "ArrayReverse", "ArraySize", "ArrayToString", "Ascii", "Avg", "BitwiseCount", "BitwiseOrAgg", "BitwiseXorAgg",
        "ByteLength", "Case", "Cast", "Ceil", "Chr", "Coalesce", "Concat", "Corr", "Count", "CountIf", "CumeDist",
        "CurrentDate", "CurrentTimestamp", "Date", "DateAdd", "DateDiff", "DateFromParts", "DateFromUnixDate",
        "DateSub", "DateTrunc", "Datetime", "DatetimeAdd", "DatetimeDiff", "DatetimeSub", "DatetimeTrunc",
        "DenseRank", "ERROR", "EndsWith", "Exists", "Exp", "Extract", "FirstValue", "Floor", "Format", "FromBase64",
        "GenerateDateArray", "GenerateSeries", "GenerateTimestampArray", "Greatest", "GroupConcat", "IEEE_DIVIDE",
        "If", "Initcap", "IsInf", "IsNan", "JSONArray", "JSONExtract", "JSONExtractArray", "JSONExtractScalar",
        "JSONFormat", "JSONObject", "JSONValueArray", "Lag", "LastDay", "LastValue", "Lead", "Least", "Left",
        "Length", "Levenshtein", "Ln", "Log", "LogicalAnd", "LogicalOr", "Lower", "LowerHex", "MD5", "MD5Digest",
        "Max", "Min", "NthValue", "Ntile", "Nullif", "Or", "Pad", "ParseDatetime", "ParseTime", "PercentRank",
        "PercentileCont", "PercentileDisc", "Pow", "Rand", "Rank", "RegexpExtract", "RegexpExtractAll", "RegexpInstr",
        "RegexpLike", "RegexpReplace", "Repeat", "Replace", "Reverse", "Right", "Round", "RowNumber", "SHA1Digest",
        "SHA2Digest", "SafeDivide", "SafeFunc", "Split", "Sqrt", "StartsWith", "Stddev", "StddevPop", "StrPosition",
        "StrToDate", "StrToTime", "String", "Struct", "Substring", "Sum", "TimeDiff", "TimeFromParts", "TimeToStr",
        "Timestamp", "TimestampAdd", "TimestampDiff", "TimestampFromParts", "TimestampSub", "TimestampTrunc",
        "ToBase64", "Translate", "Trim", "Trunc", "TryCast", "TsOrDsToDate", "TsOrDsToDatetime", "TsOrDsToTime",
        "TsOrDsToTimestamp", "Unhex", "Unicode", "UnixDate", "UnixMicros", "UnixMillis", "UnixSeconds", "UnixToTime",
        "Unnest", "Upper", "Uuid", "Variance", "VariancePop", "WeekStart",
    }
)  # fmt: skip

ALLOWED = KNOWN | OWN


def functions_of(tree: exp.Expr) -> set[str]:
    """Names of the functions in a tree: sqlglot's class, or the name of one that it does not know."""
    return {_name(node) for node in tree.find_all(exp.Func)}


def refuse_unknown(nodes: Iterable[exp.Expr]) -> None:
    """Refuse functions that the differential test has not compared.

    Raises:
        DialectError: one of them is used.
    """
    for node in nodes:
        if isinstance(node, exp.Func) and _name(node) not in ALLOWED:
            written = node.sql(dialect="bigquery").split("(")[0]
            raise DialectError(
                f"{written} is not among the functions that were compared with BigQuery's: it is not run on DuckDB. "
                "docs/bigquery-on-duckdb.md says which are"
            )


def _name(node: exp.Func) -> str:
    return node.name.upper() if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else type(node).__name__
