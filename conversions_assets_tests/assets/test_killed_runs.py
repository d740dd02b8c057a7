"""Runs of the command line whose process is killed: what they leave in the warehouse and in Dagster's own storage."""

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_dg_cli.cli.launch import launch_command

from conversions_assets.assets import adjusted, warehouse
from conversions_assets.automation import dead_runs
from conversions_assets_tests.deployment import Deployment, make_deployment

A, B = ("a", "2026-01-22 10:00:00+00"), ("b", "2026-01-25 10:00:00+00")
DAYS = ("2026-01-20", "2026-01-30")
Rows = list[list[tuple[Any, ...]]]
BOTH = ("conversions/order", "adjusted/order")


def in_a_process(work: Callable[[], object]) -> int:
    """Fork a process that does the work; its wait status. No DuckDB session is open here."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        finally:
            os._exit(os.EX_OK)
    return os.waitpid(child, 0)[1]


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    deployment = make_deployment(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setattr(deployment, "instance", lambda: dg.DagsterInstance.from_config(str(tmp_path / "home")))
    deployment.set_orders((*A, 1.0), (*B, 1.0))
    return deployment


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    deployment = make_deployment(tmp_path_factory.mktemp("undisturbed"))
    deployment.set_orders((*A, 1.0), (*B, 1.0))
    # The environment of a module's fixture outlives the tests that restore theirs.
    with mock.patch.dict(os.environ):
        assert deployment.launch(*DAYS).success
    return rows(deployment)


def rows(deployment: Deployment) -> Rows:
    """What is published and why; without the ids of runs."""
    return [
        deployment.query("SELECT * EXCLUDE (run_id) FROM adjusted.order ORDER BY ALL"),
        deployment.query("SELECT * EXCLUDE (run_id, before, after) FROM adjusted.order_changes ORDER BY ALL"),
        deployment.query("SELECT * EXCLUDE (run_id) FROM adjusted._order_days ORDER BY ALL"),
        deployment.query("SELECT * EXCLUDE (run_id) FROM conversions.order ORDER BY ALL"),
    ]


@pytest.mark.parametrize("point", ["publish", "_report"], ids=["between assets", "event logging"])
def test_r12_a_run_that_is_killed_between_assets_or_before_its_events(
    point: str, deployment: Deployment, undisturbed: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended by the sensor `dead_runs`, although nobody watches a process of the command line."""
    with monkeypatch.context() as patch:
        patch.setattr(adjusted, point, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        status = in_a_process(lambda: deployment.launch(*DAYS))
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with deployment.instance() as instance:
        [killed] = instance.get_runs()
        assert killed.status == dg.DagsterRunStatus.STARTED
        assert list(dead_runs._end_dead_runs(instance)) == [killed.run_id]
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
        conversions, published = (dg.AssetKey(name.split("/")) for name in BOTH)
        assert len(instance.get_materialized_partitions(conversions)) == 11
        assert not instance.get_materialized_partitions(published)

    assert deployment.launch(*DAYS).success

    assert rows(deployment) == undisturbed
    with deployment.instance() as instance:
        assert len(instance.get_materialized_partitions(published)) == 11
        assert list(dead_runs._end_dead_runs(instance)) == []


def test_a_run_of_the_command_line_that_is_alive_or_elsewhere_is_left_alone(deployment: Deployment) -> None:
    host, pid, start = warehouse.this_process().rsplit("/", 2)
    tags = [f"{host}/{pid}/{start}", f"elsewhere/{pid}/0", None]
    with deployment.instance() as instance:
        for tag in tags:
            run_tags = {warehouse.PROCESS: tag} if tag else {}
            run = instance.create_run_for_job(_job, tags=run_tags, status=dg.DagsterRunStatus.STARTED)
        assert list(dead_runs._end_dead_runs(instance)) == []
        # Another process has got its pid.
        again = instance.create_run_for_job(
            _job, tags={warehouse.PROCESS: f"{host}/{pid}/{start}0"}, status=dg.DagsterRunStatus.STARTED
        )
        assert list(dead_runs._end_dead_runs(instance)) == [again.run_id]
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


@dg.job
def _job() -> None: ...


def test_r19_the_command_that_the_guard_prints_releases_the_run(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.set_orders(*((f"o{n}", "2026-01-25 10:00:00+00", 1.0) for n in range(10)))
    assert deployment.launch(*DAYS).success
    deployment.set_orders(*((f"o{n}", "2026-01-25 10:00:00+00", 1.0) for n in range(5)), load="L2")
    stopped = deployment.launch(*DAYS)
    assert not stopped.success
    [event] = [event for event in stopped.all_events if event.event_type_value == "STEP_FAILURE"]
    printed = str(event.step_failure_data.error)
    command = printed[printed.index("dg launch") :].splitlines()[0]
    program, verb, *arguments = shlex.split(command)
    assert (program, verb) == ("dg", "launch")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    launched = CliRunner().invoke(launch_command, arguments, catch_exceptions=False)

    assert launched.exit_code == 0, launched.output
    assert deployment.query("SELECT status, count(*) FROM adjusted.order GROUP BY 1 ORDER BY 1") == [
        ("ACTIVE", 5),
        ("RETRACTED", 5),
    ]
    notes = deployment.query("SELECT DISTINCT note FROM adjusted.order_changes WHERE reason = 'VANISHED'")
    assert notes == [("why",)]
