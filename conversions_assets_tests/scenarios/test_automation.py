"""A load arrives and nobody touches anything: a real daemon, killed and started again, with its own DAGSTER_HOME."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from conversions_assets_tests.deployment import Deployment, make_deployment

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 90


BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


def daemon(deployment: Deployment) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """`dagster-daemon run`."""
    return process_of(deployment, "daemon.log", "dagster._daemon", "run")


@contextmanager
def webserver(deployment: Deployment) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """`dagster-webserver` on a free port of the loopback interface; gives what sends it GraphQL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def ask(query: str, variables: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)["data"]
        return answer

    def answers() -> bool:
        try:
            return bool(ask("{ version }", {}))
        except OSError:
            return False

    with process_of(deployment, "webserver.log", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)):
        wait_for(deployment, answers)
        yield ask


@contextmanager
def process_of(deployment: Deployment, log_name: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A module of Dagster with the deployment's definitions, as a process group of its own; killed at the end, as by a
    power cut."""
    with (deployment.root / log_name).open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "-m", f"{deployment.module}.definitions"],
            cwd=deployment.root,
            env=os.environ | deployment.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def load(deployment: Deployment, name: str, a: float, b: float) -> None:
    rows = (("a", "2026-01-22 10:00:00+00", a), ("b", "2026-01-25 10:00:00+00", b))
    patiently(lambda: deployment.set_orders(*rows, load=name))


def patiently(action: Callable[[], object]) -> object:
    """While a run holds the file, nobody else can open it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except duckdb.IOException:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def wait_for(deployment: Deployment, what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, (deployment.root / "daemon.log").read_text()[-4000:]
        time.sleep(0.2)


def shown(run: dg.DagsterRun) -> tuple[str | None, ...]:
    if run.job_name == "scan":
        return ("scan", run.status.value)
    days = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return ("rerun", run.status.value, *days, run.tags.get("conversions_assets/requested_on"))


def test_r23_loads_are_published_by_the_daemon_also_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = make_deployment(tmp_path)
    settings = "timezone: UTC\ncurrency: EUR\nautomation: {check_seconds: 1}\n"
    (tmp_path / "project.yaml").write_text(settings, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    shipped = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    quick = shipped.replace("poll_interval_seconds: 15", "poll_interval_seconds: 1")
    quick = quick.replace("free_slots_after_run_end_seconds: 30", "free_slots_after_run_end_seconds: 1")
    assert quick.count(": 1\n") == shipped.count(": 1\n") + 2
    (home / "dagster.yaml").write_text(quick, encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    load(deployment, "L1", 1.0, 1.0)
    assert deployment.launch("2026-01-01", "2026-01-30").success
    load(deployment, "L2", 2.0, 2.0)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        with daemon(deployment):
            wait_for(deployment, lambda: bool(runs_of(instance, "rerun", "STARTED")))
        # Daemon, code server and run are gone. Two loads come in before anyone starts them again.
        assert [shown(run) for run in instance.get_runs()[::-1]] == [
            ("scan", "SUCCESS"),
            ("rerun", "STARTED", "2026-01-22", "2026-01-25", "2026-01-31"),
        ]
        load(deployment, "L3", 2.0, 3.0)
        load(deployment, "L4", 2.0, 4.0)
        with daemon(deployment):
            wait_for(deployment, lambda: len(runs_of(instance, "scan", "SUCCESS")) == 2)
            wait_for(deployment, lambda: bool(values(deployment) == [("a", 2.0), ("b", 4.0)]))
            wait_for(deployment, lambda: all(run.is_finished for run in instance.get_runs()))
            backfill_frozen_days(deployment, instance)
        assert len(runs_of(instance, "rerun", "FAILURE")) == 1  # the killed one, which was started again
    changes = "SELECT id, count(*) FROM adjusted.order_changes WHERE reason <> 'PUBLISHED' GROUP BY 1 ORDER BY 1"
    assert [id for id, count in deployment.query(changes) if count > 2] == []


def backfill_frozen_days(deployment: Deployment, instance: dg.DagsterInstance) -> None:
    """R21: a backfill that somebody starts in the UI over frozen days changes nothing, and says so."""
    # Both orders are now dated on days that froze long ago.
    patiently(lambda: deployment.query("UPDATE shop.orders SET value = 9, created = created - INTERVAL 20 DAY"))
    before = patiently(lambda: deployment.query("SELECT * FROM adjusted.order ORDER BY id"))
    params = {
        "assetSelection": [{"path": ["conversions", "order"]}, {"path": ["adjusted", "order"]}],
        "partitionNames": [f"2026-01-0{day}" for day in range(1, 7)],
    }
    with webserver(deployment) as ask:
        launched = ask(BACKFILL, {"params": params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    tag = {"dagster/backfill": launched["backfillId"]}
    wait_for(deployment, lambda: any(run.is_finished for run in instance.get_runs(dg.RunsFilter(tags=tag))))
    [run] = instance.get_runs(dg.RunsFilter(tags=tag))
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert patiently(lambda: deployment.query("SELECT * FROM adjusted.order ORDER BY id")) == before
    event = instance.get_latest_materialization_event(dg.AssetKey(["adjusted", "order"]))
    assert event is not None
    assert event.asset_materialization is not None
    says = "nothing was changed; all 6 days are frozen (R21): 2 differences are in the drift report"
    assert event.asset_materialization.metadata["summary"].value == says


def runs_of(instance: dg.DagsterInstance, kind: str, status: str) -> list[dg.DagsterRun]:
    return [run for run in instance.get_runs() if shown(run)[:2] == (kind, status)]


def values(deployment: Deployment) -> object:
    return patiently(lambda: deployment.query("SELECT id, value FROM adjusted.order ORDER BY id"))
