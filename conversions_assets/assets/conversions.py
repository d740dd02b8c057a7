"""`conversions/<name>`: per local day what the user's SQL says now, under the contract."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from conversions_assets.assets.warehouse import POOL, WarehouseResource, partition_days, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.materialise import Materialised, materialise
from conversions_assets.contract.stage import Run
from conversions_assets.contract.suite import RULES, Outcome
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
        deps=[dg.AssetKey([table.dataset, table.name]) for table in conversion.query.tables],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"sql", "duckdb"},
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
        pool=POOL,
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
    key = conversions_key(conversion.name)
    per_day = per_day_metadata(
        _per_day(done), _metadata(conversion, run, done), newest=max(done.good_days, default=None)
    )
    checks = [_check(outcome, done) for outcome in done.outcomes]
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
        metadata=_metadata(conversion, run, done),
        allow_retries=False,
    )


def per_day_metadata(
    per_day: Mapping[date, Mapping[str, Any]], of_the_run: Mapping[str, Any], newest: date | None
) -> dict[date, dict[str, Any]]:
    """Each day's own figures; the run's tables and plots go to the newest day alone.

    Dagster stores metadata once per partition, and the UI shows the newest: a year would hold each plot 365 times.
    """
    return {day: {**(of_the_run if day == newest else {}), **values} for day, values in per_day.items()}


def _metadata(conversion: Conversion, run: Run, done: Materialised) -> dict[str, Any]:
    from conversions_assets.assets import presentation

    total = {name: sum(row[name] for row in done.profile) for name in done.profile[0] if name != "day"}
    value = {row["day"]: 0.0 for row in done.profile}
    for row in done.values:
        value[row["day"]] += row["value"] or 0.0
    days = [str(row["day"]) for row in done.profile]
    shown = ("returned_rows", "ids", "not_attributed_rows", "quarantined_rows", "surplus_rows", "conflicting_ids")
    return {
        "days": len(done.days),
        "dagster/row_count": total["ids"],
        "rows returned": total["returned_rows"],
        "rows of other days, dropped": done.unwanted_rows,
        "value": presentation.per_currency(done.values),
        "(not attributed)": f"{total['not_attributed_rows'] / max(total['ids'], 1):.1%}",
        "quarantined": total["quarantined_rows"],
        "duplicate rows collapsed": total["surplus_rows"],
        "ids with rows that differ": total["conflicting_ids"],
        "per day": presentation.table(
            [{"day": row["day"], **{n: row[n] for n in shown}, "value": value[row["day"]]} for row in done.profile]
        ),
        "plot": presentation.bars(
            f"{conversion.name}: conversions per day",
            days,
            {
                "attributed": [row["ids"] - row["not_attributed_rows"] for row in done.profile],
                "(not attributed)": [row["not_attributed_rows"] for row in done.profile],
                "quarantined": [row["quarantined_rows"] for row in done.profile],
            },
        ),
        "SQL": presentation.sql(conversion.query.text),
        "checks": presentation.checks_link(conversions_key(conversion.name).path),
        **run_metadata(run),
    }


def run_metadata(run: Run) -> dict[str, Any]:
    """Which load and, in a replay, which clock a run used (R33)."""
    metadata: dict[str, Any] = {"CRM load": run.crm_load_id or "unknown", "run date": str(run.local_date)}
    if run.clock.replaced:
        metadata["clock"] = f"CONVERSIONS_NOW={run.now.isoformat()}"
    return metadata


def _per_day(done: Materialised) -> dict[date, dict[str, Any]]:
    return {
        row["day"]: {
            "dagster/partition_row_count": row["ids"],
            "(not attributed) (day)": row["not_attributed_rows"],
            "quarantined (day)": row["quarantined_rows"],
        }
        for row in done.profile
    }


def _check(outcome: Outcome, done: Materialised) -> dg.AssetCheckResult:
    from conversions_assets.assets import presentation

    severity = dg.AssetCheckSeverity.ERROR if outcome.rule.blocking else dg.AssetCheckSeverity.WARN
    metadata: dict[str, Any] = {"rules": outcome.rule.rules, "limit": outcome.limit, "days": str(done.days)}
    if not outcome.passed:
        metadata["failing days"] = presentation.table(
            [{"day": day, outcome.rule.column: outcome.observed[day]} for day in outcome.failing_days]
        )
        metadata["ids"] = ", ".join(done.failing_ids.get(outcome.rule.name, ())) or "see the quarantine table"
    return dg.AssetCheckResult(
        passed=outcome.passed,
        check_name=outcome.rule.name,
        severity=severity,
        description=outcome.sentence or None,
        metadata=metadata,
    )
