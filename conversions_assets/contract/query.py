"""A user's SQL before it runs: one SELECT, which tables it reads, which parameters it takes (R1).

The deeper static check (columns, types, partition filters) has its place here too.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from conversions_assets.project import cache_folder
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp

PARAMETERS = ("start_date", "end_date")
CACHE_FORMAT = "1"


class QueryError(Exception):
    """A user's SQL is refused.

    The message holds file:line:column, an underlined excerpt and what to write instead.
    """

    def __init__(self, path: Path, line: int, column: int, problem: str, fix: str, excerpt: str = "") -> None:
        self.path, self.line, self.column, self.problem, self.fix = path, line, column, problem, fix
        parts = [f"{path}:{line}:{column}: {problem}", excerpt, f"  fix: {fix}"]
        super().__init__("\n".join(part for part in parts if part))


@dataclass(frozen=True)
class Query:
    """A conversion's SQL that has passed the static check.

    Attributes:
        tables: what it reads, as `dataset.table`.
        parameters: which of @start_date and @end_date it uses.
        version: a hash of the SQL without comments and layout.
    """

    path: Path
    text: str
    tables: tuple[Table, ...]
    parameters: frozenset[str]
    version: str

    @property
    def uses_days(self) -> bool:
        """Whether the SQL cuts its result to the wanted days itself."""
        return self.parameters == frozenset(PARAMETERS)

    @cached_property
    def tree(self) -> "exp.Query":
        """The statement as a sqlglot tree in BigQuery's dialect."""
        return _single_select(self.path, self.text)


