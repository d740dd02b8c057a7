"""Plays the loader: writes the demo's CRM rows into the DuckDB file, as Fivetran or Airbyte would."""

from pathlib import Path

import duckdb
import pyarrow as pa

from conversions_assets.demo.history import TABLES, Load
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.duckdb import DuckDBWarehouse

ARROW = {"STRING": pa.string(), "FLOAT64": pa.float64(), "BOOL": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC")}


class NotTheDemoError(Exception):
    """The file holds tables of these names that the demo did not make."""


def newest_raw_load(path: Path) -> str | None:
    """The newest load in the file; None if the demo has not begun.

    Raises:
        NotTheDemoError: a table of the demo's name is there with other columns.
    """
    newest = []
    with DuckDBWarehouse(path) as warehouse:
        for name, columns in TABLES.items():
            found = warehouse.columns(_table(name))
            if found is None:
                continue
            if found != columns:
                raise NotTheDemoError(
                    f"{path} already holds a table {name} that is not the demo's. Give the demo a file of its own: "
                    "CONVERSIONS_DUCKDB_PATH=.data/demo.duckdb make demo"
                )
    with duckdb.connect(str(path)) as connection:
        for name in TABLES:
            table = _table(name)
            if connection.execute(
                "SELECT 1 FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?", [table.dataset, table.name]
            ).fetchall():
                [(load,)] = connection.execute(f"SELECT max(_load_id) FROM {table}").fetchall()
                newest.append(load)
    # A load is complete once every table has it.
    return min(newest) if len(newest) == len(TABLES) and None not in newest else None


def write_load(path: Path, load: Load) -> None:
    """Replace the rows whose ids the load holds, in one transaction."""
    with DuckDBWarehouse(path) as warehouse:
        for name, columns in TABLES.items():
            warehouse.create_table(_table(name), columns)
    with duckdb.connect(str(path)) as connection:
        connection.begin()
        for name, columns in TABLES.items():
            schema = pa.schema([(column, ARROW[kind]) for column, kind in columns.items()])
            connection.register("arriving", pa.Table.from_pylist(load.rows[name], schema=schema))
            connection.execute(f"DELETE FROM {_table(name)} WHERE id IN (SELECT id FROM arriving)")
            connection.execute(f"INSERT INTO {_table(name)} SELECT * FROM arriving")
            connection.unregister("arriving")
        connection.commit()


def _table(name: str) -> Table:
    dataset, table = name.split(".")
    return Table(dataset, table)
