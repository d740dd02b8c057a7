"""A user's SQL before it runs: one SELECT, which tables it reads, which parameters it takes (R1).

The deeper static check (columns, types, partition filters) has its place here too.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from conversions_assets.contract.source import Finding, QueryError, Source
from conversions_assets.project import cache_folder
from conversions_assets.warehouse.base import Table

if TYPE_CHECKING:
    from sqlglot import exp

MAX_CHARACTERS = 500_000
"""BigQuery takes 1 MB; so long a text is a list that belongs into a table."""
NAME_OF_TABLE = re.compile(r"[A-Za-z0-9_-]+")
PARAMETERS = ("start_date", "end_date")
PARAMETERS_FIX = "use @start_date and @end_date (DATE, inclusive)"


@dataclass(frozen=True)
class Query:
    """A conversion's SQL that has passed the static check.

    Attributes:
        tables: what it reads, as `dataset.table`.
        parameters: which of @start_date and @end_date it uses.
        version: a hash of the SQL without comments and layout.
        names: its columns as the SQL tells them; None if a star hides them.
    """

    source: Source
    tables: tuple[Table, ...]
    parameters: frozenset[str]
    version: str
    names: tuple[str, ...] | None

    @property
    def path(self) -> Path:
        """The SQL file."""
        return self.source.path

    @property
    def text(self) -> str:
        """The SQL as its author wrote it."""
        return self.source.text

    @property
    def uses_days(self) -> bool:
        """Whether the SQL cuts its result to the wanted days itself."""
        return self.parameters == frozenset(PARAMETERS)

    @cached_property
    def tree(self) -> "exp.Query":
        """The statement as a sqlglot tree in BigQuery's dialect."""
        return _single_select(self.source)


