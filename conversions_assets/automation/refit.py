"""The job `refit`: daily, the models of all conversions whose value is predicted; never per load (R28)."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from conversions_assets.assets.models import models_key
from conversions_assets.automation.scan import AGAIN_IF_KILLED
from conversions_assets.contract.conversion import Conversion
from conversions_assets.project import Project, read_clock

REFIT = "refit"
REFITTED_ON = "conversions_assets/refitted_on"
"""Run tag: the local date for which models were fitted."""
MINUTE = 30


def refit_job(conversions: Sequence[Conversion]) -> UnresolvedAssetJobDefinition | None:
    """One run over the models that there are; None without any."""
    keys = [models_key(conversion.name) for conversion in conversions if conversion.predicted]
    if not keys:
        return None
    return dg.define_asset_job(
        REFIT,
        selection=dg.AssetSelection.assets(*keys),
        tags=AGAIN_IF_KILLED,
        description="Fits the models anew; a model whose data are the same stays as it is. Scans find newer models.",
    )


def daily_refit(job: UnresolvedAssetJobDefinition, project: Project) -> dg.ScheduleDefinition:
    """Half an hour after the daily scan, in the project's time zone: the day that has closed is published by then."""

    @dg.schedule(
        name="daily_refit",
        job=job,
        cron_schedule=f"{MINUTE} {project.automation.daily_scan_hour} * * *",
        execution_timezone=project.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def _refit(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(tags=refit_tags(project, context.scheduled_execution_time))

    return _refit


def refit_tags(project: Project, now: datetime) -> dict[str, str]:
    """The tag of a run of the job."""
    return {REFITTED_ON: str(project.local_date(now))}


def is_refitted(instance: dg.DagsterInstance, project: Project) -> bool:
    """Whether a run of today, by the project's clock, has fitted the models."""
    filters = dg.RunsFilter(
        job_name=REFIT, tags=refit_tags(project, read_clock().now), statuses=[dg.DagsterRunStatus.SUCCESS]
    )
    return bool(instance.get_runs(filters, limit=1))
