"""A load arrives and nobody touches anything: a real daemon, killed and started again, with its own DAGSTER_HOME."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb

from conversions_assets_tests.deployment import Deployment, make_deployment

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 90


@contextmanager
def daemon(deployment: Deployment) -> Iterator["subprocess.Popen[bytes]"]:
    """`dagster-daemon run` as a process group of its own; killed at the end, as by a power cut."""
    with (deployment.root / "daemon.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", f"{deployment.module}.definitions"],
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


def test_r23_loads_are_published_by_the_daemon_also_after_a_power_cut(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    settings = "timezone: UTC\ncurrency: EUR\nautomation: {check_seconds: 1}\n"
    (tmp_path / "project.yaml").write_text(settings, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(), encoding="utf-8")
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
        assert len(runs_of(instance, "rerun", "FAILURE")) == 1  # the killed one, which was started again
    changes = "SELECT id, count(*) FROM adjusted.order_changes WHERE reason <> 'PUBLISHED' GROUP BY 1 ORDER BY 1"
    assert [id for id, count in deployment.query(changes) if count > 2] == []


def runs_of(instance: dg.DagsterInstance, kind: str, status: str) -> list[dg.DagsterRun]:
    return [run for run in instance.get_runs() if shown(run)[:2] == (kind, status)]


def values(deployment: Deployment) -> object:
    return patiently(lambda: deployment.query("SELECT id, value FROM adjusted.order ORDER BY id"))
