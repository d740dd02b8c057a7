"""`adjusted/<name>`: per local day what is published; late changes inside the window, each with a ledger entry."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg

from conversions_assets.adjustment.publish import Published, publish
from conversions_assets.adjustment.scan import stale_days
from conversions_assets.assets.conversions import conversions_key, per_day_metadata, run_metadata
from conversions_assets.assets.warehouse import POOL, WarehouseResource, partition_days, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.warehouse.raw import RawTables


def adjusted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["adjusted", name])


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
        deps=[conversions_key(conversion.name)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"sql", "duckdb"},
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
        check_specs=[_fresh_days_spec(conversion)],
        pool=POOL,
    )
    def _adjusted(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, raw_tables: dg.ResourceParam[RawTables]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with warehouse.open() as session:
            run = start_run(context, session, conversion, raw_tables)
            done = publish(session, conversion, partition_days(context), run, context.log.info)
            missing, stale = stale_days(session, conversion, done.window)
        per_day = per_day_metadata(_per_day(done), _metadata(conversion, run, done), newest=done.days.last)
        for day, metadata in per_day.items():
            context.add_asset_metadata(metadata, partition_key=str(day))
        yield dg.MaterializeResult(check_results=[fresh_days_result(missing, stale, f"this run, on {run.local_date}")])

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


def _window_note(conversion: Conversion) -> dict[str, str]:
    if conversion.window_days <= 54:
        return {}
    return {"note": "Google Ads takes adjustments for 54 days only; later ones reach reports, not bidding."}


def _metadata(conversion: Conversion, run: Run, done: Published) -> dict[str, Any]:
    from conversions_assets.assets import presentation

    by_reason: dict[str, int] = {}
    for row in done.changes:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + row["ids"]
    adjusted = [row for row in done.changes if row["reason"] != "PUBLISHED"]
    active, retracted = (sum(row[name] for row in done.totals) for name in ("active", "retracted"))
    not_attributed = sum(row["not_attributed"] for row in done.totals)
    return {
        "days": len(done.days),
        "window": f"{done.window.first} to {done.window.last}",
        "frozen days in this run": done.frozen_days,
        "dagster/row_count": active + retracted,
        "retracted": retracted,
        "value": presentation.per_currency(done.totals),
        "(not attributed)": f"{not_attributed / max(active, 1):.1%}",
        "versions by reason": ", ".join(f"{reason} {ids}" for reason, ids in sorted(by_reason.items())) or "none",
        "value moved": presentation.per_currency(adjusted, "value_delta"),
        "changes per day": presentation.table(done.changes),
        "drift report": presentation.table(done.drift),
        "plot": _plot(conversion, done),
        "SQL": presentation.sql(conversion.query.text),
        "checks": presentation.checks_link(conversions_key(conversion.name).path),
        **run_metadata(run),
    }


def _plot(conversion: Conversion, done: Published) -> dg.MarkdownMetadataValue:
    from conversions_assets.assets import presentation

    counts = {day: {"active": 0, "retracted": 0, "restated": 0} for day in done.days.all()}
    for row in done.totals:
        counts[row["day"]]["active"] += row["active"]
        counts[row["day"]]["retracted"] += row["retracted"]
    for row in done.changes:
        if row["day"] in counts and row["restated"]:
            counts[row["day"]]["restated"] += row["restated"]
            counts[row["day"]]["active"] -= row["restated"]
    return presentation.bars(
        f"{conversion.name}: published per day",
        [str(day) for day in counts],
        {
            "active, as before": [row["active"] for row in counts.values()],
            "restated in this run": [row["restated"] for row in counts.values()],
            "retracted": [row["retracted"] for row in counts.values()],
        },
    )


def _per_day(done: Published) -> dict[date, dict[str, Any]]:
    per_day: dict[date, dict[str, Any]] = {
        day: {"dagster/partition_row_count": 0, "retracted (day)": 0, "versions (day)": 0} for day in done.days.all()
    }
    for row in done.totals:
        per_day[row["day"]]["dagster/partition_row_count"] += row["active"] + row["retracted"]
        per_day[row["day"]]["retracted (day)"] += row["retracted"]
    for row in done.changes:
        if row["day"] in per_day:
            per_day[row["day"]]["versions (day)"] += row["ids"]
    return per_day