def read_query(path: Path) -> Query:
    """Read and check a SQL file. What was found is cached under .data/ by a hash of the text and sqlglot's version.

    Raises:
        QueryError: it is not one SELECT, or uses a table or parameter that cannot be.
    """
    source = Source(path, _read_text(path))
    if len(source.text) > MAX_CHARACTERS:
        problem = f"R1: the file has {len(source.text):,} characters, at most {MAX_CHARACTERS:,} are read"
        raise QueryError(Finding(path, 1, 1, problem, "put long lists into a table and join it"))
    cached = cache_folder() / "queries" / f"{_cache_key(source.text)}.json"
    try:
        found = json.loads(cached.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = _analyse(source)
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(json.dumps(found), encoding="utf-8")
    return Query(
        source=source,
        tables=tuple(Table(*names) for names in found["tables"]),
        parameters=frozenset(found["parameters"]),
        version=found["version"],
        names=None if found["names"] is None else tuple(found["names"]),
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        missing = Finding(path, 1, 1, "there is no such SQL file", "create it, or correct `query:` in defs.yaml")
        raise QueryError(missing) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise QueryError(Finding(path, line, 1, "the file is not UTF-8 text", "save it as UTF-8")) from error


def _cache_key(text: str) -> str:
    return hashlib.sha256(f"{code_version()}\0{sqlglot_version()}\0{text}".encode()).hexdigest()[:32]


@cache
def code_version() -> str:
    """A hash of the contract's code: what is cached is never older than the code that found it."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def sqlglot_version() -> str:
    """The version of sqlglot, which every cached analysis depends on."""
    from importlib.metadata import version

    return version("sqlglot")


def _analyse(source: Source) -> dict[str, object]:
    try:
        tree = _single_select(source)
        return {
            "tables": [[table.dataset, table.name] for table in _tables(source, tree)],
            "parameters": sorted(_parameters(source, tree)),
            "names": None if tree.is_star else [e.alias_or_name for e in tree.selects],
            "version": hashlib.sha256(tree.sql(dialect="bigquery", comments=False).encode()).hexdigest()[:16],
        }
    except RecursionError:
        raise source.refuse(0, "R1: the query is nested too deeply to be read", "write it with WITH") from None


def _single_select(source: Source) -> "exp.Query":
    from sqlglot import exp

    trees = _parse(source)
    if not trees:
        raise source.refuse(
            0, "R1: the file holds no statement", "write one SELECT that returns id, client_id and created"
        )
    if len(trees) > 1:
        problem = f"R1: the file holds {len(trees)} statements"
        raise source.refuse(source.second_statement, problem, "keep one SELECT; use WITH for steps")
    if not isinstance(trees[0], exp.Query):
        problem = f"R1: {source.first_text.upper()} is not read-only"
        raise source.refuse(source.first_word, problem, "write one SELECT; conversions never change raw tables")
    _refuse_all_but_reading(source, trees[0])
    return trees[0]


def _parse(source: Source) -> "list[exp.Expr]":
    from sqlglot.errors import ParseError, TokenError

    from conversions_assets.warehouse.dialect import parse_bigquery

    twice = next(
        (b for a, b in pairwise(source.tokens) if a.token_type == b.token_type and a.text == b.text == ","), None
    )
    if twice is not None:
        raise source.refuse(
            twice.start, "R1: this is no BigQuery SQL: a comma without a column", "remove one of the commas"
        )
    brace = next((token for token in source.tokens if token.token_type.name in ("L_BRACE", "R_BRACE")), None)
    if brace is not None:
        problem = "R1: this is no BigQuery SQL: a brace; templates are not filled in"
        raise source.refuse(brace.start, problem, f"write the name itself; {PARAMETERS_FIX}")
    try:
        return parse_bigquery(source.text)
    except ParseError as error:
        found = error.errors[0] if error.errors else {}
        end = source.offset(int(found.get("line") or 1), int(found.get("col") or 1)) + 1
        problem = f"R1: this is no BigQuery SQL: {found.get('description') or error}"
        raise source.refuse(end - len(str(found.get("highlight") or "")), problem, "correct the SQL here") from error
    except TokenError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        place = re.search(r"(\d+):(\d+)", reason)
        offset = source.offset(int(place[1]), int(place[2])) if place else 0
        raise source.refuse(offset, f"R1: this is no BigQuery SQL: {reason}", "correct the SQL here") from error


def _refuse_all_but_reading(source: Source, tree: "exp.Query") -> None:
    from sqlglot import exp

    from conversions_assets.warehouse.rewrites.known import OWN

    for node in tree.find_all(exp.DML, exp.DDL, exp.Command, exp.Into):
        if not isinstance(node, exp.Query):
            problem = f"R1: {node.key.upper()} is not read-only"
            raise source.refuse(source.start_of(node), problem, "write one SELECT")
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            name = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()
            spelled = source.spelled(source.word(name)) or name
            problem = f"R1: the table function {spelled} is not allowed: a conversion reads tables only"
            raise source.refuse(source.word(name), problem, "read a table of the warehouse")
    for dot in tree.find_all(exp.Dot):
        if isinstance(dot.expression, exp.Func):
            problem = f"R1: the function {dot.sql(dialect='bigquery').split('(')[0]} is not built into BigQuery"
            fix = "write it with built-in functions: functions of a dataset can be remote"
            raise source.refuse(source.word(dot.expression.name), problem, fix)
    for function in tree.find_all(exp.Anonymous):
        if function.name.upper() in OWN:
            problem = f"R1: {function.name} is no function of BigQuery"
            raise source.refuse(
                source.word(function.name), problem, "use a built-in function: ids and params are cleaned anyway"
            )
    if tree.find(exp.Placeholder):
        raise source.refuse(source.word("?"), "R1: ? is no parameter of a conversion", PARAMETERS_FIX)


def _tables(source: Source, tree: "exp.Query") -> list[Table]:
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    found: dict[Table, None] = {}
    for scope in traverse_scope(tree):
        for table in scope.sources.values():
            if isinstance(table, exp.Table) and not isinstance(table.this, exp.Func):
                found[_table(source, table)] = None
    if not found:
        raise source.refuse(
            source.first_word, "R1: the query reads no table", "read a raw table of the CRM: FROM dataset.table"
        )
    return list(found)


def _table(source: Source, node: "exp.Table") -> Table:
    if not node.db:
        problem = f"R1: the table `{node.name}` has no dataset"
        raise source.refuse(source.start_of(node), problem, f"write dataset.{node.name}, or define it in WITH")
    if "INFORMATION_SCHEMA" in ".".join(part.name for part in node.parts).upper().split("."):
        problem = "R1: INFORMATION_SCHEMA tells of tables, it holds no rows of the CRM"
        raise source.refuse(source.start_of(node), problem, "read a raw table of the CRM")
    if node.catalog:
        problem = f"R1: the table `{node.name}` names a project"
        raise source.refuse(
            source.start_of(node), problem, f"write {node.db}.{node.name}: the warehouse knows its project"
        )
    for name in (node.db, node.name.removesuffix("*")):
        if not NAME_OF_TABLE.fullmatch(name):
            problem = "R1: a dataset or table has letters, digits, _ and - in its name"
            raise source.refuse(source.start_of(node), problem, "write its name as the warehouse has it")
    return Table(node.db, node.name)


def _parameters(source: Source, tree: "exp.Query") -> set[str]:
    from sqlglot import exp

    names = set()
    for parameter in tree.find_all(exp.Parameter, exp.SessionParameter):
        if parameter.name not in PARAMETERS or isinstance(parameter, exp.SessionParameter):
            problem = f"R1: @{parameter.name} is no parameter of a conversion"
            raise source.refuse(source.word(parameter.name) - 1, problem, PARAMETERS_FIX)
        names.add(parameter.name)
    return names