def read_query(path: Path) -> Query:
    """Read and check a SQL file. What was found is cached under .data/ by a hash of the text and sqlglot's version.

    Raises:
        QueryError: it is not one SELECT, or uses a table or parameter that cannot be.
    """
    text = _read_text(path)
    cached = cache_folder() / "queries" / f"{_cache_key(text)}.json"
    try:
        found = json.loads(cached.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = _analyse(path, text)
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(json.dumps(found), encoding="utf-8")
    return Query(
        path=path,
        text=text,
        tables=tuple(Table(*names) for names in found["tables"]),
        parameters=frozenset(found["parameters"]),
        version=found["version"],
    )


def point_at(path: Path, text: str, offset: int, problem: str, fix: str) -> QueryError:
    """The error for the word at a character offset of the SQL, with its line and an underlined excerpt."""
    offset = min(max(offset, 0), len(text))
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    source = text[line_start : line_end if line_end >= 0 else len(text)].rstrip("\r")
    number, column = text.count("\n", 0, offset) + 1, offset - line_start + 1
    length = next(
        (i for i, c in enumerate(source[column - 1 :]) if not (c.isalnum() or c in "_`.@")), len(source) - column + 1
    )
    margin = f"{number:>5} | "
    excerpt = f"{margin}{source}\n{' ' * (len(margin) - 2)}| {' ' * (column - 1)}{'^' * max(1, length)}"
    return QueryError(path, number, column, problem, fix, excerpt)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise QueryError(
            path, 1, 1, "there is no such SQL file", "create it, or correct `query:` in defs.yaml"
        ) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise QueryError(path, line, 1, "the file is not UTF-8 text", "save it as UTF-8") from error


def _cache_key(text: str) -> str:
    from importlib.metadata import version

    return hashlib.sha256(f"{CACHE_FORMAT}\0{version('sqlglot')}\0{text}".encode()).hexdigest()[:32]


def _analyse(path: Path, text: str) -> dict[str, object]:
    tree = _single_select(path, text)
    return {
        "tables": [[table.dataset, table.name] for table in _tables(path, text, tree)],
        "parameters": sorted(_parameters(path, text, tree)),
        "version": hashlib.sha256(tree.sql(dialect="bigquery", comments=False).encode()).hexdigest()[:16],
    }


def _single_select(path: Path, text: str) -> "exp.Query":
    from sqlglot import exp
    from sqlglot.errors import ParseError, TokenError

    from conversions_assets.warehouse.dialect import parse_bigquery

    try:
        trees = parse_bigquery(text)
    except ParseError as error:
        found = error.errors[0] if error.errors else {}
        raise point_at(
            path,
            text,
            _offset(text, found),
            f"R1: this is no BigQuery SQL: {found.get('description') or error}",
            "correct the SQL here",
        ) from error
    except (TokenError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise point_at(path, text, 0, f"R1: this is no BigQuery SQL: {reason}", "correct the SQL") from error
    if not trees:
        raise point_at(
            path, text, 0, "R1: the file holds no statement", "write one SELECT that returns id, client_id and created"
        )
    if len(trees) > 1:
        offset = _start_of(text, trees[1])
        raise point_at(
            path, text, offset, f"R1: the file holds {len(trees)} statements", "keep one SELECT; use WITH for steps"
        )
    if not isinstance(trees[0], exp.Query):
        raise point_at(
            path,
            text,
            _first_word(text),
            f"R1: {trees[0].key.upper()} is not read-only",
            "write one SELECT; conversions never change raw tables",
        )
    _refuse_writes(path, text, trees[0])
    return trees[0]


def _refuse_writes(path: Path, text: str, tree: "exp.Query") -> None:
    from sqlglot import exp

    for node in tree.find_all(exp.DML, exp.DDL, exp.Command, exp.Into):
        if not isinstance(node, exp.Query):
            raise point_at(
                path, text, _start_of(text, node), f"R1: {node.key.upper()} is not read-only", "write one SELECT"
            )
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            name = table.this.name or table.this.sql_name()
            raise point_at(
                path,
                text,
                text.find(name),
                f"R1: the table function {name} is not allowed: a conversion reads tables only",
                "read a table of the warehouse",
            )


def _tables(path: Path, text: str, tree: "exp.Query") -> list[Table]:
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    found: dict[Table, None] = {}
    for scope in traverse_scope(tree):
        for source in scope.sources.values():
            if isinstance(source, exp.Table) and not isinstance(source.this, exp.Func):
                found[_table(path, text, source)] = None
    if not found:
        raise point_at(
            path,
            text,
            _first_word(text),
            "R1: the query reads no table",
            "read a raw table of the CRM: FROM dataset.table",
        )
    return list(found)


def _table(path: Path, text: str, node: "exp.Table") -> Table:
    if not node.db:
        raise point_at(
            path,
            text,
            _start_of(text, node),
            f"R1: the table `{node.name}` has no dataset",
            f"write dataset.{node.name}, or define it in WITH",
        )
    return Table(node.db, node.name)


def _parameters(path: Path, text: str, tree: "exp.Query") -> set[str]:
    from sqlglot import exp

    names = set()
    for parameter in tree.find_all(exp.Parameter):
        if parameter.name not in PARAMETERS:
            raise point_at(
                path,
                text,
                text.find(f"@{parameter.name}"),
                f"R1: @{parameter.name} is no parameter of a conversion",
                "use @start_date and @end_date (DATE, inclusive)",
            )
        names.add(parameter.name)
    return names


def _offset(text: str, found: dict[str, object]) -> int:
    line, column = int(str(found.get("line") or 1)), int(str(found.get("col") or 1))
    starts = [0]
    for index, character in enumerate(text):
        if character == "\n":
            starts.append(index + 1)
    highlight = str(found.get("highlight") or "")
    end = starts[min(line, len(starts)) - 1] + column
    return max(0, end - len(highlight))


def _start_of(text: str, node: "exp.Expr") -> int:
    starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
    return min(starts) if starts else _first_word(text)


def _first_word(text: str) -> int:
    for offset, line in _lines(text):
        stripped = line.strip()
        if stripped and not stripped.startswith(("--", "#")):
            return offset + len(line) - len(line.lstrip())
    return 0


def _lines(text: str) -> list[tuple[int, str]]:
    offset, lines = 0, []
    for line in text.splitlines(keepends=True):
        lines.append((offset, line))
        offset += len(line)
    return lines
