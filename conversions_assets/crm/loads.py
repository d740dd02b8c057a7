"""`_loads`: the loads of a dataset, and whether each arrived whole: what sensors and the guard read (R19)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from dlt import Pipeline

TABLE, LOAD_ID, COMPLETE = "_loads", "load_id", "complete"
COLUMNS = {LOAD_ID: "TEXT", "started_at": "TIMESTAMPTZ", COMPLETE: "BOOLEAN"}


def make_dataset(pipeline: "Pipeline") -> None:
    """Make the dataset unless it is there: what is asked of it then has one answer on all engines."""
    with pipeline.sql_client() as client:
        if not client.has_dataset():
            client.create_dataset()


def begin(pipeline: "Pipeline", now: datetime) -> str:
    """Note that the tables are about to change. The load's id: its time (ISO 8601, UTC), later than all before."""
    with pipeline.sql_client() as client:
        place = _place(client)
        columns = [exp.ColumnDef(this=exp.to_identifier(n), kind=exp.DataType.build(t)) for n, t in COLUMNS.items()]
        _run(client, exp.Create(this=exp.Schema(this=place, expressions=columns), kind="TABLE", exists=True))
        [(newest,)] = _run(client, exp.select(exp.func("MAX", exp.column(LOAD_ID))).from_(place))
        moment = now.astimezone(UTC)
        if newest is not None:
            moment = max(moment, datetime.fromisoformat(newest) + timedelta(microseconds=1))
        load_id = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        values: list[Any] = [
            exp.Literal.string(load_id),
            exp.cast(exp.Literal.string(moment.isoformat()), "TIMESTAMPTZ"),
        ]
        _run(client, exp.insert(exp.select(*values, exp.false()), place, columns=list(COLUMNS)))
    return load_id


def complete(pipeline: "Pipeline", load_id: str) -> None:
    """Note that all of a load is there."""
    with pipeline.sql_client() as client:
        of_load = exp.column(LOAD_ID).eq(exp.Literal.string(load_id))
        _run(client, exp.update(_place(client), {COMPLETE: True}, where=of_load))


def newest_package(pipeline: "Pipeline") -> str:
    """dlt's id (seconds since 1970) of the newest package that was stored whole; '' where there is none."""
    from dlt.destinations.exceptions import DatabaseUndefinedRelation

    with pipeline.sql_client() as client:
        try:
            [(newest,)] = _run(
                client, exp.select(exp.func("MAX", exp.column("load_id"))).from_(_place(client, "_dlt_loads"))
            )
        except DatabaseUndefinedRelation:
            return ""
    return newest or ""


def count(pipeline: "Pipeline", tables: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Rows of each table, and those of them that are marked deleted."""
    held = pipeline.default_schema.tables
    with pipeline.sql_client() as client:
        counts: list[exp.Query] = []
        for name in tables:
            flag: exp.Expr = exp.column("_deleted") if "_deleted" in held[name]["columns"] else exp.false()
            told = exp.Literal.string(name), exp.Count(this=exp.Star()), exp.func("COUNT_IF", flag)
            counts.append(exp.select(*told).from_(_place(client, name)))
        counted = reduce(lambda left, right: exp.union(left, right, distinct=False), counts)
        return {name: (rows, deleted) for name, rows, deleted in _run(client, counted)}


def _place(client: Any, name: str = TABLE) -> exp.Table:
    return exp.table_(name, db=client.dataset_name, quoted=True)


def _run(client: Any, statement: exp.Expr) -> list[Any]:
    return list(client.execute_sql(statement.sql(client.capabilities.sqlglot_dialect)) or [])
