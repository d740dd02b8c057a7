"""`models/<name>`: what predicts a conversion's value, fitted anew by the schedule `refit`, never per load."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from conversions_assets.assets.conversions import conversions_key
from conversions_assets.assets.pools import engine, writer_pool
from conversions_assets.assets.warehouse import WarehouseResource, start_run
from conversions_assets.contract.conversion import Conversion
from conversions_assets.prediction.eligibility import Eligibility
from conversions_assets.prediction.fit import Fitted, fit_model
from conversions_assets.project import prediction_pages_folder
from conversions_assets.warehouse.raw import RawTables

ELIGIBILITY = (
    "R25: the target has conversions with a user_id in the look-back before the run, and their user ids are those of "
    "the leads. Else scores stay as they are, and new leads get no value."
)
CHECKS = (
    ("eligibility", ELIGIBILITY),
    ("targets", "R29: how many targets the model has learnt from: below 5 a mean, below 30 with low confidence."),
    ("leaks", "R28: no param is filled, or has a level, for leads with a target only; such ones are left out."),
    ("bidding", "Whether budgets may follow the scores: what a back-test on leads that are mature by now says."),
)


def models_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["models", name])


def models_asset(conversion: Conversion, owners: Sequence[str], group: str) -> dg.AssetsDefinition:
    """The model of a conversion whose value is predicted."""
    predicted = conversion.predicted
    assert predicted is not None
    key = models_key(conversion.name)

    @dg.asset(
        key=key,
        deps=[conversions_key(conversion.name), dg.AssetKey(["adjusted", predicted.target])],
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"python", engine()},
        owners=list(owners),
        group_name=group,
        description=f"What a `{conversion.name}` is worth: the value of its `{predicted.target}` within "
        f"{predicted.window_days} days. Versions: `{conversion.models}`.",
        metadata={"models": str(conversion.models), "window": f"{predicted.window_days} days"},
        check_specs=[dg.AssetCheckSpec(name, asset=key, description=description) for name, description in CHECKS],
        pool=writer_pool(conversion.name),
    )
    def _models(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, raw_tables: dg.ResourceParam[RawTables]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from conversions_assets.assets import models_report as report

        with warehouse.open() as session:
            run = start_run(context, session, conversion, raw_tables)
            done = fit_model(session, conversion, run, context.log.info)
        context.log.info(done.sentence)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=report.figures(conversion, run, done, _page(conversion, done)),
            check_results=list(report.checks(done)),
            data_version=dg.DataVersion(done.model.version) if done.model else None,
        )

    return _models


def _page(conversion: Conversion, done: Fitted) -> Any:
    from conversions_assets.prediction.page import write_page

    return write_page(prediction_pages_folder(), conversion, done.model) if done.model else None


def eligibility_result(found: Eligibility) -> dg.AssetCheckResult:
    """R25 as a check of `models` and of `predicted`."""
    return dg.AssetCheckResult(
        check_name="eligibility",
        passed=found.holds,
        severity=dg.AssetCheckSeverity.ERROR if found.mismatch else dg.AssetCheckSeverity.WARN,
        description=f"R25: {found.sentence}",
        metadata={
            "target": found.target,
            f"targets in {found.lookback_days} days": found.recent_targets,
            "targets": found.targets,
            "newest target": str(found.newest_day or "none"),
            "persons of the target": found.target_users,
            "of them leads": found.matched_users,
        },
    )
