"""Runs through Dagster: what is written, recorded, shown, and what a failed run leaves."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb

from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, Deployment, make_deployment

CONVERSIONS, ADJUSTED = dg.AssetKey(["conversions", "order"]), dg.AssetKey(["adjusted", "order"])
MANY = tuple((f"a{n}", f"2026-01-20 10:{n:02}:00+00", 1.0) for n in range(30))


def materialized(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> list[str]:
    events = result.get_asset_materialization_events()
    return sorted(str(event.partition) for event in events if event.asset_key == key)


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    error = event.step_failure_data.error
    details = event.step_failure_data.user_failure_data
    return f"{error} {details.description if details else ''}"


def newest_metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, object]:
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    newest = max(events, key=lambda event: str(event.partition))
    return {name: value.value for name, value in newest.materialization.metadata.items()}


def test_a_range_of_days_is_one_run_and_each_day_is_recorded(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("a", "2026-01-02 10:00:00+00", 5.0), ("b", "2026-01-30 10:00:00+00", 7.0))
    result = deployment.launch("2026-01-01", "2026-01-30")
    assert result.success
    for key in (CONVERSIONS, ADJUSTED):
        assert len(materialized(result, key)) == 30
    assert deployment.query("SELECT id, value, status, crm_load_id FROM adjusted.order ORDER BY id") == [
        ("a", 5.0, "ACTIVE", "L1"),
        ("b", 7.0, "ACTIVE", "L1"),
    ]


def test_metadata_tells_a_person_what_the_run_did(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("a", "2026-01-29 10:00:00+00", 5.0), ("", "2026-01-30 10:00:00+00", 7.0), *MANY)
    deployment.launch("2026-01-01", "2026-01-29")
    deployment.set_orders(("a", "2026-01-29 10:00:00+00", 6.5), *MANY)
    result = deployment.launch("2026-01-20", "2026-01-29")
    conversions, adjusted = newest_metadata(result, CONVERSIONS), newest_metadata(result, ADJUSTED)
    assert conversions["dagster/row_count"] == 31
    assert conversions["value"] == "36.50 EUR"
    assert conversions["(not attributed)"] == "0.0%"
    assert conversions["quarantined"] == 0
    assert "SELECT" in str(conversions["SQL"])
    assert "data:image/svg+xml" in str(conversions["plot"])
    assert conversions["checks"] == "/assets/conversions/order?view=checks"
    assert adjusted["versions by reason"] == "VALUE_CHANGED 1"
    assert adjusted["value moved"] == "1.50 EUR"
    assert adjusted["window"] == "2026-01-21 to 2026-01-30"


def test_r33_a_run_on_a_replaced_clock_says_so(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders()
    metadata = newest_metadata(deployment.launch("2026-01-30", "2026-01-30"), ADJUSTED)
    assert metadata["clock"] == "CONVERSIONS_NOW=2026-01-31T06:00:00+00:00"
    assert metadata["run date"] == "2026-01-31"


def test_r11_good_days_are_recorded_and_the_failing_day_is_named(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("b", "2026-01-21 10:00:00+00", 1.0), *MANY)
    deployment.launch("2026-01-19", "2026-01-22", "conversions/order")
    refused = (("", "2026-01-20 11:00:00+00", 1.0),) * 2 + (("", "2026-01-20 12:00:00+00", 1.0),)
    deployment.set_orders(("b", "2026-01-21 10:00:00+00", 2.0), *MANY[:10], *refused)
    result = deployment.launch("2026-01-19", "2026-01-22")
    assert not result.success
    assert materialized(result, CONVERSIONS) == ["2026-01-19", "2026-01-21", "2026-01-22"]
    assert materialized(result, ADJUSTED) == []
    assert "1 of 4 days stay as they were: 2026-01-20" in failure(result)
    failed = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert [check.check_name for check in failed] == ["quarantine"]
    assert deployment.query(
        "SELECT day::VARCHAR, count(*), sum(value) FROM conversions.order GROUP BY 1 ORDER BY 1"
    ) == [
        ("2026-01-20", 30, 30.0),
        ("2026-01-21", 1, 2.0),
    ]


def test_an_empty_result_and_days_without_rows_are_published_days(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders()
    result = deployment.launch("2026-01-01", "2026-01-30")
    assert result.success
    assert deployment.query("SELECT count(*) FROM adjusted.order") == [(0,)]
    assert deployment.query("SELECT count(*) FROM adjusted._order_days") == [(30,)]


def test_r21_a_backfill_of_frozen_days_changes_nothing_and_lists_the_difference(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("a", "2026-01-02 10:00:00+00", 5.0))
    deployment.launch("2026-01-01", "2026-01-30")
    deployment.set_orders(("a", "2026-01-02 10:00:00+00", 9.0))
    result = deployment.launch("2026-01-01", "2026-01-05")
    assert newest_metadata(result, ADJUSTED)["frozen days in this run"] == 5
    assert deployment.query("SELECT value FROM adjusted.order") == [(5.0,)]
    assert deployment.query("SELECT id, kind, value_delta FROM adjusted.order_drift") == [("a", "VALUE", 4.0)]


def test_adjusted_alone_asks_for_the_conversions_first(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders()
    message = failure(deployment.launch("2026-01-29", "2026-01-30", "adjusted/order"))
    assert "conversions/order was never computed for 2 of 2 days" in message
    assert "dg launch --assets conversions/order --partition-range 2026-01-29...2026-01-30" in message


def test_a_missing_table_is_named_with_file_line_and_column(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    duckdb.connect(str(deployment.duckdb_path)).close()
    message = failure(deployment.launch("2026-01-30", "2026-01-30"))
    assert "order.sql:2:" in message
    assert "does not exist" in message


def test_the_drift_audit_job_reports_what_is_frozen(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("a", "2026-01-02 10:00:00+00", 5.0))
    deployment.launch("2026-01-01", "2026-01-30")
    deployment.set_orders()
    with deployment.instance() as instance:
        result = deployment.load().resolve_job_def("drift_audit").execute_in_process(instance=instance)
    assert result.success
    assert deployment.query("SELECT id, kind, value_delta FROM adjusted.order_drift") == [("a", "VANISHED", -5.0)]
    [observation] = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    assert observation.asset_key == ADJUSTED


def test_an_unknown_conversion_in_the_audit_is_named(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders()
    job = deployment.load().resolve_job_def("drift_audit")
    config = {"ops": {"audit_drift": {"config": {"conversions": ["ordr"]}}}}
    result = job.execute_in_process(run_config=config, raise_on_error=False)
    assert "there is no conversion ordr; there are order" in failure(result)


def test_a_locked_file_is_waited_for_and_then_named(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders()
    holder = _hold(deployment)
    try:
        message = failure(_launch_impatiently(deployment))
    finally:
        holder.kill()
        holder.wait()
    assert f"is open in process {holder.pid}" in message
    assert f"kill {holder.pid}" in message


def _hold(deployment: Deployment) -> "subprocess.Popen[str]":
    path = str(deployment.duckdb_path)
    program = f"import duckdb, time; c = duckdb.connect({path!r}); print('open', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "open"
    return holder


def _launch_impatiently(deployment: Deployment) -> dg.ExecuteInProcessResult:
    import os

    os.environ["CONVERSIONS_LOCK_TIMEOUT_SECONDS"] = "1"
    try:
        return deployment.launch("2026-01-30", "2026-01-30")
    finally:
        del os.environ["CONVERSIONS_LOCK_TIMEOUT_SECONDS"]


def test_a_window_over_54_days_carries_a_note(tmp_path: Path) -> None:
    yaml = ORDER_YAML.replace("adjustment_window_days: 10", "adjustment_window_days: 55")
    graph = make_deployment(tmp_path, {"conversions/order/defs.yaml": yaml}).load().resolve_asset_graph()
    assert "54 days" in str(graph.get(ADJUSTED).metadata["note"])


GEO_SQL = ORDER_SQL.replace(
    "value\n", "value, [STRUCT('City' AS key, IF(value > 1, 'Bonn', '') AS value), STRUCT('note', load_id)] AS params\n"
)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    return {
        check.check_name: {"passed": check.passed, **{name: value.value for name, value in check.metadata.items()}}
        for check in result.get_asset_check_evaluations()
    }


def rows_of(table: object) -> list[dict[str, object]]:
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_geo_coverage_and_quarantine_are_shown_where_there_are_any(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "geo", {"conversions/order/order.sql": GEO_SQL})
    orders = [("a", "2026-01-29 10:00:00+00", 5.0), ("b", "2026-01-29 11:00:00+00", 1.0)]
    deployment.set_orders(*orders, *MANY, ("x" * 65, "2026-01-20 10:00:00+00", 1.0))
    metadata = newest_metadata(deployment.launch("2026-01-20", "2026-01-29", "conversions/order"), CONVERSIONS)
    assert metadata["city % (day)"] == 50.0
    assert metadata["(not attributed) % (day)"] == 0.0
    assert "and geo coverage per day" in str(metadata["plot of coverage"])
    assert "quarantined rows per day" in str(metadata["plot of quarantine"])
    assert rows_of(metadata["quarantined rows"]) == [
        {
            "day": "2026-01-20",
            "rule": "R7",
            "reason": "the id is longer than 64 characters",
            "row_count": 1,
        }
    ]

    plain = make_deployment(tmp_path / "plain")
    plain.set_orders(*orders)
    metadata = newest_metadata(plain.launch("2026-01-29", "2026-01-29", "conversions/order"), CONVERSIONS)
    assert "geo" not in str(metadata["plot of coverage"])
    assert "plot of quarantine" not in metadata
    assert metadata["quarantined rows"] == "none"


def test_r11_each_check_tells_threshold_and_days_also_where_it_passed(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(*MANY, ("n", "2026-01-20 11:00:00+00", -1.0))
    found = checks(deployment.launch("2026-01-19", "2026-01-20", "conversions/order"))
    assert {name for name, check in found.items() if not check["passed"]} == {"negative_values"}
    assert found["negative_values"]["ids"] == "n"
    assert found["quarantine"]["threshold"] == "quarantined_share: 0.05"
    assert found["empty_columns"]["threshold"] == "empty_column_rows: 50"
    days = rows_of(found["quarantine"]["per day"])
    assert [(row["day"], row["returned_rows"]) for row in days] == [("2026-01-19", 0), ("2026-01-20", 31)]


def test_the_page_of_the_last_run_is_linked_and_holds_no_row(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path, {"conversions/order/order.sql": GEO_SQL.replace("load_id", "id")})
    secret = "jane.doe@example.com"
    deployment.set_orders(*MANY, (secret, "2026-01-20 11:00:00+00", 1234.5))
    result = deployment.launch("2026-01-19", "2026-01-20", "conversions/order")
    found = checks(result)
    page = tmp_path / "data_docs" / "order" / "index.html"
    assert {str(check["Data Docs"]) for check in found.values()} == {str(page)}
    text = page.read_text(encoding="utf-8")
    assert "leave these keys out: note" in text
    assert "2026-01-20" in text
    assert "http" not in text
    for trace in (secret, "jane", "1234.5"):
        assert trace not in text
    # The failed check names the id, which is the user's choice; the value of the param is nowhere.
    assert found["personal_data"]["ids"] == secret
    assert "jane" not in failure(result)
    deployment.set_orders(*MANY)
    deployment.launch("2026-01-20", "2026-01-20", "conversions/order")
    assert "All 10 rule families hold on every day" in page.read_text(encoding="utf-8")


def test_a_plot_leaves_no_import_hook_behind_that_others_cannot_ask() -> None:
    from conversions_assets.assets import presentation

    presentation.bars("a", ["x"], {"n": [1]})
    assert all(hasattr(hook, "find_spec") for hook in sys.meta_path)
