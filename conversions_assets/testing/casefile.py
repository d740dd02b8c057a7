"""What a `*.test.yaml` says: its cases, each with raw rows and the conversions expected of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from conversions_assets.contract.columns import COLUMNS
from conversions_assets.contract.conversion import Days
from conversions_assets.project import Project
from conversions_assets.testing.document import Document, Entry
from conversions_assets.warehouse.base import Table

FILE_KEYS = ("schema", "cases")
CASE_KEYS = ("name", "days", "now", "given", "expect", "quarantined")
# What a row of the result can be compared by, with its BigQuery type.
COMPARED = {column.name: column.type for column in COLUMNS} | {"day": "DATE"}
QUARANTINED_KEYS = ("id", "rule")
ONE_DAY = timedelta(days=1)
STARTS_WITH_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Row:
    """A row as the file writes it.

    Attributes:
        lines: the line of each value.
    """

    line: int
    values: Mapping[str, Any]
    lines: Mapping[str, int]


@dataclass(frozen=True)
class Given:
    """The rows of one raw table."""

    table: Table
    line: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Case:
    """One case of a file.

    Attributes:
        days: the days that the SQL is asked for; None: all that the rows lie on.
        now: the clock of the run; None: the morning after the days.
    """

    name: str
    line: int
    days: Days | None
    now: datetime | None
    given: Mapping[Table, Given]
    expect: Sequence[Row]
    quarantined: Sequence[Row]


@dataclass(frozen=True)
class CaseFile:
    """A test file that has been read.

    Attributes:
        schema: BigQuery types of raw columns that the values do not tell, with their lines.
    """

    document: Document
    schema: Mapping[Table, Row]
    cases: Sequence[Case]


def read_case_file(path: Path) -> CaseFile:
    """Read a test file; the SQL is not looked at.

    Raises:
        CaseError: something is wrong, with file, line and what to write.
    """
    document = Document(path)
    try:
        return _file(document)
    except RecursionError as error:
        raise document.wrong(1, "an anchor contains itself", "write the row out") from error


def _file(document: Document) -> CaseFile:
    top = document.entries(document.root, "the file", FILE_KEYS)
    if "cases" not in top:
        raise document.wrong(1, "the file has no `cases:`", "add `cases:` as in docs/testing-your-sql.md")
    schema = {}
    if "schema" in top:
        for name, entry in document.entries(top["schema"].node, "schema").items():
            schema[_table(document, name, entry)] = _row(document, entry.node, f"the schema of {name}")
    nodes = document.items(top["cases"].node, "cases")
    if not nodes:
        raise document.wrong(top["cases"].line, "`cases` is empty", "add a case, or delete the file")
    cases: list[Case] = []
    for node in nodes:
        case = _case(document, node)
        if case.name in [other.name for other in cases]:
            raise document.wrong(case.line, f"two cases are named '{case.name}'", "name each case by what it shows")
        cases.append(case)
    return CaseFile(document, schema, cases)


def _case(document: Document, node: yaml.Node) -> Case:
    entries = document.entries(node, "the case", CASE_KEYS)
    line = document.line(node)
    for key in ("name", "given", "expect"):
        if key not in entries:
            raise document.wrong(line, f"the case has no `{key}:`", f"add `{key}:`; [] stands for no rows")
    name = document.value(entries["name"].node)
    if not isinstance(name, str) or not name.strip() or "\n" in name.strip():
        raise document.wrong(entries["name"].line, "`name` is no line of text", "say what the case shows")
    given = {}
    for spelled, entry in document.entries(entries["given"].node, "given").items():
        table = _table(document, spelled, entry)
        rows = [_row(document, item, f"a row of {spelled}") for item in document.items(entry.node, spelled)]
        given[table] = Given(table, entry.line, rows)
    return Case(
        name=name.strip(),
        line=line,
        days=_days(document, entries["days"]) if "days" in entries else None,
        now=_now(document, entries["now"]) if "now" in entries else None,
        given=given,
        expect=[_expected(document, item) for item in document.items(entries["expect"].node, "expect")],
        quarantined=[
            _quarantined(document, item)
            for item in (document.items(entries["quarantined"].node, "quarantined") if "quarantined" in entries else [])
        ],
    )


def _table(document: Document, name: str, entry: Entry) -> Table:
    dataset, _, table = name.partition(".")
    if not dataset or not table or "." in table:
        raise document.wrong(entry.line, f"`{name}` is no table", "write dataset.table as in the SQL")
    return Table(dataset, table)


def _row(document: Document, node: yaml.Node, what: str, known: Sequence[str] = ()) -> Row:
    entries = document.entries(node, what, known)
    return Row(
        document.line(node),
        {name: document.value(entry.node) for name, entry in entries.items()},
        {name: entry.line for name, entry in entries.items()},
    )


def _days(document: Document, entry: Entry) -> Days:
    value = document.value(entry.node)
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or not all(isinstance(end, date) and not isinstance(end, datetime) for end in ends):
        raise document.wrong(entry.line, "`days` is no range of days", "write [2025-01-01, 2025-01-31]: first and last")
    try:
        return Days(*ends)
    except ValueError as error:
        raise document.wrong(entry.line, str(error), "write the first day first") from error


def _now(document: Document, entry: Entry) -> datetime:
    value = document.value(entry.node)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise document.wrong(entry.line, "`now` is no time with a zone", "write it like 2025-02-01T06:00:00Z")
    return value.astimezone(UTC)


def _expected(document: Document, node: yaml.Node) -> Row:
    row = _row(document, node, "an expected row", tuple(COMPARED))
    if row.values.get("id") is None:
        raise document.wrong(row.line, "the expected row has no id", 'add `id: "…"`: rows are compared by it')
    values = {name: _pairs(value) if name == "params" else value for name, value in row.values.items()}
    for name, value in values.items():
        wrong = None if value is None else _wrong_type(COMPARED[name], value)
        if wrong:
            raise document.wrong(row.lines[name], f"`{name}` is {COMPARED[name]}, and this is {_kind(value)}", wrong)
    return Row(row.line, values, row.lines)


def _pairs(value: Any) -> Any:
    """Params as a mapping, also where they are written as BigQuery has them: a list of key and value."""
    if isinstance(value, list) and all(isinstance(pair, dict) and set(pair) == {"key", "value"} for pair in value):
        return {pair["key"]: pair["value"] for pair in value} or None
    return value or None if isinstance(value, dict) else value


def _quarantined(document: Document, node: yaml.Node) -> Row:
    row = _row(document, node, "a quarantined row", QUARANTINED_KEYS)
    if "id" not in row.values or not isinstance(row.values["id"], str | None):
        raise document.wrong(row.line, "the quarantined row has no id", 'add `id: "…"`; null stands for an empty one')
    if not re.fullmatch(r"R\d+", str(row.values.get("rule", "R0"))):
        raise document.wrong(row.lines["rule"], "`rule` names no rule", "write it like R6, see docs/rules.md")
    return row


def _wrong_type(kind: str, value: Any) -> str | None:
    """What to write instead of an expected value of the wrong type; None if it is right."""
    if kind == "STRING":
        return None if isinstance(value, str) else f'write it in quotes: "{value}"'
    if kind == "FLOAT64":
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "write a number"
    if kind == "BOOL":
        return None if isinstance(value, bool) else "write true or false"
    if kind == "TIMESTAMP":
        aware = isinstance(value, datetime) and value.tzinfo is not None
        return None if aware else "write a time with a zone: 2025-01-05T10:00:00Z"
    if kind == "DATE":
        is_day = isinstance(value, date) and not isinstance(value, datetime)
        return None if is_day else "write a day: 2025-01-05"
    texts = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return None if texts else 'write params as {city: Berlin, seats: "3"}, all values text'


def _kind(value: Any) -> str:
    if isinstance(value, datetime):
        return "a time" if value.tzinfo else "a time without a zone"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", dict: "a mapping", list: "a list"}
    return names.get(type(value), "a day")


def settle_days(document: Document, case: Case, project: Project) -> tuple[Days, datetime]:
    """The days a case asks the SQL for, and its clock.

    Without `days:` all days on which a date or time of the case lies, and one more on each side: nothing is cut.
    Without `now:` 06:00 on the morning after all of them: nothing lies in the future.

    Raises:
        CaseError: the rows hold no date or time.
    """
    rows = [*case.expect, *(row for given in case.given.values() for row in given.rows)]
    found = [day for row in rows for day in _dates(list(row.values.values()), project)]
    if case.days is None and not found:
        fix = "add `days: [2025-01-01, 2025-01-31]` to the case"
        raise document.wrong(case.line, "no row of the case holds a date or a time", fix)
    days = case.days or Days(min(found) - ONE_DAY, max(found) + ONE_DAY)
    return days, case.now or project.midnight(max([days.last, *found]) + ONE_DAY) + timedelta(hours=6)


def _dates(value: Any, project: Project) -> Iterator[date]:
    if isinstance(value, datetime):
        yield project.local_date(value) if value.tzinfo else value.date()
    elif isinstance(value, date):
        yield value
    elif isinstance(value, str) and STARTS_WITH_DATE.match(value):
        try:
            yield date.fromisoformat(value[:10])
        except ValueError:
            return
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _dates(inner, project)
