"""A load of a CRM's tables by dlt: merged by key, in parquet, without nested tables, with versions of every row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversions_assets.crm.client import CrmError
from conversions_assets.crm.known import Known
from conversions_assets.crm.tables import Row, SourceTable
from conversions_assets.crm.versions import COLUMNS, KEY, versions

if TYPE_CHECKING:
    from dlt import Pipeline
    from dlt.common.destination import Destination
    from dlt.extract import DltResource, DltSource


COMPARED_EVERY = timedelta(days=7)


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes:
        load_ids: of the packages that it loaded, those of a load that was killed before it included.
        rows: table -> rows read in this load.
        new_columns: table -> columns that are new.
    """

    load_ids: Sequence[str]
    rows: Mapping[str, int]
    new_columns: Mapping[str, Sequence[str]]


def make_pipeline(dataset: str, destination: "Destination[Any, Any]", folder: Path) -> "Pipeline":
    """The pipeline of a dataset; its state lies in the warehouse, and `folder` may be lost."""
    import dlt

    dlt.config["runtime.dlthub_telemetry"] = False
    return dlt.pipeline(f"crm_{dataset}", destination=destination, dataset_name=dataset, pipelines_dir=str(folder))


def load(pipeline: "Pipeline", tables: Sequence[SourceTable], now: datetime, compare: bool = False) -> LoadReport:
    """Finish a load that was killed, then read and load all tables.

    Args:
        compare: list all ids and look for those that are gone; without it once a week.

    Raises:
        CrmError: the CRM refused; nothing of this load was stored.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    load_ids = _finish(pipeline)
    before = _columns(pipeline)
    try:
        info = pipeline.run(_source(pipeline, tables, now, compare), loader_file_format="parquet")
    except PipelineStepFailed as error:
        if error.step == "extract":
            # What was read before the refusal must not be loaded first of all next time.
            pipeline.abort_packages()
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from None
    after, names = _columns(pipeline), {table.name for table in tables}
    normalized = pipeline.last_trace.last_normalize_info if pipeline.last_trace else None
    counts = normalized.row_counts if normalized else {}
    new = {name: sorted(after[name] - before[name]) for name in after if name in before and after[name] - before[name]}
    rows = {name: count for name, count in counts.items() if name in names}
    return LoadReport([*load_ids, *info.loads_ids], rows, new)


def _finish(pipeline: "Pipeline") -> list[str]:
    """Load what a killed or failed load left; the ids of its packages.

    What cannot be loaded is given up, and dlt goes back to the state before it: this load reads it again.
    """
    from dlt.pipeline.exceptions import PipelineStepFailed

    load_ids: list[str] = []
    pipeline.sync_destination()
    try:
        while pipeline.has_pending_data:
            load_ids += pipeline.run(loader_file_format="parquet").loads_ids
    except PipelineStepFailed:
        pipeline.abort_packages()
    return load_ids


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
        yield from table.read(state, Known(pipeline, table.name, due))
        # Only now, so that a load that was refused compares again; the first load lists everything.
        if due or compared is None:
            state["compared"] = now.isoformat()

    how: Any = {"disposition": "merge", "strategy": "upsert"} if table.key else "replace"
    hints = _hints(table.columns, pipeline, table.name)
    return dlt.resource(read, name=table.name, primary_key=list(table.key), write_disposition=how, columns=hints)


def _dependent(table: SourceTable, parent: "DltResource") -> "DltResource":
    import dlt

    def read(rows: list[Row]) -> Iterator[list[Row]]:
        yield from table.read(rows)

    how: Any = {"disposition": "merge", "strategy": "delete-insert"}
    return dlt.transformer(
        read,
        data_from=parent,
        name=table.name,
        merge_key=list(table.key),
        write_disposition=how,
        columns=_hints(table.columns),
    )


def _versions(table: SourceTable, parent: "DltResource") -> "DltResource":
    import dlt

    def read(rows: list[Row]) -> Iterator[list[Row]]:
        yield list(versions(rows))

    how: Any = {"disposition": "merge", "strategy": "insert-only"}
    name = f"{table.name}_versions"
    return dlt.transformer(
        read, data_from=parent, name=name, primary_key=list(KEY), write_disposition=how, columns=_hints(COLUMNS)
    )


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


def _columns(pipeline: "Pipeline") -> dict[str, set[str]]:
    if pipeline.default_schema_name is None:
        return {}
    tables = pipeline.default_schema.tables
    return {name: set(table["columns"]) for name, table in tables.items() if not name.startswith("_dlt")}


def _refusal(error: BaseException | None) -> CrmError | None:
    """The CRM's refusal among the causes of an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, CrmError):
            return error
        seen.add(id(error))
        error = getattr(error, "exception", None) or error.__cause__ or error.__context__
    return None
