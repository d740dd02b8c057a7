"""Stale assets drive reruns of the window, and a check says which days of it are stale or missing."""

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from conversions_assets_tests.deployment import ORDER_YAML, Deployment, make_deployment

CONVERSIONS, ADJUSTED = dg.AssetKey(["conversions", "order"]), dg.AssetKey(["adjusted", "order"])
FRESHNESS = "  freshness: {fail_after_hours: 30}\n"
A = ("a", "2026-01-25 10:00:00+00")


def with_freshness(root: Path, window_days: int = 10) -> Deployment:
    yaml = ORDER_YAML.replace("adjustment_window_days: 10", f"adjustment_window_days: {window_days}") + FRESHNESS
    return make_deployment(root, {"conversions/order/defs.yaml": yaml})


class Ticks:
    """Evaluations of the conditions one after the other, as the daemon does them."""

    def __init__(self, deployment: Deployment, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance = deployment.load(), instance
        self.cursor = None

    def tick(self) -> dict[str, list[str]]:
        """The days that are asked for, per asset."""
        found = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        asked = {key: found.get_requested_partitions(key) for key in (CONVERSIONS, ADJUSTED)}
        return {key.path[0]: sorted(map(str, days)) for key, days in asked.items() if days}

    def becomes(self, state: FreshnessState, before: FreshnessState) -> None:
        change = FreshnessStateChange(
            key=ADJUSTED, previous_state=before, new_state=state, state_change_timestamp=time.time()
        )
        self.instance.report_runless_asset_event(change)


@pytest.mark.parametrize(("window_days", "first", "count"), [(10, "2026-01-21", 10), (0, "2026-01-30", 1)])
def test_r23_a_stale_asset_reruns_its_window_once(tmp_path: Path, window_days: int, first: str, count: int) -> None:
    deployment = with_freshness(tmp_path, window_days)
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(deployment, instance)
        assert ticks.tick() == {}
        ticks.becomes(FreshnessState.PASS, before=FreshnessState.UNKNOWN)
        assert ticks.tick() == {}
        ticks.becomes(FreshnessState.FAIL, before=FreshnessState.PASS)
        asked = ticks.tick()
        assert asked["conversions"] == asked["adjusted"]
        assert (len(asked["adjusted"]), asked["adjusted"][0], asked["adjusted"][-1]) == (count, first, "2026-01-30")
        assert ticks.tick() == {}
        ticks.becomes(FreshnessState.PASS, before=FreshnessState.FAIL)
        assert ticks.tick() == {}
        ticks.becomes(FreshnessState.FAIL, before=FreshnessState.PASS)
        assert len(ticks.tick()["adjusted"]) == count


def test_r33_what_was_never_materialized_is_not_stale(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(with_freshness(tmp_path), instance)
        assert ticks.tick() == {}
        assert ticks.tick() == {}


def test_without_a_policy_nothing_reacts(tmp_path: Path) -> None:
    graph = make_deployment(tmp_path).load().resolve_asset_graph()
    assert not [node.key for node in graph.asset_nodes if node.automation_condition is not None]


def fresh_days(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [check] = [check for check in result.get_asset_check_evaluations() if check.check_name == "fresh_days"]
    return check


def test_r23_a_backfill_of_an_old_day_fools_the_policy_but_not_the_check(tmp_path: Path) -> None:
    deployment = with_freshness(tmp_path)
    deployment.set_orders((*A, 1.0))
    assert fresh_days(deployment.launch("2026-01-01", "2026-01-30")).passed
    deployment.now = "2026-02-03T06:00:00+00:00"
    old = deployment.launch("2026-01-05", "2026-01-05")
    # All that the policy looks at: there is a new materialisation of the asset.
    assert [e.partition for e in old.get_asset_materialization_events() if e.asset_key == ADJUSTED] == ["2026-01-05"]
    check = fresh_days(old)
    assert not check.passed
    assert check.description == "Days that are not what the CRM says: 3 missing (2026-01-31 to 2026-02-02)."
    assert fresh_days(deployment.launch("2026-01-31", "2026-02-02")).passed


def test_r23_days_that_were_computed_and_not_published_are_stale(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders((*A, 1.0))
    deployment.launch("2026-01-01", "2026-01-30")
    deployment.set_orders((*A, 2.0))
    deployment.launch("2026-01-25", "2026-01-25", "conversions/order")
    check = fresh_days(deployment.launch("2026-01-30", "2026-01-30"))
    assert check.description == "Days that are not what the CRM says: 1 stale (2026-01-25)."


def test_r23_each_scan_says_which_days_are_stale_or_missing(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders((*A, 1.0))
    deployment.launch("2026-01-01", "2026-01-30")
    deployment.set_orders((*A, 2.0))
    deployment.now = "2026-02-01T06:00:00+00:00"
    with deployment.instance() as instance:
        result = deployment.load().resolve_job_def("scan").execute_in_process(instance=instance)
        [event] = [e for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
        check = event.asset_check_evaluation_data
    assert (check.asset_key, check.check_name, check.passed) == (ADJUSTED, "fresh_days", False)
    text = "Days that are not what the CRM says: 1 missing (2026-01-31), 1 stale (2026-01-25)."
    assert check.description == text
