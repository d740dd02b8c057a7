"""The embedded engine: one DuckDB file, one writer. BigQuery SQL arrives and is translated by `dialect`."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from conversions_assets.warehouse.base import (
    Job,
    Statement,
    Table,
    WarehouseError,
    WarehouseFaultError,
    WarehouseLockedError,
)
from conversions_assets.warehouse.dialect import bigquery_type, to_duckdb
from conversions_assets.warehouse.frames import typed
from conversions_assets.warehouse.macros import missing_macros
from conversions_assets.warehouse.rewrites.wildcards import expand_wildcards

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)

HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
CATALOG = "_warehouse"
DAYS = ("day", "day_after")
"""The column whose days lie together in a table that has it."""
FLOAT = re.compile("DOUBLE|FLOAT")
FLOAT_FIELD = re.compile(r'"?(\w+)"? (?:DOUBLE|FLOAT)')
ABOUT_SQL = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.IOException,
    duckdb.PermissionException,
    duckdb.TransactionException,
)
DISK = re.compile("Could not (write|truncate|fsync)|No space left|max_temp_directory_size")
# A user's SQL can read tables and nothing else: no files, no network, no extensions, no change of these settings.
SETTINGS = (
    "SET TimeZone = 'UTC'",
    # A division by zero, a root or logarithm of what has none is an error, as in BigQuery.
    "SET ieee_floating_point_ops = false",
    "SET preserve_insertion_order = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class DuckDBWarehouse:
    """A session on a DuckDB file.

    Args:
        path: the file; it is made with its folder if it is missing.
        lock_timeout: how long to wait while another process holds the file.

    Raises:
        WarehouseLockedError: another process still holds the file after `lock_timeout`.
        WarehouseError: the file cannot be opened.
    """

    kind = "duckdb"
    jobs: Sequence[Job] = ()

    def __init__(self, path: Path, lock_timeout: timedelta = timedelta(minutes=10)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = wait_for_file(path, lock_timeout, lambda: _attach(path))
        self._path, self._file = path, _identity(path)
        for setting in SETTINGS:
            self._connection.execute(setting)
        self._floats: dict[Table, frozenset[str]] = {}
        self._macros: set[str] = set()
        self._days: dict[Table, str] = {}

    def __enter__(self) -> "DuckDBWarehouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file free for other processes."""
        self._connection.close()

    def charge(self, labels: Mapping[str, str], maximum_bytes_billed: int | None = None) -> None:
        """Nothing is billed here."""

    def execute(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            self._run(self._sql(statement.tree) + self._order(statement.tree), statement.params)
            if isinstance(statement.tree, exp.Create | exp.Alter | exp.Drop):
                self._keep_floats(statement.tree)

    def query(self, statement: Statement) -> list[dict[str, Any]]:
        cursor = self._run(self._sql(statement.tree), statement.params)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def frame(self, statement: Statement) -> "DataFrame":
        def read(sql: str, params: Mapping[str, Any]) -> Any:
            return self._connection.sql(sql, params=dict(params) or None).to_arrow_table().to_pandas()

        frame: DataFrame = self._run(self._sql(statement.tree), statement.params, read)
        return frame

    def load(self, name: str, frame: "DataFrame", columns: Mapping[str, str]) -> None:
        view = f"_{name}_frame"
        with self._faults():
            self._connection.register(view, typed(frame, columns))
        try:
            rows = exp.select("*").from_(exp.to_identifier(view))
            created = exp.Create(
                this=exp.to_table(name),
                kind="TABLE",
                replace=True,
                expression=rows,
                properties=exp.Properties(expressions=[exp.TemporaryProperty()]),
            )
            self.execute([Statement(created)])
        finally:
            self._connection.unregister(view)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._faults():
            self._connection.begin()
        macros = set(self._macros)
        try:
            yield
            self._refuse_other_file()
        except BaseException:
            self._macros = macros
            # Where the session is gone, so is the transaction, and the first error tells why.
            with suppress(duckdb.Error):
                self._connection.rollback()
            raise
        with self._faults():
            self._connection.commit()

    def describe(self, statement: Statement) -> dict[str, str]:
        rows = self._run(f"DESCRIBE {self._sql(statement.tree)}", statement.params).fetchall()
        return {name: bigquery_type(kind) for name, kind, *_ in rows}

    def bytes_of(self, statement: Statement) -> int | None:
        """Nothing is billed here."""
        return None

    def columns(self, table: Table) -> dict[str, str] | None:
        columns = self._look_up(table)
        return None if columns is None else {name: bigquery_type(kind) for name, kind in columns.items()}

    def tables(self, dataset: str) -> dict[str, dict[str, str]]:
        rows = self._run(
            "SELECT DISTINCT table_name FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = $dataset ORDER BY table_name",
            {"dataset": dataset},
        ).fetchall()
        return {name: self.columns(Table(dataset, name)) or {} for (name,) in rows}

    def create_table(self, table: Table, columns: Mapping[str, str], by_day: bool = True) -> None:
        present = self.columns(table)
        day = next((name for name in DAYS if columns.get(name) == "DATE"), None)
        if by_day and day is not None:
            self._days[table] = day
        if present is None:
            schema = exp.Create(this=exp.to_identifier(table.dataset, quoted=True), kind="SCHEMA", exists=True)
            self.execute([Statement(schema), Statement(_create(table, columns))])
            return
        # A table that an older version made lacks columns that came later.
        self.execute([Statement(_add(table, name, kind)) for name, kind in columns.items() if name not in present])

    def _sql(self, tree: exp.Expr) -> str:
        expanded = expand_wildcards(tree, self._tables_like)
        return to_duckdb(expanded, self._float_columns(expanded))

    def _order(self, tree: exp.Expr) -> str:
        # As in BigQuery's partitions the rows of a day lie together: DuckDB passes over what holds other days, see
        # https://duckdb.org/docs/current/guides/performance/indexing ("Zonemaps").
        if not isinstance(tree, exp.Insert) or not isinstance(tree.expression, exp.Query):
            return ""
        table = tree.find(exp.Table)
        day = self._days.get(Table(table.db, table.name)) if table is not None else None
        return f" ORDER BY {day}" if day else ""

    def _tables_like(self, dataset: str, prefix: str) -> list[str]:
        rows = self._run(
            "SELECT table_name FROM duckdb_tables() "
            "WHERE database_name = current_database() AND schema_name = $dataset AND starts_with(table_name, $prefix)",
            {"dataset": dataset, "prefix": prefix},
        ).fetchall()
        return [name for (name,) in rows]

    def _float_columns(self, tree: exp.Expr) -> frozenset[str]:
        """Names of columns, and of fields in them, that hold a FLOAT64 in a table of the statement."""
        found = frozenset[str]()
        for node in tree.find_all(exp.Table):
            table = Table(node.db, node.name)
            if table.dataset and table not in self._floats:
                self._floats[table] = float_names(self._look_up(table) or {})
            found |= self._floats.get(table, frozenset())
        return found

    def _keep_floats(self, tree: exp.Expr) -> None:
        node = tree.find(exp.Table)
        if node is not None:
            self._floats.pop(Table(node.db, node.name), None)
        if node is not None and not node.db and isinstance(tree, exp.Create):
            rows = self._run(f"DESCRIBE {node.sql(dialect='duckdb')}", {}).fetchall()
            self._floats[Table("", node.name)] = float_names({name: kind for name, kind, *_ in rows})

    def _look_up(self, table: Table) -> dict[str, str] | None:
        """Columns and DuckDB's types of a table; None where it is not there."""
        # DuckDB's table of all columns takes ten times as long. A connection of its own: what fails ends a transaction.
        with self._faults(), closing(self._connection.cursor()) as beside:
            try:
                rows = beside.execute(f"DESCRIBE {CATALOG}.{table.expression.sql(dialect='duckdb')}").fetchall()
            except duckdb.CatalogException:
                return None
        return {name: kind for name, kind, *_ in rows}

    def _run(self, sql: str, params: Mapping[str, Any], read: Any = None) -> Any:
        with self._faults():
            for name, macro in missing_macros(sql, self._macros):
                self._connection.execute(macro)
                self._macros.add(name)
            return read(sql, params) if read else self._connection.execute(sql, dict(params) or None)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            advice = _advice(error, self._path)
            raise (WarehouseFaultError if advice else WarehouseError)(_message(error) + advice) from None

    def _refuse_other_file(self) -> None:
        if _identity(self._path) != self._file:
            raise WarehouseFaultError(
                f"{self._path} was removed or replaced while this run had it open: what it wrote would be lost. Let "
                "nothing move the file while a run holds it, then run this again."
            )


def float_names(columns: Mapping[str, str]) -> frozenset[str]:
    """Names of columns that hold a DOUBLE or FLOAT, and of such fields in them."""
    floats = {name: kind for name, kind in columns.items() if FLOAT.search(kind)}
    return frozenset(floats).union(*(FLOAT_FIELD.findall(kind) for kind in floats.values()))


def _message(error: duckdb.Error) -> str:
    # Without the translated SQL, which the user has never seen, and without values of rows, which may be personal: only
    # errors that come up before a row is read are shown as they are.
    text = str(error).split("\n\nLINE ")[0].strip()
    if isinstance(error, ABOUT_SQL):
        return text
    line = re.sub(r"[\"'].*[\"']", "'…'", text.splitlines()[0])
    return re.sub(r"(?<![A-Za-z])[-+]?\d[\d.]*(?:[eE][-+]?\d+)?", "…", line)


def _advice(error: duckdb.Error, path: Path) -> str:
    """What to do where it is not the statement that is wrong."""
    kept = f"{path} is as it was before this transaction"
    if DISK.search(str(error)):
        return f". The disk is full, or a limit on file sizes is reached; {kept}: make room, then run this again."
    if isinstance(error, duckdb.ConnectionException | duckdb.FatalException):
        return f" The session is gone, and {kept}: run this again."
    return ""


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path; None where none does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _create(table: Table, columns: Mapping[str, str]) -> exp.Create:
    definitions: list[exp.Expr] = [
        exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=exp.DataType.build(kind, dialect="bigquery"))
        for name, kind in columns.items()
    ]
    schema = exp.Schema(this=table.expression, expressions=definitions)
    return exp.Create(this=schema, kind="TABLE", exists=True)


