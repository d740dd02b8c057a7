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
        complete: a BOOL column where `load_id` is, TRUE in the rows of a load that arrived whole (R19).
        external: whether someone else loads it, so that nobody but the sensor tells Dagster of a load.
    """

    table: Table
    primary_key: tuple[str, ...] = ()
    updated_at: str | None = None
    deleted: str | None = None
    partition_column: str | None = None
    load_id: str | None = None
    complete: str | None = None
    external: bool = True


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


def incomplete_loads(warehouse: Warehouse, tables: Sequence[Table], declared: RawTables) -> list[Table]:
    """Those of the tables whose newest load is known not to be complete: a row of it is not marked so (R19).

    Raises:
        WarehouseError: a declared column is not there.
    """
    raw = [declared[table] for table in tables if table in declared]
    return [table.table for table in raw if table.complete and not _is_complete(warehouse, table, table.complete)]


def count_rows(warehouse: Warehouse, tables: Sequence[Table]) -> dict[Table, int]:
    """How many rows the tables hold."""
    counting = exp.select(exp.Count(this=exp.Star()).as_("rows"))
    return {table: int(warehouse.query(Statement(counting.from_(table.expression)))[0]["rows"]) for table in tables}


def _is_complete(warehouse: Warehouse, raw: RawTable, marker: str) -> bool:
    table, column = _place_of_load(raw)
    if not all(_has_column(warehouse, table, *named) for named in ((column, "load_id"), (marker, "complete"))):
        return True
    load, place = exp.column(column, quoted=True), table.expression
    newest = exp.select(exp.func("MAX", load)).from_(place)
    marked = exp.func("COALESCE", exp.func("LOGICAL_AND", _or_false(exp.column(marker, quoted=True))), exp.true())
    of_newest = exp.EQ(this=load.copy(), expression=exp.Subquery(this=newest))
    rows = warehouse.query(Statement(exp.select(marked.as_("complete")).from_(place.copy()).where(of_newest)))
    return bool(rows[0]["complete"])


def _or_false(value: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", value, exp.false())


def _place_of_load(raw: RawTable) -> tuple[Table, str]:
    """The table and the column that tell the load."""
    place, _, column = (raw.load_id or "").rpartition(".")
    return (Table(raw.table.dataset, place) if place else raw.table), column


def _written_load(warehouse: Warehouse, raw: RawTable) -> str | None:
    table, column = _place_of_load(raw)
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
