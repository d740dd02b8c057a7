"""`predicted/<name>`: per local day what each lead is worth, by the newest model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from conversions_assets.assets.conversions import conversions_key, per_day_metadata, run_metadata
from conversions_assets.assets.models import ELIGIBILITY, eligibility_result, models_key
from conversions_assets.assets.pools import engine, writer_pool
from conversions_assets.assets.warehouse import WarehouseResource, partition_days, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.prediction.score import Scored, predict_days
from conversions_assets.warehouse.raw import RawTables

SCORES = (
    "R27: new leads get a value: there is a model, and leads have a user_id, without which nobody can link a target."
)
MOST_WITHOUT_USER_ID = 0.5


def predicted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["predicted", name])


def predicted_asset(
    conversion: Conversion, partitions: dg.DailyPartitionsDefinition, owners: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """The scores of a conversion whose value is predicted."""
    key = predicted_key(conversion.name)
    assert conversion.predicted is not None

    @dg.asset(
        key=key,
        deps=[conversions_key(conversion.name), models_key(conversion.name)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"sql", "python", engine()},
        owners=list(owners),
        group_name=group,
        description=f"P({conversion.predicted.target} within {conversion.predicted.window_days} days) times its "
        f"expected value, per `{conversion.name}`; and what mature leads have brought.",
        code_version=conversion.query.version,
        check_specs=[
            dg.AssetCheckSpec("eligibility", asset=key, description=ELIGIBILITY),
            dg.AssetCheckSpec("scores", asset=key, description=SCORES),
        ],
        pool=writer_pool(conversion.name),
    )
    def _predicted(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, raw_tables: dg.ResourceParam[RawTables]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with warehouse.open() as session:
            run = start_run(context, session, conversion, raw_tables)
            done = predict_days(session, conversion, partition_days(context), run, context.log.info)
        figures = _figures(conversion, run, done)
        for day, metadata in per_day_metadata(_day_figures(done), figures, newest=done.days.last).items():
            context.add_asset_metadata(metadata, partition_key=str(day))
        yield dg.MaterializeResult(
            asset_key=key, check_results=[eligibility_result(done.eligibility), _scores(conversion, done)]
        )

    return _predicted


def _figures(conversion: Conversion, run: Run, done: Scored) -> dict[str, Any]:
    from conversions_assets.assets import presentation

    currency, per_day = conversion.project.currency, done.per_day
    value = sum(row["predicted_value"] or 0.0 for row in per_day)
    figures: dict[str, Any] = {
        "days": len(done.days),
        "dagster/row_count": sum(row["leads"] for row in per_day),
        "predicted value": f"{value:,.2f} {currency}",
        "expected targets": round(sum(row["expected_targets"] or 0.0 for row in per_day), 2),
        "without a value": sum(row["without_value"] for row in per_day),
        "model": done.model.version if done.model else "none",
        "targets known until": str(done.until or "never published"),
        "per day": presentation.table([_shown(row) for row in per_day]),
        "plot": presentation.curves(
            f"{conversion.name}: predicted value per day, {currency}",
            [str(row["day"]) for row in per_day],
            {"predicted": [row["predicted_value"] for row in per_day]},
        ),
        "the model": dg.MetadataValue.asset(models_key(conversion.name)),
        "checks": presentation.checks_link(predicted_key(conversion.name).path),
        **run_metadata(run),
    }
    if done.problem:
        figures["no new scores"] = done.problem
    return figures


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "day": row["day"],
        "leads": row["leads"],
        "without value": row["without_value"],
        "expected targets": round(row["expected_targets"] or 0.0, 2),
        "value": round(row["predicted_value"] or 0.0, 2),
    }


def _day_figures(done: Scored) -> dict[Any, dict[str, Any]]:
    """Each day's own figures, which the UI also plots over the partitions."""
    days: dict[Any, dict[str, Any]] = {
        day: {"dagster/partition_row_count": 0, "predicted value (day)": 0.0} for day in done.days.all()
    }
    for row in done.per_day:
        days[row["day"]] = {
            "dagster/partition_row_count": row["leads"],
            "predicted value (day)": round(row["predicted_value"] or 0.0, 2),
        }
    return days


def _scores(conversion: Conversion, done: Scored) -> dg.AssetCheckResult:
    leads, without = (sum(row[name] for row in done.per_day) for name in ("leads", "without_user_id"))
    many = leads and without > MOST_WITHOUT_USER_ID * leads
    found = f"{without:,} of {leads:,} leads have no user_id, so nobody can tell what they become: their value is NULL"
    if done.problem:
        sentence = f"new leads got no value: {done.problem}"
    elif many:
        sentence = f"{found}. Let {conversion.query.path.name} return the person's id"
    else:
        sentence = found if without else f"each of the {leads:,} leads has a score"
    return dg.AssetCheckResult(
        check_name="scores",
        passed=not (done.problem or many),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"R27: {sentence}",
        metadata={"leads": leads, "without user_id": without, "model": done.model.version if done.model else "none"},
    )