def _add(table: Table, name: str, kind: str) -> exp.Alter:
    column = exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=exp.DataType.build(kind, dialect="bigquery"))
    return exp.Alter(this=table.expression, kind="TABLE", actions=[column])


def _attach(path: Path) -> duckdb.DuckDBPyConnection:
    # Under a name of our own: DuckDB names a file's catalog after the file, and `conversions.lead` in
    # conversions.duckdb would be ambiguous between catalog and dataset.
    connection = duckdb.connect()
    file = str(path).replace("'", "''")
    try:
        # What does not fit into memory lies beside the file, not in the working directory of whoever started us.
        connection.execute(f"SET temp_directory = '{file}.tmp'")
        connection.execute(f"ATTACH '{file}' AS {CATALOG}")
        connection.execute(f"USE {CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def wait_for_file(
    path: Path, lock_timeout: timedelta, opening: Callable[[], duckdb.DuckDBPyConnection]
) -> duckdb.DuckDBPyConnection:
    """Open the file once no other process holds it.

    Raises:
        WarehouseLockedError: another process still holds the file after `lock_timeout`.
        WarehouseError: the file cannot be opened.
    """
    deadline = time.monotonic() + lock_timeout.total_seconds()
    told = False
    while True:
        try:
            return opening()
        except duckdb.IOException as error:
            holder = HOLDER.search(str(error))
            if holder is None:
                raise WarehouseError(f"cannot open {path}: {error}") from error
            who = f"process {holder['pid']} ({holder['program']})"
            if time.monotonic() >= deadline:
                raise WarehouseLockedError(
                    f"{path} is open in {who}. DuckDB lets one process write: close that program (or end it with "
                    f"`kill {holder['pid']}`) and run this again. Waited {lock_timeout.total_seconds():.0f} s."
                ) from error
            if not told:
                logger.warning("waiting for %s to close %s", who, path)
                told = True
            time.sleep(min(0.5, max(0.01, deadline - time.monotonic())))
