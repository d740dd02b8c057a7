"""The checks of `adjusted/<name>` and what only a person may allow, through Dagster."""

from pathlib import Path
from typing import Any

import dagster as dg

from conversions_assets.__main__ import main
from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, Deployment, make_deployment

KEYS = [dg.AssetKey(["conversions", "order"]), dg.AssetKey(["adjusted", "order"])]
MANY = tuple((f"o{n}", f"2026-01-{21 + n % 10} 10:00:00+00", 1.0) for n in range(60))
OLD = ("old", "2026-01-02 10:00:00+00", 5.0)
RATES = {"fx/defs.yaml": "type: conversions_assets.components.ExchangeRates\n"}


def launch(deployment: Deployment, first: str = "2026-01-21", **reasons: str) -> dg.ExecuteInProcessResult:
    job = deployment.load().resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": "2026-01-30"}
    with deployment.instance() as instance:
        return job.execute_in_process(
            instance=instance,
            asset_selection=KEYS,
            tags=tags,
            run_config={"ops": {"adjusted__order": {"config": reasons}}},
            raise_on_error=False,
        )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {c.check_name: c for c in result.get_asset_check_evaluations() if c.asset_key == KEYS[1]}


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == KEYS[1]]
    newest = max(events, key=lambda event: str(event.partition))
    return {name: value.value for name, value in newest.materialization.metadata.items()}


def records(table: object) -> list[dict[str, Any]]:
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    details = event.step_failure_data.user_failure_data
    return f"{event.step_failure_data.error} {details.description if details else ''}"


def test_r19_a_stopped_run_fails_with_a_check_that_says_what_to_do_and_a_person_releases_it(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(*MANY)
    assert launch(deployment).success
    deployment.set_orders(*MANY[:30])
    stopped = launch(deployment)
    assert not stopped.success
    [check] = checks(stopped).values()
    assert (check.check_name, check.passed, check.severity) == ("completeness", False, dg.AssetCheckSeverity.ERROR)
    assert "30 of 60 ids of the window would vanish at once" in str(check.description)
    assert records(check.metadata["raw rows"]) == [{"table": "shop.orders", "rows before": 60, "rows now": 30}]
    assert '"release": "why"' in failure(stopped)
    assert "--partition-range 2026-01-21...2026-01-30" in failure(stopped)
    assert not [e for e in stopped.get_asset_materialization_events() if e.asset_key == KEYS[1]]
    released = launch(deployment, release="the branch was closed")
    assert released.success
    assert "released by hand: the branch was closed" in str(checks(released)["completeness"].description)
    assert metadata(released)["release (by hand)"] == "the branch was closed"
    notes = deployment.query("SELECT DISTINCT note FROM adjusted.order_changes WHERE reason = 'VANISHED'")
    assert notes == [("the branch was closed",)]


def test_r19_a_conversion_has_limits_of_its_own(tmp_path: Path) -> None:
    limits = "  guard: {vanished_rows: 40, raw_rows_fall: 0.6}\n"
    deployment = make_deployment(tmp_path, {"conversions/order/defs.yaml": ORDER_YAML + limits})
    deployment.set_orders(*MANY)
    assert launch(deployment).success
    deployment.set_orders(*MANY[:30])
    assert launch(deployment).success


def test_r21_a_run_configuration_thaws_and_without_a_reason_it_is_refused(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(OLD)
    launch(deployment, "2026-01-01")
    deployment.set_orders((*OLD[:2], 9.0))
    blank = launch(deployment, "2026-01-01", thaw=" ")
    assert "write the reason, which the ledger will name" in failure(blank)
    assert launch(deployment, "2026-01-01").success
    assert deployment.query("SELECT value FROM adjusted.order") == [(5.0,)]
    assert launch(deployment, "2026-01-01", thaw="net, not gross").success
    assert deployment.query("SELECT reason, note FROM adjusted.order_changes ORDER BY version") == [
        ("PUBLISHED", None),
        ("THAWED", "net, not gross"),
    ]


def test_r16_a_ledger_that_somebody_wrote_into_fails_the_check(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(*MANY)
    assert checks(launch(deployment))["ledger"].passed
    deployment.query("DELETE FROM adjusted.order_changes WHERE id = 'o1'")
    deployment.set_orders(*((id, at, 2.0 if id == "o11" else value) for id, at, value in MANY))
    result = launch(deployment)
    check = checks(result)["ledger"]
    assert not check.passed
    assert check.metadata["published without a ledger entry"].value == 1
    assert not result.success


def test_r24_a_currency_without_a_rate_is_a_warning_and_fx_rates_cures_it(tmp_path: Path) -> None:
    sql = ORDER_SQL.replace("value\n", "value, 'USD' AS currency\n")
    deployment = make_deployment(tmp_path, {"conversions/order/order.sql": sql, **RATES})
    deployment.set_orders(MANY[0])
    check = checks(launch(deployment))["exchange_rates"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "1 ids in USD" in str(check.description)
    job = deployment.load().resolve_implicit_global_asset_job_def()
    with deployment.instance() as instance:
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(["fx", "rates"])]).success
    deployment.set_orders((*MANY[0][:2], 2.0))
    assert checks(launch(deployment))["exchange_rates"].passed
    [(rate, day)] = deployment.query("SELECT fx_rate, fx_date::VARCHAR FROM adjusted.order")
    assert 0.5 < rate < 1.5
    assert day == "2026-01-21"


def test_a_run_shows_entries_drift_and_the_window(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(OLD, *MANY)
    launch(deployment, "2026-01-01")
    deployment.set_orders((*OLD[:2], 9.0), (*MANY[0][:2], 3.0), *MANY[2:])
    shown = metadata(launch(deployment, "2026-01-01"))
    assert records(shown["newest ledger entries"]) == [
        {"id": "o0", "day": "2026-01-21", "reason": "VALUE_CHANGED", "before → after": "1.00 → 3.00 EUR", "delta": 2.0},
        {
            "id": "o1",
            "day": "2026-01-22",
            "reason": "VANISHED",
            "before → after": "1.00 → 0.00 EUR, retracted",
            "delta": -1.0,
        },
    ]
    assert shown["frozen differences"] == 1
    assert shown["suggested window"].startswith("a window of 29 days would have caught 99%")
    assert records(shown["drift per day"])[0]["day"] == "2026-01-02"
    assert "data:image/svg+xml" in shown["plot of the window"]
    assert shown["value moved"] == "1.00 EUR"


def test_explain_on_the_command_line(tmp_path: Path, capsys: Any) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(OLD)
    launch(deployment, "2026-01-01")
    package = ["--package", str(deployment.root / deployment.module)]
    assert main([*package, "explain", "order", "old"]) == 0
    assert "version 1, PUBLISHED (first published)" in capsys.readouterr().out
    assert main([*package, "explain", "order", "7"]) == 1
    assert "nothing is known of the id 7" in capsys.readouterr().out
    assert main([*package, "explain", "ordr", "7"]) == 2
    assert "there is no conversion 'ordr'; there are order" in capsys.readouterr().err
