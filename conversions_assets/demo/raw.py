"""The demo's loads in the DuckDB file: which are there, and the orders, written as Fivetran or Airbyte would."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from conversions_assets.crm import loads as crm_loads
from conversions_assets.demo.history import Load
from conversions_assets.demo.truth import ORDER_COLUMNS
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.duckdb import DuckDBWarehouse

ORDERS = Table("shop", "orders")
HUBSPOT_LOADS = Table("hubspot", crm_loads.TABLE)
ARROW = {"STRING": pa.string(), "FLOAT64": pa.float64(), "BOOL": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC")}


class NotTheDemoError(Exception):
    """The file holds tables of these names that the demo did not make."""

    def __init__(self, path: Path, table: Table) -> None:
        super().__init__(
            f"{path} already holds a table {table} that is not this demo's. Give the demo a file of its own: "
            "CONVERSIONS_DUCKDB_PATH=.data/demo.duckdb make demo"
        )


def count_loads(path: Path, loads: Sequence[Load]) -> tuple[int, int]:
    """How many of the demo's loads the file holds whole: of the shop, and of HubSpot.

    Raises:
        NotTheDemoError: a table of the demo's name is there that the demo did not make.
    """
    with DuckDBWarehouse(path) as warehouse:
        columns = warehouse.columns(ORDERS)
    if columns not in (None, ORDER_COLUMNS):
        raise NotTheDemoError(path, ORDERS)
    with duckdb.connect(str(path)) as connection:
        of_shop = _newest_of_shop(connection) if columns else ""
        of_hubspot = _newest_of_hubspot(connection, path, loads[0].at)
    return sum(load.load_id <= of_shop for load in loads), sum(load.at <= of_hubspot for load in loads)


def _newest_of_shop(connection: duckdb.DuckDBPyConnection) -> str:
    [(newest,)] = connection.execute(f"SELECT max(_load_id) FROM {ORDERS}").fetchall()
    return newest or ""


def _newest_of_hubspot(connection: duckdb.DuckDBPyConnection, path: Path, first: datetime) -> datetime:
    """The newest whole load; the beginning of time without one. The demo's loads begin at `first`."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'hubspot'").fetchall()
    oldest, newest = None, None
    if (HUBSPOT_LOADS.name,) in tables:
        loads = f"SELECT min(load_id), max(load_id) FILTER (complete) FROM {HUBSPOT_LOADS}"
        [(oldest, newest)] = connection.execute(loads).fetchall()
    other = sorted({name for (name,) in tables} - {HUBSPOT_LOADS.name})
    if (oldest is None and other) or (oldest is not None and datetime.fromisoformat(oldest) != first):
        # Perhaps a real account's: a load of the demo would mark its records as deleted.
        raise NotTheDemoError(path, Table("hubspot", other[0]) if other else HUBSPOT_LOADS)
    return datetime.fromisoformat(newest) if newest else datetime.min.replace(tzinfo=UTC)


def write_orders(path: Path, load: Load) -> None:
    """Replace the rows whose ids the load holds, in one transaction."""
    with DuckDBWarehouse(path) as warehouse:
        warehouse.create_table(ORDERS, ORDER_COLUMNS)
    schema = pa.schema([(column, ARROW[kind]) for column, kind in ORDER_COLUMNS.items()])
    with duckdb.connect(str(path)) as connection:
        connection.begin()
        connection.register("arriving", pa.Table.from_pylist(load.orders, schema=schema))
        connection.execute(f"DELETE FROM {ORDERS} WHERE id IN (SELECT id FROM arriving)")
        connection.execute(f"INSERT INTO {ORDERS} SELECT * FROM arriving")
        connection.commit()
