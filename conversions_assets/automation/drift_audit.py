"""The job `drift_audit`: weekly and on command, the frozen days of all conversions against the CRM (R23)."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from conversions_assets.adjustment.publish import audit_drift
from conversions_assets.assets.adjusted import adjusted_key
from conversions_assets.assets.pools import writer_pool
from conversions_assets.assets.warehouse import WarehouseResource, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.warehouse.raw import RawTables


class DriftAuditConfig(dg.Config):
    """Which conversions to audit; empty: all."""

    conversions: list[str] = []


def drift_audit_job(conversions: Sequence[Conversion]) -> dg.JobDefinition:
    """One step that audits one conversion after the other: each is one scan of its history."""

    @dg.op(name="audit_drift", pool=writer_pool("drift_audit"))
    def _audit(
        context: dg.OpExecutionContext,
        config: DriftAuditConfig,
        warehouse: WarehouseResource,
        raw_tables: dg.ResourceParam[RawTables],
    ) -> None:
        known = {conversion.name: conversion for conversion in conversions}
        unknown = sorted(set(config.conversions) - set(known))
        if unknown:
            raise dg.Failure(
                f"there is no conversion {', '.join(unknown)}; there are {', '.join(sorted(known))}",
                allow_retries=False,
            )
        for name in config.conversions or sorted(known):
            _audit_one(context, known[name], warehouse, raw_tables)

    @dg.job(name="drift_audit", description="Compares the frozen days of all conversions with what the CRM says now.")
    def _job() -> None:
        _audit()

    return _job


def weekly_drift_audit(job: dg.JobDefinition, time_zone: str) -> dg.ScheduleDefinition:
    """Sunday night, in the project's time zone."""
    return dg.ScheduleDefinition(
        name="weekly_drift_audit",
        job=job,
        cron_schedule="0 3 * * 0",
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _audit_one(
    context: dg.OpExecutionContext, conversion: Conversion, warehouse: WarehouseResource, raw_tables: RawTables
) -> None:
    from conversions_assets.assets import presentation
    from conversions_assets.assets.adjusted_report import drift_figures
    from conversions_assets.assets.conversions import run_metadata

    with warehouse.open() as session:
        run = start_run(context, session, conversion, raw_tables)
        audited = audit_drift(session, conversion, run, lambda text: context.log.info(f"{conversion.name}: {text}"))
    if audited is None:
        context.log.info(f"{conversion.name}: no day is frozen yet")
        return
    ids = sum(row["ids"] for row in audited.drift)
    metadata: dict[str, Any] = {
        "frozen days": str(audited.days),
        "value": presentation.per_currency(audited.drift, "value_delta"),
        **drift_figures(audited),
        **run_metadata(run),
    }
    context.log_event(
        dg.AssetObservation(
            adjusted_key(conversion.name), description=f"drift audit: {ids} ids differ", metadata=metadata
        )
    )
