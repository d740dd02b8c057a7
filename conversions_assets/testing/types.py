"""Types of raw tables and their rows as SQL: declared, else told by the values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from conversions_assets.contract.query import Query
from conversions_assets.testing.casefile import CaseFile, Given, Row
from conversions_assets.testing.document import nearest
from conversions_assets.warehouse.base import Table

Types = Mapping[str, str]


class Mismatch(Exception):
    """A value and a type, or two values, that do not go together; holds the problem and what to write."""

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(problem)


@dataclass
class _Kind:
    """A type as values tell it: a name, or ARRAY or STRUCT with what is inside. An empty name is not known yet."""

    name: str = ""
    inner: dict[str, "_Kind"] = field(default_factory=dict)

    def meet(self, other: "_Kind") -> None:
        """Make this the type of both.

        Raises:
            Mismatch: there is none.
        """
        names = {self.name, other.name} - {""}
        if names == {"INT64", "FLOAT64"}:
            names = {"FLOAT64"}
        if len(names) > 1:
            fix = "write them alike: text in quotes, times all with or all without a zone"
            raise Mismatch(f"it is {other.name} here and {self.name} in a row above", fix)
        self.name = names.pop() if names else ""
        for key, kind in other.inner.items():
            self.inner.setdefault(key, _Kind()).meet(kind)

    def __str__(self) -> str:
        if self.name == "STRUCT":
            return f"STRUCT<{', '.join(f'{key} {kind}' for key, kind in self.inner.items())}>"
        return f"ARRAY<{self.inner['']}>" if self.name == "ARRAY" else self.name

    @property
    def known(self) -> bool:
        return bool(self.name) and all(kind.known for kind in self.inner.values())


def _kind_of(value: Any) -> _Kind:
    if value is None:
        return _Kind()
    if isinstance(value, dict):
        return _Kind("STRUCT", {key: _kind_of(inner) for key, inner in value.items()})
    if isinstance(value, list):
        element = _Kind()
        for inner in value:
            element.meet(_kind_of(inner))
        return _Kind("ARRAY", {"": element})
    if isinstance(value, datetime):
        return _Kind("TIMESTAMP" if value.tzinfo else "DATETIME")
    return _Kind({bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING", date: "DATE"}[type(value)])


def column_types(file: CaseFile, query: Query, known: Mapping[Table, Types]) -> dict[Table, dict[str, str]]:
    """The columns of the raw tables that the SQL reads.

    A table with known types has these columns and those of the file's `schema`; any other one has the columns of
    `schema` and of its rows in all cases, in the types that the values tell.

    Raises:
        CaseError: a column that is not there, a type that cannot be told or is none of BigQuery.
    """
    _check_tables(file, query)
    return {table: _of_table(file, query, table, known.get(table)) for table in query.tables}


def _check_tables(file: CaseFile, query: Query) -> None:
    names = {str(table): table for table in query.tables}
    lines = [(table, row.line) for table, row in file.schema.items()]
    lines += [(given.table, given.line) for case in file.cases for given in case.given.values()]
    for table, line in lines:
        if table not in query.tables:
            raise file.document.wrong(line, f"{query.path.name} does not read {table}", nearest(str(table), names))
    for case in file.cases:
        for table in query.tables:
            if table not in case.given:
                problem = f"{query.path.name} also reads {table}, of which the case says nothing"
                raise file.document.wrong(case.line, problem, f"add its rows to `given:`, or `{table}: []` for none")


def _of_table(file: CaseFile, query: Query, table: Table, known: Types | None) -> dict[str, str]:
    declared = file.schema.get(table)
    types = dict(known or {})
    if declared is not None:
        for name, kind in declared.values.items():
            types[name] = _checked(file, declared, name, kind)
    rows = [row for case in file.cases for row in case.given[table].rows]
    if known is None:
        types |= _inferred(file, query, table, types, rows)
    else:
        for row, name in _cells(rows):
            if name not in types:
                problem = f"{table} has no column `{name}`"
                raise file.document.wrong(row.lines[name], problem, nearest(name, types))
    if not types:
        line = file.cases[0].given[table].line
        fix = f"add `schema: {{{table}: {{id: STRING, …}}}}` above `cases:`, or a row"
        raise file.document.wrong(line, f"no case tells the columns of {table}", fix)
    return types


def _inferred(file: CaseFile, query: Query, table: Table, declared: Types, rows: Sequence[Row]) -> dict[str, str]:
    read = _read_columns(query)
    kinds: dict[str, _Kind] = {}
    lines: dict[str, int] = {}
    for row, name in _cells(rows):
        if name in declared:
            continue
        if read and name.casefold() not in read:
            problem = f"{query.path.name} reads no column `{name}`"
            raise file.document.wrong(row.lines[name], problem, f"{nearest(name, sorted(read))}, or leave it out")
        lines.setdefault(name, row.lines[name])
        try:
            kinds.setdefault(name, _Kind()).meet(_kind_of(row.values[name]))
        except Mismatch as error:
            raise file.document.wrong(row.lines[name], f"`{name}`: {error.problem}", error.fix) from error
    for name, kind in kinds.items():
        if not kind.known:
            fix = f"add `schema: {{{table}: {{{name}: STRING}}}}` above `cases:`, with its type in BigQuery"
            raise file.document.wrong(lines[name], f"no value tells the type of `{name}` of {table}", fix)
    return {name: str(kind) for name, kind in kinds.items()}


def _cells(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    for row in rows:
        for name in row.values:
            yield row, name


def _read_columns(query: Query) -> set[str]:
    """Columns that the SQL names; none where a star reads all."""
    if query.tree.find(exp.Star) and any(
        not isinstance(star.parent, exp.Count) for star in query.tree.find_all(exp.Star)
    ):
        return set()
    return {column.name.casefold() for column in query.tree.find_all(exp.Column)}


def _checked(file: CaseFile, declared: Row, name: str, kind: Any) -> str:
    try:
        built = exp.DataType.build(kind, dialect="bigquery")
        built.sql(dialect="duckdb")
    except (SqlglotError, ValueError, AttributeError, TypeError) as error:
        fix = "write one like STRING, FLOAT64, TIMESTAMP or ARRAY<STRUCT<key STRING, value STRING>>"
        raise file.document.wrong(declared.lines[name], f"`{kind}` is no type of BigQuery", fix) from error
    return str(kind)


# BigQuery type in sqlglot's words -> Python types of its values, and how they are written in YAML.
_WRITTEN: dict[exp.DType, tuple[tuple[type, ...], str]] = {
    exp.DType.TEXT: ((str,), "write it in quotes"),
    exp.DType.BIGINT: ((int,), "write a whole number"),
    exp.DType.INT: ((int,), "write a whole number"),
    exp.DType.DOUBLE: ((int, float), "write a number"),
    exp.DType.DECIMAL: ((int, float), "write a number"),
    exp.DType.BIGDECIMAL: ((int, float), "write a number"),
    exp.DType.BOOLEAN: ((bool,), "write true or false"),
    exp.DType.DATE: ((date,), "write a day: 2025-01-05"),
    exp.DType.TIMESTAMP: ((datetime,), "write a time without a zone: 2025-01-05T10:00:00"),
    exp.DType.TIMESTAMPTZ: ((datetime,), "write a time with a zone: 2025-01-05T10:00:00Z"),
}


def insert(file: CaseFile, given: Given, types: Types) -> exp.Insert:
    """The INSERT of a table's rows; columns that a row leaves out are NULL.

    Raises:
        CaseError: a value is not of its column's type.
    """
    built = {name: exp.DataType.build(kind, dialect="bigquery") for name, kind in types.items()}
    tuples = []
    for row in given.rows:
        literals = []
        for name, kind in built.items():
            try:
                literals.append(_literal(row.values.get(name), kind))
            except Mismatch as error:
                problem = f"`{name}` is {types[name]}: {error.problem}"
                raise file.document.wrong(row.lines[name], problem, error.fix) from error
        tuples.append(exp.Tuple(expressions=literals))
    columns = [exp.to_identifier(name, quoted=True) for name in built]
    return exp.Insert(
        this=exp.Schema(this=given.table.expression, expressions=columns), expression=exp.Values(expressions=tuples)
    )


def _literal(value: Any, kind: exp.DataType) -> exp.Expr:
    if value is None:
        return exp.null()
    if kind.this == exp.DType.ARRAY:
        if not isinstance(value, list):
            raise Mismatch("this is no list", "write [ … ]")
        return exp.Array(expressions=[_literal(inner, kind.expressions[0]) for inner in value])
    if kind.this == exp.DType.STRUCT:
        return _struct(value, kind)
    if kind.this == exp.DType.JSON:
        return exp.cast(exp.Literal.string(json.dumps(value, default=str)), kind)
    accepted, fix = _WRITTEN.get(kind.this, ((str,), "write it in quotes"))
    if type(value) not in accepted:
        raise Mismatch(f"{value!r} is none" if not isinstance(value, date) else f"{value} is none", fix)
    if isinstance(value, datetime) and (value.tzinfo is None) != (kind.this == exp.DType.TIMESTAMP):
        raise Mismatch(f"{value} is none", fix)
    text = exp.Literal.string(value if isinstance(value, str) else str(value))
    return text if kind.this == exp.DType.TEXT else exp.cast(text, kind)


def _struct(value: Any, kind: exp.DataType) -> exp.Expr:
    members = {member.name: member for member in kind.expressions}
    if not isinstance(value, dict):
        raise Mismatch("this is no mapping", f"write {{{', '.join(f'{name}: …' for name in members)}}}")
    for name in value:
        if name not in members:
            raise Mismatch(f"it has no member `{name}`", nearest(str(name), members))
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(
                this=exp.to_identifier(name, quoted=True), expression=_literal(value.get(name), member.args["kind"])
            )
            for name, member in members.items()
        ]
    )
