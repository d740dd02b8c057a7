"""A warehouse in memory for thousands of runs: statements are translated and planned once, and a run can be killed."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from sqlglot import exp

from conversions_assets.adjustment import guard, publish, report, scan
from conversions_assets.contract import fingerprints, materialise, stage, suite
from conversions_assets.warehouse import duckdb as engine
from conversions_assets.warehouse import script
from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.dialect import parse_bigquery, to_duckdb
from conversions_assets.warehouse.macros import missing_macros

TYPES: dict[type, str] = {
    **{date: "DATE", datetime: "TIMESTAMPTZ", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"},
    **{str: "VARCHAR", type(None): "VARCHAR"},
}
TEMPORARY = "CREATE OR REPLACE TEMPORARY TABLE "


class Killed(BaseException):
    """The process died: nothing that follows in it reaches the warehouse."""


class MemoryWarehouse(engine.DuckDBWarehouse):
    """DuckDB in memory, with prepared statements: planning is most of what a run over a few rows costs.

    A temporary table is made once and then emptied and filled, so that the plans stay valid.

    Attributes:
        statements: how many the present run has sent.
        commits: how many transactions it has committed.
        dies_at: the point (a statement, or either side of a commit) at which it is killed.
    """

    def __init__(self) -> None:
        with mock.patch.object(engine, "SETTINGS", ("SET threads = 1", "PRAGMA disable_optimizer", *engine.SETTINGS)):
            super().__init__(Path(":memory:"))
        self.statements = self.commits = 0
        self.dies_at: int | None = None
        self._dead = False
        self._texts: dict[exp.Expr, str] = {}
        self._bound: dict[tuple[Any, ...], list[Statement]] = {}
        self._numbers = count()
        self._prepared: dict[tuple[str, tuple[type, ...]], str] = {}
        self._temporary: set[str] = set()
        self._columns: dict[Table, dict[str, str]] = {}
        self._described: dict[exp.Expr, dict[str, str]] = {}

    def start_run(self, dies_at: int | None = None) -> None:
        """A new process: temporary tables are empty, and it may be killed at a point."""
        if self._dead:
            for name in self._temporary:
                self._connection.execute(f"DELETE FROM {name}")
        self._dead, self.statements, self.commits, self.dies_at = False, 0, 0, dies_at

    def forget(self) -> None:
        """Empty all tables: a new history."""
        self.start_run()
        for dataset, name in self._connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database()"
        ).fetchall():
            self._connection.execute(f'DELETE FROM "{dataset}"."{name}"')

    def run_sql(self, sql: str, rows: Iterable[Sequence[Any]] | None = None) -> None:
        """DuckDB SQL, once or for each row of values."""
        for row in [None] if rows is None else rows:
            self._connection.execute(sql, row)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        relation = self._connection.execute(f"FROM {table}")
        names = [column[0] for column in relation.description or []]
        return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            self._step()
        self.commits += 1
        self._step()

    def describe(self, statement: Statement) -> dict[str, str]:
        if statement.tree not in self._described:
            self._described[statement.tree] = super().describe(statement)
        return self._described[statement.tree]

    def columns(self, table: Table) -> dict[str, str] | None:
        if table not in self._columns:
            found = super().columns(table)
            if found is None:
                return None
            self._columns[table] = found
        return self._columns[table]

    def bind(
        self, path: Path, tables: Mapping[str, Any], params: Mapping[str, Any], columns: Any = None
    ) -> list[Statement]:
        """`script.bind`, once for the same tables and lists."""
        lists = [(name, tuple(value)) for name, value in params.items() if isinstance(value, list | tuple)]
        key = (path.name, *tables.items(), *lists, *(columns or ()))
        if key not in self._bound:
            self._bound[key] = script.bind(path, tables, params, columns)
            for statement in self._bound[key]:
                statement.tree.meta["text"] = to_duckdb(statement.tree, self._float_columns(statement.tree))
        return [Statement(s.tree, {name: params[name] for name in s.params}) for s in self._bound[key]]

    def _sql(self, tree: exp.Expr) -> str:
        if "text" in tree.meta:
            return str(tree.meta["text"])
        if tree not in self._texts:
            self._texts[tree] = super()._sql(tree)
        return self._texts[tree]

    def _float_columns(self, tree: exp.Expr) -> frozenset[str]:
        # Those of all tables: a statement is translated once, and the temporary tables may not be there yet.
        rows = self._connection.execute("SELECT column_name, data_type FROM duckdb_columns()").fetchall()
        return frozenset[str]().union(*(engine.float_names({name: kind}) for name, kind in rows))

    def _keep_floats(self, tree: exp.Expr) -> None: ...

    def _step(self) -> None:
        if self.statements == self.dies_at or self._dead:
            with suppress(duckdb.Error):
                self._connection.rollback()
            self._dead = True
            raise Killed
        self.statements += 1

    def _run(self, sql: str, params: Mapping[str, Any], read: Any = None) -> Any:
        self._step()
        if read:
            return super()._run(sql, params, read)
        if sql.startswith(("DESCRIBE", "CREATE SCHEMA", "CREATE TABLE", "ALTER")):
            return self._change_catalog(sql, params)
        key = (sql, tuple(type(value) for value in params.values()))
        head, _, query = sql.partition(TEMPORARY)
        name = query.split(" ", 1)[0]
        if key not in self._prepared:
            if query:
                filled = {name: "" if value is None else value for name, value in params.items()}
                if name not in self._temporary:
                    self._change_catalog(sql, filled)
                    self._temporary.add(name)
                sql = f"{head}INSERT INTO {query.partition(' AS ')[0]} {query.partition(' AS ')[2]}"
            self._prepared[key] = f"p{next(self._numbers)}"
            # DuckDB plans a statement anew at each use as long as it does not know a parameter's type.
            sql = re.sub(r"\$(\w+)", lambda named: f"CAST({named[0]} AS {TYPES[type(params[named[1]])]})", sql)
            for macro, text in missing_macros(sql, self._macros):
                self._connection.execute(text)
                self._macros.add(macro)
                self._prepared = {key: self._prepared[key]}
            self._connection.execute(f"PREPARE {self._prepared[key]} AS {sql}")
        if query:
            self._connection.execute(f"DELETE FROM {name}")
        values = ", ".join(f"{name} := {_literal(value)}" for name, value in params.items())
        return super()._run(f"EXECUTE {self._prepared[key]}" + (f"({values})" if values else ""), {})

    def _change_catalog(self, sql: str, params: Mapping[str, Any]) -> Any:
        # DuckDB plans a statement that was prepared before anew at each use.
        self._prepared.clear()
        return super()._run(sql, params)


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL::VARCHAR"
        case bool() | float():
            return str(value)
        case int():
            return f"{value}::BIGINT"
        case datetime():
            return f"TIMESTAMPTZ '{value.isoformat()}'"
        case date():
            return f"DATE '{value}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


class NoReader:
    """Reads no sums: what a run tells a person is tested elsewhere."""

    def __init__(self, *_: Any) -> None:
        pass

    def rows(self, _file: str) -> list[dict[str, Any]]:
        return []

    def drift(self) -> report.Drift:
        return report.Drift((), (), ())

    def replay(self, **_: Any) -> report.Replay:
        return report.Replay()


def _find_nothing_personal(warehouse: MemoryWarehouse, *_: Any) -> list[dict[str, Any]]:
    warehouse.execute([Statement(_NOTHING_PERSONAL)])
    return []


[_NOTHING_PERSONAL] = parse_bigquery("CREATE OR REPLACE TEMP TABLE personal AS SELECT day, id FROM staged WHERE FALSE")


@contextmanager
def memory_warehouse() -> Iterator[MemoryWarehouse]:
    """The warehouse, and runs that only write: without the contract's checks and without sums for people."""
    warehouse = MemoryWarehouse()
    with ExitStack() as patches:
        for module, replaced in _replaced(warehouse).items():
            patches.enter_context(mock.patch.multiple(module, **replaced))
        yield warehouse
    warehouse.close()


def _replaced(warehouse: MemoryWarehouse) -> dict[Any, dict[str, Any]]:
    """What runs on the warehouse leave out, do once, or read from short lists: per module, name -> replacement."""
    found: dict[str, Any] = {}
    find_ids = guard._id_columns

    def id_columns(session: Any, conversion: Any, declared: Any) -> Any:
        version = conversion.query.version
        if version not in found:
            found[version] = find_ids(session, conversion, declared)
        return found[version]

    def nothing(*_: Any) -> list[Any]:
        return []

    bound = {"bind": warehouse.bind}
    few_units = {"minor_units": lambda: {0: ("JPY",), 3: ("KWD",), 4: ("CLF",)}}
    return {
        suite: {"validate": lambda *_: suite.Validation(()), "preload": lambda: None},
        stage: {**bound, "CURRENCIES": ("EUR", "USD")},
        fingerprints: {**bound, **few_units},
        materialise: {**bound, "read_profile": nothing, "_query": nothing, "_find_personal": _find_nothing_personal},
        publish: {**bound, **few_units, "Reader": NoReader},
        scan: bound,
        guard: {**bound, "_id_columns": id_columns},
    }
