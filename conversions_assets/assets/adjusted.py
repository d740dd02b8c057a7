"""`adjusted/<name>`: per local day what is published; late changes inside the window, each with a ledger entry."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from conversions_assets.adjustment.guard import IncompleteLoadError
from conversions_assets.adjustment.publish import publish
from conversions_assets.adjustment.report import Published
from conversions_assets.adjustment.scan import stale_days
from conversions_assets.assets.conversions import conversions_key, per_day_metadata
from conversions_assets.assets.pools import engine, writer_pool
from conversions_assets.assets.predicted import predicted_key
from conversions_assets.assets.warehouse import WarehouseResource, partition_days, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.warehouse.raw import RawTables

CHECKS = (
    ("completeness", True, "R19: nothing is retracted on the word of a load that looks incomplete."),
    ("ledger", True, "R16: replaying the ledger gives what is published, on the days that the run has touched."),
    ("exchange_rates", False, "R24: every value has a rate into the project's currency; without one it is NULL."),
)
Result = dg.MaterializeResult[Any] | dg.AssetCheckResult


class AdjustedConfig(dg.Config):
    """What only a person may allow, each with a reason, which the ledger keeps.

    Attributes:
        release: retract what the guard held back (R19).
        thaw: change the frozen days that the run covers (R21).
    """

    release: str | None = Field(None, description="R19: why the retractions that the guard held back are right")
    thaw: str | None = Field(None, description="R21: why frozen days that the run covers may change")

    @field_validator("release", "thaw")
    @classmethod
    def _reason(cls, reason: str | None) -> str | None:
        if reason is not None and not reason.strip():
            raise ValueError("write the reason, which the ledger will name")
        return reason and reason.strip()


def adjusted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["adjusted", name])


def daily_keys(conversion: Conversion) -> list[dg.AssetKey]:
    """The daily assets of a conversion in the order in which one run computes them."""
    return [conversions_key(conversion.name), *published_keys(conversion)]


def published_keys(conversion: Conversion) -> list[dg.AssetKey]:
    """Those behind `conversions`: what a run needs that publishes what is stored."""
    scored = [predicted_key(conversion.name)] if conversion.predicted else []
    return [*scored, adjusted_key(conversion.name)]


def adjusted_asset(
    conversion: Conversion,
    partitions: dg.DailyPartitionsDefinition,
    freshness: dg.FreshnessPolicy | None,
    owners: Sequence[str],
    group: str,
) -> dg.AssetsDefinition:
    """The published table of a conversion."""
    window = (
        f"late changes within {conversion.window_days} days" if conversion.window_days else "each day once, then frozen"
    )

    @dg.asset(
        key=adjusted_key(conversion.name),
        deps=daily_keys(conversion)[:-1],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"sql", engine()},
        owners=list(owners),
        group_name=group,
        description=f"What is published of `{conversion.name}`: {window}. Why a row changed: `{conversion.ledger}`.",
        code_version=conversion.query.version,
        metadata={
            "ledger": str(conversion.ledger),
            "drift report": str(conversion.drift),
            "window": f"{conversion.window_days} days",
            **_window_note(conversion),
        },
        freshness_policy=freshness,
        check_specs=[
            dg.AssetCheckSpec(name, asset=adjusted_key(conversion.name), description=description, blocking=blocking)
            for name, blocking, description in CHECKS
        ]
        + [_fresh_days_spec(conversion)],
        output_required=False,
        pool=writer_pool(conversion.name),
    )
    def _adjusted(
        context: dg.AssetExecutionContext,
        config: AdjustedConfig,
        warehouse: WarehouseResource,
        raw_tables: dg.ResourceParam[RawTables],
    ) -> Iterator[Result]:
        try:
            with warehouse.open() as session:
                run = start_run(context, session, conversion, raw_tables)
                run = replace(run, release=config.release, thaw=config.thaw)
                done = publish(session, conversion, partition_days(context), run, context.log.info, raw_tables)
                missing, stale = stale_days(session, conversion, done.window)
        except IncompleteLoadError as error:
            yield from _stop(context, conversion, error)
        fresh = fresh_days_result(missing, stale, f"this run, on {run.local_date}")
        yield from _report(context, conversion, run, done, fresh)

    return _adjusted


def _fresh_days_spec(conversion: Conversion) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        "fresh_days",
        asset=adjusted_key(conversion.name),
        description="R23: which days of the window are stale or missing. The freshness policy cannot tell: it looks at "
        "the newest materialisation of any day, also of an old one. Each scan and each run evaluate it.",
    )


def fresh_days_result(missing: Sequence[date], stale: Sequence[date], seen_by: str) -> dg.AssetCheckResult:
    """The check `fresh_days`: days that were never published, and days that are not what the CRM says."""
    from conversions_assets.assets import presentation

    found = [{"day": day, "found": "missing"} for day in missing] + [{"day": day, "found": "stale"} for day in stale]
    parts = [
        f"{len(days)} {what} ({days[0]} to {days[-1]})" if len(days) > 1 else f"1 {what} ({days[0]})"
        for what, days in (("missing", missing), ("stale", stale))
        if days
    ]
    return dg.AssetCheckResult(
        check_name="fresh_days",
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Days that are not what the CRM says: {', '.join(parts)}." if found else None,
        metadata={
            "missing": len(missing),
            "stale": len(stale),
            "days": presentation.table(sorted(found, key=lambda row: row["day"])),
            "seen by": seen_by,
        },
    )


def _report(
    context: dg.AssetExecutionContext, conversion: Conversion, run: Run, done: Published, fresh: dg.AssetCheckResult
) -> Iterator[Result]:
    from conversions_assets.assets import adjusted_report as report

    per_day = per_day_metadata(
        report.day_figures(done), report.run_figures(conversion, run, done), newest=done.days.last
    )
    for day, metadata in per_day.items():
        context.add_asset_metadata(metadata, partition_key=str(day))
    yield dg.MaterializeResult(asset_key=adjusted_key(conversion.name), check_results=[*report.checks(done), fresh])


def _stop(
    context: dg.AssetExecutionContext, conversion: Conversion, error: IncompleteLoadError
) -> Iterator[dg.AssetCheckResult]:
    """R19: nothing was written; the check and the failure say what a person can do."""
    from conversions_assets.assets import adjusted_report as report

    yield report.completeness(error.verdict)
    days = partition_days(context)
    hint = report.release_hint(conversion.name, f"{days.first}...{days.last}")
    raise dg.Failure(f"{error}: {hint}", allow_retries=False)


def _window_note(conversion: Conversion) -> dict[str, str]:
    if conversion.window_days <= 54:
        return {}
    return {"note": "Google Ads takes adjustments for 54 days only; later ones reach reports, not bidding."}
