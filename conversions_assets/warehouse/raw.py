"""Raw tables that a loader fills: what is declared of them, and which load they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table, Warehouse, WarehouseError


@dataclass(frozen=True)
class RawTable:
    """A raw table as CrmTables declares it.

    Attributes:
        updated_at: a column that moves with every change.
        deleted: a flag of the CRM or the loader.
        load_id: a column of the table, or `table.column` of another one in its dataset, that tells the load.
    """

    table: Table
    primary_key: tuple[str, ...] = ()
    updated_at: str | None = None
    deleted: str | None = None
    partition_column: str | None = None
    load_id: str | None = None


RawTables = Mapping[Table, RawTable]


def newest_load(warehouse: Warehouse, tables: Sequence[Table], declared: RawTables) -> str | None:
    """The newest load among the tables: the largest load id a loader wrote; without one, `<max(updated_at)>/<rows>`.

    None where nothing is declared that could tell a load. A table that is missing tells none: the query that reads it
    is refused with its place.

    Raises:
        WarehouseError: a declared column is not there.
    """
    raw = [declared[table] for table in tables if table in declared]
    written = [load for table in raw if table.load_id for load in [_written_load(warehouse, table)] if load is not None]
    if written:
        return max(written)
    seen = [load for table in raw if table.updated_at for load in [_seen_load(warehouse, table)] if load is not None]
    return max(seen, default=None)


def _written_load(warehouse: Warehouse, raw: RawTable) -> str | None:
    place, _, column = (raw.load_id or "").rpartition(".")
    table = Table(raw.table.dataset, place) if place else raw.table
    if not _has_column(warehouse, table, column, "load_id"):
        return None
    newest = exp.cast(exp.func("MAX", exp.column(column, quoted=True)), "TEXT")
    rows = warehouse.query(Statement(exp.select(newest.as_("load")).from_(table.expression)))
    load = rows[0]["load"]
    return None if load is None else str(load)


def _seen_load(warehouse: Warehouse, raw: RawTable) -> str | None:
    column = raw.updated_at or ""
    if not _has_column(warehouse, raw.table, column, "updated_at"):
        return None
    newest = exp.cast(exp.func("MAX", exp.column(column, quoted=True)), "TEXT")
    rows = warehouse.query(
        Statement(exp.select(newest.as_("newest"), exp.Count(this=exp.Star()).as_("rows")).from_(raw.table.expression))
    )
    return None if rows[0]["newest"] is None else f"{rows[0]['newest']}/{rows[0]['rows']}"


def _has_column(warehouse: Warehouse, table: Table, column: str, declared_as: str) -> bool:
    columns = warehouse.columns(table)
    if columns is not None and column not in columns:
        raise WarehouseError(
            f"the raw table {table} has no column `{column}`, which its defs.yaml declares as "
            f"{declared_as}: correct it there"
        )
    return columns is not None
