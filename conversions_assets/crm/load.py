"""A load of a CRM's tables by dlt: merged by key, in parquet, without nested tables, with versions of every row."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversions_assets.crm import loads
from conversions_assets.crm.client import CrmError
from conversions_assets.crm.known import Known
from conversions_assets.crm.names import keep_names
from conversions_assets.crm.tables import Row, SourceTable
from conversions_assets.crm.versions import COLUMNS, KEY, TIME, versions
from conversions_assets.warehouse.errors import causes
from conversions_assets.warehouse.loading import layout

if TYPE_CHECKING:
    from dlt import Pipeline
    from dlt.common.destination import Destination
    from dlt.extract import DltResource, DltSource


logger = logging.getLogger(__name__)

COMPARED_EVERY = timedelta(days=7)
TOLD_EVERY = 10_000


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes:
        load_id: the load in `_loads`, by which sensors and the guard know it.
        rows: table -> rows read in this load.
        new_columns: table -> columns that are new.
        gone_columns: table -> columns that hold what the CRM no longer has.
        cursors: table -> how far changes are read (ISO time or the CRM's own mark).
        counts: table -> rows in the warehouse, and those of them that are deleted.
        columns: table -> its columns and dlt's types.
    """

    load_id: str
    rows: Mapping[str, int]
    new_columns: Mapping[str, Sequence[str]]
    gone_columns: Mapping[str, Sequence[str]]
    cursors: Mapping[str, str]
    counts: Mapping[str, tuple[int, int]]
    columns: Mapping[str, Mapping[str, str]]


def make_pipeline(dataset: str, destination: "Destination[Any, Any]", folder: Path) -> "Pipeline":
    """The pipeline of a dataset; its state lies in the warehouse, and `folder` may be lost."""
    import dlt

    dlt.config["runtime.dlthub_telemetry"] = False
    # Copies of what was loaded would pile up in the working folder.
    dlt.config["load.delete_completed_jobs"] = True
    return dlt.pipeline(f"crm_{dataset}", destination=destination, dataset_name=dataset, pipelines_dir=str(folder))


def load(pipeline: "Pipeline", tables: Sequence[SourceTable], now: datetime, compare: bool = False) -> LoadReport:
    """Finish a load that was killed, then read and load all tables.

    Args:
        compare: list all ids and look for those that are gone; without it once a week.

    Raises:
        CrmError: the CRM refused; nothing of this load was stored.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    loads.make_dataset(pipeline)
    _drop_overtaken(pipeline)
    pipeline.sync_destination()
    _finish(pipeline, now)
    tables = [keep_names(pipeline, table) for table in tables]
    before = _columns(pipeline)
    try:
        pipeline.extract(_source(pipeline, tables, now, compare), loader_file_format="parquet")
    except PipelineStepFailed as error:
        # What was read before the refusal must not be loaded first of all next time.
        pipeline.abort_packages()
        refusal = next((cause for cause in causes(error) if isinstance(cause, CrmError)), None)
        if refusal is None:
            raise
        raise refusal from None
    normalized = pipeline.normalize()
    load_id = _store(pipeline, now)
    _make_empty(pipeline, tables)
    after = _columns(pipeline)
    read = {table.name: set(table.columns) for table in tables}
    return LoadReport(
        load_id=load_id,
        rows={name: count for name, count in normalized.row_counts.items() if name in after},
        new_columns=_not_empty({name: after[name] - before[name] for name in after if name in before}),
        gone_columns=_not_empty({name: _told(after[name]) - names for name, names in read.items() if name in after}),
        cursors=_cursors(pipeline),
        counts=loads.count(pipeline, after),
        columns=_types(pipeline, after),
    )


def _drop_overtaken(pipeline: "Pipeline") -> None:
    """Give up packages that are older than what the warehouse holds: another working folder has gone on since."""
    pending = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    if pending and min(pending) < loads.newest_package(pipeline):
        pipeline.abort_packages()


def _finish(pipeline: "Pipeline", now: datetime) -> None:
    """Load what a killed or failed load left.

    What cannot be loaded is given up, and dlt goes back to the state before it: this load reads it again.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    try:
        while pipeline.has_pending_data:
            pipeline.normalize()
            _store(pipeline, now)
    except PipelineStepFailed:
        pipeline.abort_packages()


def _store(pipeline: "Pipeline", now: datetime) -> str:
    """Load the packages that are ready; until all are, the load counts as incomplete (R19)."""
    load_id = loads.begin(pipeline, now)
    pipeline.load()
    loads.complete(pipeline, load_id)
    return load_id


def _source(pipeline: "Pipeline", tables: Sequence[SourceTable], now: datetime, compare: bool) -> "DltSource":
    import dlt

    @dlt.source(name="crm", max_table_nesting=0)
    def crm() -> Iterable["DltResource"]:
        made: dict[str, DltResource] = {}
        for table in tables:
            made[table.name] = (
                _dependent(table, made[table.of]) if table.of else _resource(pipeline, table, now, compare)
            )
            yield made[table.name]
            if table.versioned:
                yield _versions(table, made[table.name])

    return crm()


