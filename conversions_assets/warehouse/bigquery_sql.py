"""What a job of BigQuery is sent: the text of our trees, the functions that they call, parameters, tables, types."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.dialect import parse_bigquery

if TYPE_CHECKING:
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter, SchemaField

FUNCTIONS = Path(__file__).with_name("bigquery_functions.sql")
DAY, ID = "day", "id"
"""The columns that our tables are partitioned and clustered by."""
TYPES = {"FLOAT": "FLOAT64", "INTEGER": "INT64", "BOOLEAN": "BOOL"}
"""What the API calls a type and SQL calls otherwise."""
MARKS = ("as_is", "as_float")
"""They are for DuckDB: BigQuery writes JSON as BigQuery does."""
DAY_AT_END = re.compile(r"_\d{8}$")
PYTHON_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", Decimal: "NUMERIC", bytes: "BYTES", date: "DATE"}


def to_bigquery(tree: exp.Expr) -> str:
    """The text of a statement."""
    plain = tree.transform(_without_mark) if any(_calls(tree, mark) for mark in MARKS) else tree
    return plain.sql(dialect="bigquery", comments=False)


def job_text(statements: Sequence[Statement], transaction: bool = False) -> str:
    """The text of a job: the functions that its statements call, then these; several are a script.

    Args:
        transaction: all of the statements or none. What a job leaves open when it fails is rolled back:
            https://cloud.google.com/bigquery/docs/transactions
    """
    functions = [text for name, text in _functions().items() if any(_calls(s.tree, name) for s in statements)]
    texts = [to_bigquery(statement.tree) for statement in statements]
    if transaction:
        texts = ["BEGIN TRANSACTION", *texts, "COMMIT TRANSACTION"]
    return ";\n".join([*functions, *texts])


def merged_params(statements: Iterable[Statement]) -> dict[str, Any]:
    """The parameters of all statements of a job.

    Raises:
        ValueError: two statements give one name two values, which a job cannot hold.
    """
    merged: dict[str, Any] = {}
    for statement in statements:
        for name, value in statement.params.items():
            if merged.setdefault(name, value) != value:
                raise ValueError(f"two statements of a transaction give @{name} two values: name one of them otherwise")
    return merged


def query_parameters(params: Mapping[str, Any]) -> "list[ScalarQueryParameter | ArrayQueryParameter]":
    """The parameters of a job. None is a STRING; a datetime without a zone is a DATETIME."""
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    return [
        ArrayQueryParameter(name, _type_of(next(iter(value), None)), list(value))
        if isinstance(value, list | tuple)
        else ScalarQueryParameter(name, _type_of(value), value)
        for name, value in params.items()
    ]


def created_table(table: Table, columns: Mapping[str, str], by_day: bool) -> Statement:
    """CREATE TABLE IF NOT EXISTS, clustered by id and, if wanted, partitioned by day where it has these columns."""
    properties: list[exp.Expr] = []
    if by_day and columns.get(DAY) == "DATE":
        properties.append(exp.PartitionedByProperty(this=exp.column(DAY, quoted=True)))
    if ID in columns:
        properties.append(exp.Cluster(expressions=[exp.column(ID, quoted=True)]))
    return Statement(
        exp.Create(
            this=exp.Schema(this=table.expression, expressions=[_column(*column) for column in columns.items()]),
            kind="TABLE",
            exists=True,
            properties=exp.Properties(expressions=properties) if properties else None,
        )
    )


def added_columns(table: Table, columns: Mapping[str, str]) -> Statement:
    """One ALTER TABLE for all columns: BigQuery takes few changes of a table in ten seconds."""
    actions = [_column(name, kind, exists=True) for name, kind in columns.items()]
    return Statement(exp.Alter(this=table.expression, kind="TABLE", actions=actions))


def written_tables(statements: Iterable[Statement]) -> set[Table]:
    """The tables of datasets that DML statements write."""
    targets = [
        statement.tree.this.find(exp.Table)
        for statement in statements
        if isinstance(statement.tree, exp.Insert | exp.Update | exp.Delete | exp.Merge)
    ]
    return {Table(target.db, target.name) for target in targets if target is not None and target.db}


def column_types(schema: "Iterable[SchemaField]") -> dict[str, str]:
    """Names and types, as SQL writes them, of the fields that the API returns."""
    return {field.name: _field_type(field) for field in schema}


def without_older_shards(names: Iterable[str]) -> list[str]:
    """The names of tables; of those that differ in the day at their end alone, the last."""
    newest = {DAY_AT_END.sub("", name): name for name in sorted(names)}
    return sorted(newest.values())


def without_null_types(tree: exp.Expr, types: Mapping[str, str]) -> dict[str, str]:
    """A column that is NULL and nothing else has the type NULL: BigQuery calls it INT64."""
    selects = tree.selects if isinstance(tree, exp.Query) else []
    nulls = {e.alias_or_name for e in selects if isinstance(e.unalias(), exp.Null)}
    return {name: "NULL" if name in nulls else kind for name, kind in types.items()}


def label(text: str) -> str:
    """A text as the value of a label: lower-case letters, digits, _ and -, at most 63.

    https://cloud.google.com/bigquery/docs/labels-intro#requirements
    """
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]


def _without_mark(node: exp.Expr) -> exp.Expr:
    return node.expressions[0] if isinstance(node, exp.Anonymous) and node.name in MARKS else node


def _calls(tree: exp.Expr, function: str) -> bool:
    return any(call.name.lower() == function for call in tree.find_all(exp.Anonymous))


@cache
def _functions() -> dict[str, str]:
    """Name -> CREATE FUNCTION."""
    trees = parse_bigquery(FUNCTIONS.read_text(encoding="utf-8"))
    return {_name(tree): tree.sql(dialect="bigquery", comments=False) for tree in trees}


def _name(function: exp.Expr) -> str:
    found = function.find(exp.UserDefinedFunction)
    assert found is not None
    return str(found.this.name)


def _type_of(value: Any) -> str:
    if isinstance(value, datetime):
        return "TIMESTAMP" if value.tzinfo else "DATETIME"
    return PYTHON_TYPES.get(type(value), "STRING")


def _column(name: str, kind: str, exists: bool = False) -> exp.ColumnDef:
    data_type = exp.DataType.build(kind, dialect="bigquery")
    return exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=data_type, exists=exists)


def _field_type(field: "SchemaField") -> str:
    kind = TYPES.get(field.field_type, field.field_type)
    if kind in ("RECORD", "STRUCT"):
        kind = f"STRUCT<{', '.join(f'{inner.name} {_field_type(inner)}' for inner in field.fields)}>"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind
