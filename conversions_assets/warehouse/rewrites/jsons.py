"""JSON in text: values as they are written, NULL where there is none."""

import re

from sqlglot import exp

from conversions_assets.warehouse.errors import DialectError
from conversions_assets.warehouse.rewrites.trees import call, text

AS_IS = "AS_IS"
"""`as_is(x)` in our SQL: a text, BOOL, DATE or small INT64, which all engines write alike (duckdb_functions.sql)."""
AS_FLOAT = "AS_FLOAT"
"""`as_float(x)` in our SQL: a FLOAT64."""
NUMBER = "(-?[0-9][0-9.eE+-]*)"


def scalar(node: exp.Expr) -> exp.Expr:
    """JSON_VALUE and JSON_EXTRACT_SCALAR: a number as it is written, unless it becomes a FLOAT64 or INT64 anyway."""
    path = _path(node)
    parent = node.parent
    if isinstance(parent, exp.Cast) and parent.args["to"].is_type(exp.DType.DOUBLE, exp.DType.BIGINT):
        return call("bq_json_scalar", node.this, text(path))
    return call("bq_json_value", node.this, text(path), text(_number_pattern(node.args.get("expression"))))


def query(node: exp.Expr) -> exp.Expr:
    """JSON_QUERY and JSON_EXTRACT."""
    return call("bq_json_query", node.this, text(_path(node)), text(_number_pattern(node.args.get("expression"))))


def query_array(node: exp.Expr) -> exp.Expr:
    """JSON_QUERY_ARRAY and JSON_EXTRACT_ARRAY."""
    return call("bq_json_query_array", node.this, text(_path(node)))


def value_array(node: exp.Expr) -> exp.Expr:
    """JSON_VALUE_ARRAY and JSON_EXTRACT_STRING_ARRAY."""
    return call("bq_json_value_array", node.this, text(_path(node)))


def written(node: exp.Expr) -> exp.Expr:
    """TO_JSON_STRING: numbers and times as BigQuery writes them; 'null' for NULL."""
    if node.args.get("to_json") or node.args.get("options"):
        raise DialectError("TO_JSON and pretty_print have no equal on DuckDB: use TO_JSON_STRING(x)")
    return call("bq_json_text", _field(node.this))


def _field(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Anonymous) and node.name.upper() == AS_IS:
        return call("TO_JSON", *node.expressions)
    if isinstance(node, exp.Anonymous) and node.name.upper() == AS_FLOAT:
        return exp.cast(call("bq_json_double", *node.expressions), exp.DType.JSON)
    if not isinstance(node, exp.Struct):
        return call("bq_json_field", node)
    fields: list[exp.Expr] = []
    for field in node.expressions:
        if isinstance(field, exp.PropertyEQ):
            fields.append(exp.PropertyEQ(this=field.this, expression=_field(field.expression)))
        elif isinstance(field, exp.Column):
            fields.append(exp.PropertyEQ(this=exp.to_identifier(field.name), expression=_field(field)))
        else:
            raise DialectError("TO_JSON_STRING of a STRUCT without names has no equal: write STRUCT(x AS name)")
    return call("TO_JSON", exp.Struct(expressions=fields))


def _path(node: exp.Expr) -> str:
    path = node.args.get("expression")
    if path is None:
        return "$"
    if not isinstance(path, exp.JSONPath):
        raise DialectError("a JSON path must be written out as text to be translated to DuckDB")
    steps = "".join(_step(step) for step in path.expressions)
    return f"${steps}"


def _step(step: exp.Expr) -> str:
    if isinstance(step, exp.JSONPathRoot):
        return ""
    if isinstance(step, exp.JSONPathKey):
        return f'."{step.this}"'
    if isinstance(step, exp.JSONPathSubscript) and isinstance(step.this, int) and step.this >= 0:
        return f"[{step.this}]"
    raise DialectError("a JSON path with a wildcard or a filter has no equal on DuckDB: use keys and positions")


def _number_pattern(path: exp.Expr | None) -> str:
    last = path.expressions[-1] if isinstance(path, exp.JSONPath) else None
    if isinstance(last, exp.JSONPathKey):
        return rf'"{re.escape(str(last.this))}"\s*:\s*{NUMBER}'
    return rf"(?:^|[\[,])\s*{NUMBER}"