def _resource(pipeline: "Pipeline", table: SourceTable, now: datetime, compare: bool) -> "DltResource":
    import dlt

    def read() -> Iterator[list[Row]]:
        state = dlt.current.resource_state(table.name)
        compared = state.get("compared")
        due = compared is not None and (compare or now - datetime.fromisoformat(compared) >= COMPARED_EVERY)
        yield from _counted(table.name, table.read(state, Known(pipeline, table.name, now, due)))
        # Only now, so that a load that was refused compares again; the first load lists everything.
        if due or compared is None:
            state["compared"] = now.isoformat()

    how: Any = {"disposition": "merge", "strategy": "upsert"} if table.key else "replace"
    hints = _hints(table.columns, pipeline, table.name)
    made = dlt.resource(read, name=table.name, primary_key=list(table.key), write_disposition=how, columns=hints)
    return _laid_out(made, table.key)


def _dependent(table: SourceTable, parent: "DltResource") -> "DltResource":
    import dlt

    def read(rows: list[Row]) -> Iterator[list[Row]]:
        yield from table.read(rows)

    how: Any = {"disposition": "merge", "strategy": "delete-insert"}
    made = dlt.transformer(
        read,
        data_from=parent,
        name=table.name,
        merge_key=list(table.key),
        write_disposition=how,
        columns=_hints(table.columns),
    )
    return _laid_out(made, table.key)


def _versions(table: SourceTable, parent: "DltResource") -> "DltResource":
    import dlt

    def read(rows: list[Row]) -> Iterator[list[Row]]:
        yield list(versions(rows))

    how: Any = {"disposition": "merge", "strategy": "insert-only"}
    name = f"{table.name}_versions"
    made = dlt.transformer(
        read, data_from=parent, name=name, primary_key=list(KEY), write_disposition=how, columns=_hints(COLUMNS)
    )
    return _laid_out(made, KEY, TIME)


def _laid_out(resource: "DltResource", key: Sequence[str], month_of: str | None = None) -> "DltResource":
    return resource.apply_hints(additional_table_hints=layout(key, month_of))


def _hints(columns: Mapping[str, str], pipeline: "Pipeline | None" = None, table: str = "") -> Any:
    """Types of columns. One that the warehouse holds keeps its type: values of another get a column of their own."""
    held: Mapping[str, Any] = {}
    if pipeline is not None and pipeline.default_schema_name is not None:
        held = pipeline.default_schema.tables.get(table, {}).get("columns", {})
    return {
        name: {"data_type": kind, "nullable": True}
        for name, kind in columns.items()
        if held.get(name, {}).get("data_type", kind) == kind
    }


def _counted(name: str, pages: Iterable[list[Row]]) -> Iterator[list[Row]]:
    """The same pages, with a line in the log from time to time."""
    rows, told = 0, 0
    for page in pages:
        rows += len(page)
        if rows - told >= TOLD_EVERY:
            told = rows
            logger.info("%s: %s rows read", name, f"{rows:,}")
        yield page


def _make_empty(pipeline: "Pipeline", tables: Iterable[SourceTable]) -> None:
    """Make the tables of which no row was ever read: queries find them. dlt makes a table with its first row."""
    from dlt.common.schema.utils import new_column, new_table

    known = pipeline.default_schema.tables
    wanted = {table.name: (table.columns, layout(table.key)) for table in tables}
    versioned = (COLUMNS, layout(KEY, TIME))
    wanted |= {f"{table.name}_versions": versioned for table in tables if table.versioned}
    missing = {name for name in wanted if "_dlt_load_id" not in known.get(name, {}).get("columns", {})}
    for name in sorted(missing):
        columns, laid_out = wanted[name]
        stamped = columns | {"_dlt_load_id": "text", "_dlt_id": "text"}
        described = [new_column(column, kind, nullable=True) for column, kind in stamped.items()]  # type: ignore[arg-type]
        table: Any = new_table(name, columns=described) | laid_out
        pipeline.default_schema.update_table(table)
    if missing:
        pipeline.sync_schema()


def _columns(pipeline: "Pipeline") -> dict[str, set[str]]:
    if pipeline.default_schema_name is None:
        return {}
    tables = pipeline.default_schema.tables
    return {name: set(table["columns"]) for name, table in tables.items() if not name.startswith("_dlt")}


def _types(pipeline: "Pipeline", names: Iterable[str]) -> dict[str, dict[str, str]]:
    schema = pipeline.default_schema
    described = {name: schema.get_table_columns(name) for name in names}
    return {name: {n: str(h.get("data_type")) for n, h in columns.items()} for name, columns in described.items()}


def _told(columns: Iterable[str]) -> set[str]:
    """Columns of the CRM's, without those that a value of another type got (`<name>__v_<type>`)."""
    return {name for name in columns if not name.startswith("_dlt") and "__v_" not in name}


def _not_empty(found: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {name: sorted(columns) for name, columns in found.items() if columns}


def _cursors(pipeline: "Pipeline") -> dict[str, str]:
    resources = pipeline.state.get("sources", {}).get("crm", {}).get("resources", {})
    return {name: str(state["changed"]) for name, state in resources.items() if state.get("changed")}
