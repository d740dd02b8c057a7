"""The job `scan`: which days of a conversion changed, and the runs that are asked for because of it (R23)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from conversions_assets.adjustment.scan import Scan, scan
from conversions_assets.assets.adjusted import adjusted_key, daily_keys, fresh_days_result, published_keys
from conversions_assets.assets.conversions import run_metadata
from conversions_assets.assets.pools import engine, reader_pool
from conversions_assets.assets.raw import raw_key
from conversions_assets.assets.warehouse import REQUESTED_ON, WarehouseResource, start_run
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.stage import Run
from conversions_assets.warehouse.raw import RawTables

SCAN = "scan"
CONVERT, PUBLISH = "conversions_assets/convert", "conversions_assets/publish"
SCANNED_ON = "conversions_assets/scanned_on"
SCANNED_BY = "conversions_assets/scanned_by"
"""Tags of a scan's run: the ranges it asks for (`<name>:<first>...<last>`, …), its local date r, the run's scan."""

# A run whose process dies is started again, if the instance retries runs; a run that failed by itself is not.
AGAIN_IF_KILLED = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "false"}


class ScanConfig(dg.Config):
    """Which conversions to scan; empty: all."""

    conversions: list[str] = []


def changed_days_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["changed_days", name])


def changed_days_asset(conversion: Conversion, partitions: dg.DailyPartitionsDefinition) -> dg.AssetSpec:
    """The external asset on which a scan reports the days it asks a rerun for."""
    return dg.AssetSpec(
        key=changed_days_key(conversion.name),
        deps=[raw_key(table) for table in conversion.query.tables],
        partitions_def=partitions,
        group_name="changed_days",
        kinds={"sql", engine()},
        description=f"Days of `{conversion.name}` that the CRM changed since they were published: the job `{SCAN}`.",
    )


def scan_job(conversions: Sequence[Conversion]) -> dg.JobDefinition:
    """One step that scans one conversion after the other; the sensor asks for one per run."""
    known = {conversion.name: conversion for conversion in conversions}

    @dg.op(name="scan_window", pool=reader_pool())
    def _scan(
        context: dg.OpExecutionContext,
        config: ScanConfig,
        warehouse: WarehouseResource,
        raw_tables: dg.ResourceParam[RawTables],
    ) -> None:
        unknown = sorted(set(config.conversions) - set(known))
        if unknown:
            raise dg.Failure(
                f"there is no conversion {', '.join(unknown)}; there are {', '.join(sorted(known))}",
                allow_retries=False,
            )
        asked: dict[str, list[str]] = {CONVERT: [], PUBLISH: []}
        for name in config.conversions or sorted(known):
            with warehouse.open() as session:
                run = start_run(context, session, known[name], raw_tables)
                found = scan(session, known[name], run, context.log.info)
            if found is None:
                context.log.info(f"{name} was never published: start its first backfill by hand (R33)")
                continue
            _report(context, known[name], run, found)
            asked[CONVERT] += [f"{name}:{days.first}...{days.last}" for days in found.convert]
            asked[PUBLISH] += [f"{name}:{days.first}...{days.last}" for days in found.publish]
            tags = {tag: ",".join(ranges) for tag, ranges in asked.items()}
            context.instance.add_run_tags(context.run_id, tags | {SCANNED_ON: str(run.local_date)})

    @dg.job(
        name=SCAN,
        tags=AGAIN_IF_KILLED,
        description="Compares the window of a conversion with what is published and asks for a rerun of what changed.",
    )
    def _job() -> None:
        _scan()

    return _job


def scan_config(name: str) -> dict[str, Any]:
    """The run configuration of a scan of one conversion."""
    return {"ops": {"scan_window": {"config": {"conversions": [name]}}}}


def rerun_requests(scan_run: dg.DagsterRun, conversions: Sequence[Conversion]) -> Iterator[dg.RunRequest]:
    """The runs that a scan asks for: what is only to be published first, then what is to be converted, too.

    Conversions that are no longer there are left out.
    """
    known = {conversion.name: conversion for conversion in conversions}
    for tag in (PUBLISH, CONVERT):
        for asked in filter(None, scan_run.tags.get(tag, "").split(",")):
            name, _, days = asked.partition(":")
            first, _, last = days.partition("...")
            if name not in known:
                continue
            yield dg.RunRequest(
                run_key=f"{scan_run.run_id}|{tag}|{asked}",
                asset_selection=daily_keys(known[name]) if tag == CONVERT else published_keys(known[name]),
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: first,
                    ASSET_PARTITION_RANGE_END_TAG: last,
                    REQUESTED_ON: scan_run.tags[SCANNED_ON],
                    SCANNED_BY: scan_run.run_id,
                    **AGAIN_IF_KILLED,
                },
            )


def _report(context: dg.OpExecutionContext, conversion: Conversion, run: Run, found: Scan) -> None:
    key, metadata = changed_days_key(conversion.name), _metadata(run, found)
    context.log.info(f"{conversion.name}: {found.sentence}")
    context.log_event(dg.AssetObservation(key, description=found.sentence, metadata=metadata))
    requested = found.requested
    for day in requested:
        own = metadata if day == requested[-1] else {}
        context.log_event(
            dg.AssetMaterialization(key, partition=str(day), metadata={**own, "found": _found(found, day)})
        )
    result = fresh_days_result(found.missing, found.changed, f"a scan on {run.local_date}")
    evaluation = dg.AssetCheckEvaluation(
        asset_key=adjusted_key(conversion.name),
        check_name=str(result.check_name),
        passed=result.passed,
        metadata=result.metadata or {},
        severity=result.severity,
        description=result.description,
    )
    context.log_event(evaluation)  # type: ignore[arg-type]  # log_event takes it, its annotation is behind


def _found(found: Scan, day: Any) -> str:
    if day in found.missing:
        return "never published"
    if day in found.rescored:
        return "a newer model"
    return "changed" if day in found.changed else "between changed days"


def _metadata(run: Run, found: Scan) -> Mapping[str, Any]:
    from conversions_assets.assets import presentation

    def text(ranges: Sequence[Days]) -> str:
        return ", ".join(map(str, ranges)) or "none"

    return {
        "scanned days": str(found.days or "none"),
        "rows": found.rows,
        "days changed": len(found.changed),
        "days never published": len(found.missing),
        "rerun from the query on": text(found.convert),
        "rerun of what is stored": text(found.publish),
        "days": presentation.table([{"day": day, "found": _found(found, day)} for day in found.found]),
        **run_metadata(run),
    }
