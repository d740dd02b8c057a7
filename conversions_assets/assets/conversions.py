"""`conversions/<name>`: per local day what the user's SQL says now, under the contract."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from conversions_assets.assets.pools import engine, writer_pool
from conversions_assets.assets.raw import raw_key
from conversions_assets.assets.warehouse import WarehouseResource, partition_days, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.families import RULES
from conversions_assets.contract.materialise import Materialised, materialise
from conversions_assets.contract.stage import Run
from conversions_assets.project import data_docs_folder
from conversions_assets.warehouse.raw import RawTables

Result = dg.MaterializeResult[Any] | dg.AssetMaterialization | dg.AssetCheckResult


def conversions_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["conversions", name])


def conversion_asset(
    conversion: Conversion,
    partitions: dg.DailyPartitionsDefinition,
    description: str | None,
    owners: Sequence[str],
    group: str,
) -> dg.AssetsDefinition:
    """The asset of a conversion, with its checks."""
    key = conversions_key(conversion.name)

    @dg.asset(
        key=key,
        deps=[raw_key(table) for table in conversion.query.tables],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"sql", engine()},
        owners=list(owners),
        group_name=group,
        description=description or f"What `{conversion.query.path.name}` says now, one row per id and day.",
        code_version=conversion.query.version,
        metadata={
            "query": dg.MetadataValue.path(str(conversion.query.path)),
            "window": f"{conversion.window_days} days",
        },
        check_specs=[
            dg.AssetCheckSpec(
                rule.name, asset=key, description=f"{rule.rules}: {rule.description}", blocking=rule.blocking
            )
            for rule in RULES
        ],
        output_required=False,
        pool=writer_pool(conversion.name),
    )
    def _conversions(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, raw_tables: dg.ResourceParam[RawTables]
    ) -> Iterator[Result]:
        with warehouse.open() as session:
            run = start_run(context, session, conversion, raw_tables)
            done = materialise(session, conversion, partition_days(context), run, context.log.info)
        yield from _report(context, conversion, run, done)

    return _conversions


def _report(
    context: dg.AssetExecutionContext, conversion: Conversion, run: Run, done: Materialised
) -> Iterator[Result]:
    from conversions_assets.assets import presentation, report
    from conversions_assets.contract.data_docs import write_page

    key = conversions_key(conversion.name)
    page = write_page(data_docs_folder(), conversion.name, done.days, run, done.validation)
    of_the_run = {
        **report.run_figures(conversion, done),
        "checks": presentation.checks_link(key.path),
        "Data Docs": dg.MetadataValue.path(str(page)),
        **run_metadata(run),
    }
    per_day = per_day_metadata(report.day_figures(done), of_the_run, newest=max(done.good_days, default=None))
    checks = [report.check_result(outcome, done, page) for outcome in done.outcomes]
    if not done.failing_days:
        for day, metadata in per_day.items():
            context.add_asset_metadata(metadata, partition_key=str(day))
        yield dg.MaterializeResult(asset_key=key, check_results=checks)
        return
    # R11: the good days are recorded one by one, then the run fails and names the others.
    for day in done.good_days:
        context.log_event(dg.AssetMaterialization(key, metadata=per_day[day], partition=str(day)))
    yield from checks
    failed = ", ".join(str(day) for day in sorted(done.failing_days))
    sentences = "; ".join(o.sentence for o in done.outcomes if o.rule.blocking and not o.passed)
    raise dg.Failure(
        description=f"{len(done.failing_days)} of {len(done.days)} days stay as they were: {failed}. "
        f"Because {sentences}.",
        metadata=of_the_run,
        allow_retries=False,
    )


def per_day_metadata(
    per_day: Mapping[date, Mapping[str, Any]], of_the_run: Mapping[str, Any], newest: date | None
) -> dict[date, dict[str, Any]]:
    """Each day's own figures; the run's tables and plots go to the newest day alone.

    Dagster stores metadata once per partition, and the UI shows the newest: a year would hold each plot 365 times.
    """
    return {day: {**(of_the_run if day == newest else {}), **values} for day, values in per_day.items()}


def run_metadata(run: Run) -> dict[str, Any]:
    """Which load and, in a replay, which clock a run used (R33); which jobs it ran where jobs are billed."""
    metadata: dict[str, Any] = {"CRM load": run.crm_load_id or "unknown", "run date": str(run.local_date)}
    if run.clock.replaced:
        metadata["clock"] = f"CONVERSIONS_NOW={run.now.isoformat()}"
    if run.jobs:
        from conversions_assets.assets import presentation

        metadata["jobs"] = presentation.table([vars(job) for job in run.jobs])
        metadata["bytes processed"] = sum(job.bytes_processed for job in run.jobs)
        metadata["bytes billed"] = sum(job.bytes_billed for job in run.jobs)
    return metadata
