"""`<dataset>/<table>`: the raw tables of a CRM that this project loads itself, all by one step."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from conversions_assets.assets.pools import writer_pool
from conversions_assets.assets.raw import raw_key
from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.crm import loads
from conversions_assets.crm.client import CrmError, Patience
from conversions_assets.crm.source import Crm
from conversions_assets.project import dlt_folder, read_clock
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable

if TYPE_CHECKING:
    from conversions_assets.crm.load import LoadReport

COMPLETE, SCHEMA = "complete_load", "schema"
# dlt's types as queries call them.
BIGQUERY_TYPES = {
    "text": "STRING",
    "double": "FLOAT64",
    "bigint": "INT64",
    "bool": "BOOL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}


class LoadConfig(dg.Config):
    """`compare`: list all ids and look for records that are gone; without it once a week."""

    compare: bool = False


def crm_raw_tables(crm: Crm, dataset: str) -> list[RawTable]:
    """The tables as stations, sensors and the guard read them."""
    found = []
    for table in crm.declared():
        known: dict[str, Any] = {"updated_at": "updated_at", "deleted": "_deleted"} if table.versioned else {}
        mark = {"load_id": f"{loads.TABLE}.{loads.LOAD_ID}", "complete": loads.COMPLETE}
        found.append(RawTable(Table(dataset, table.name), tuple(table.key), external=False, **known, **mark))
        if table.versioned:
            versions = Table(dataset, f"{table.name}_versions")
            found.append(RawTable(versions, ("id", "version"), "updated_at", external=False, **mark))
    return found


def crm_assets(
    crm: Crm, dataset: str, secrets: Mapping[str, str], freshness: dg.FreshnessPolicy | None, owners: Sequence[str]
) -> dg.AssetsDefinition:
    """The assets of a dataset.

    Args:
        secrets: what the CRM wants -> the environment variable that holds it.
    """
    tables = crm_raw_tables(crm, dataset)
    specs = [
        dg.AssetSpec(
            key=raw_key(raw.table),
            description=f"`{raw.table}`, loaded from {crm.title}.",
            group_name=dataset,
            kinds={"dlt", "table"},
            owners=list(owners),
            metadata={"primary key": ", ".join(raw.primary_key) or "none: replaced whole"},
            freshness_policy=freshness,
        )
        for raw in tables
    ]
    objects = [raw_key(raw.table) for raw in tables if raw.deleted]

    @dg.multi_asset(
        name=f"load_{dataset}",
        specs=specs,
        check_specs=[
            spec
            for key in objects
            for spec in (
                dg.AssetCheckSpec(COMPLETE, asset=key, description="R19: the newest load arrived whole."),
                dg.AssetCheckSpec(SCHEMA, asset=key, description="The CRM's columns are those of the load before."),
            )
        ],
        pool=writer_pool(dataset),
    )
    def _load(
        context: dg.AssetExecutionContext, config: LoadConfig, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        try:
            report = load_crm(crm, dataset, secrets, warehouse, config.compare)
        except CrmError as error:
            for key in objects:
                yield dg.AssetCheckResult(asset_key=key, check_name=COMPLETE, passed=False, description=str(error))
            # The schedule tries again; a retry at once would only repeat the refusal.
            raise dg.Failure(str(error), allow_retries=False) from None
        context.log.info("load %s of %s: %s rows", report.load_id, dataset, f"{sum(report.rows.values()):,}")
        for spec in specs:
            yield _result(spec.key, report, spec.key in objects)

    return _load


def load_schedule(dataset: str, cron: str, tables: Sequence[RawTable], zone: str) -> dg.ScheduleDefinition:
    """Loads a dataset, in the project's time zone."""
    return dg.ScheduleDefinition(
        name=f"load_{dataset}",
        target=dg.AssetSelection.assets(*(raw_key(raw.table) for raw in tables)),
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def load_crm(
    crm: Crm, dataset: str, secrets: Mapping[str, str], warehouse: WarehouseResource, compare: bool
) -> "LoadReport":
    """Load a dataset.

    Raises:
        CrmError: a secret is not set, or the CRM refused.
    """
    from conversions_assets.crm.load import load, make_pipeline

    missing = [name for name in secrets.values() if not dg.EnvVar(name).get_value()]
    if missing:
        raise CrmError(f"{crm.title}: set the environment variable {' and '.join(missing)}")
    given = {secret: str(dg.EnvVar(name).get_value()) for secret, name in secrets.items()}
    client = crm.client(given, Patience())
    with warehouse.destination(dataset) as destination:
        pipeline = make_pipeline(dataset, destination, dlt_folder() / dataset)
        return load(pipeline, crm.tables(client), read_clock().now, compare)


def _result(key: dg.AssetKey, report: "LoadReport", is_object: bool) -> dg.MaterializeResult[None]:
    name = key.path[-1]
    rows, deleted = report.counts.get(name, (0, 0))
    cursor = report.cursors.get(name)
    types = report.columns.get(name, {})
    columns = [dg.TableColumn(column, BIGQUERY_TYPES.get(kind, kind)) for column, kind in types.items()]
    standard: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/row_count": rows,
        "dagster/table_name": ".".join(key.path),
    }
    facts: dict[str, Any] = {
        "CRM load": report.load_id,
        "rows in this load": report.rows.get(name, 0),
        "rows that the CRM has deleted": deleted if is_object else None,
        "new columns": ", ".join(report.new_columns.get(name, ())) or None,
        "changes read up to": cursor,
        "behind the CRM": _behind(cursor, report.load_id),
    }
    told = {what: fact for what, fact in facts.items() if fact is not None}
    return dg.MaterializeResult(
        asset_key=key,
        metadata={**standard, **told},
        check_results=[_complete(key, report), _schema(key, report)] if is_object else [],
    )


def _behind(cursor: str | None, load_id: str) -> str | None:
    """How long before the load the newest change was made, where the cursor is a time."""
    try:
        return str(datetime.fromisoformat(load_id) - datetime.fromisoformat(cursor)) if cursor else None
    except (ValueError, TypeError):
        return None


def _complete(key: dg.AssetKey, report: "LoadReport") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(asset_key=key, check_name=COMPLETE, passed=True, metadata={"CRM load": report.load_id})


def _schema(key: dg.AssetKey, report: "LoadReport") -> dg.AssetCheckResult:
    """New columns were loaded; what the CRM has no longer keeps its last values."""
    name = key.path[-1]
    new, gone = report.new_columns.get(name, ()), report.gone_columns.get(name, ())
    other_type = [column for column in new if "__v_" in column]
    problems = [
        *(f"new column {column}" for column in new if column not in other_type),
        *(f"values of another type lie in {column}: use it in your SQL beside the old column" for column in other_type),
        *(f"{column} is gone from the CRM: the column keeps its last values" for column in gone),
    ]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=SCHEMA,
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or None,
    )
