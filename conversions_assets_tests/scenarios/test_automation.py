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


def finished(deployment: Deployment, instance: dg.DagsterInstance, count: int) -> list[dg.DagsterRun]:
    """All runs, oldest first, once `count` of them have succeeded."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        runs = instance.get_runs()
        if sum(run.status == dg.DagsterRunStatus.SUCCESS for run in runs) >= count:
            return runs[::-1]
        time.sleep(0.5)
    raise AssertionError((deployment.root / "daemon.log").read_text()[-4000:])


def what(run: dg.DagsterRun) -> tuple[str | None, ...]:
    if run.job_name == "scan":
        return ("scan",)
    days = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return ("rerun", *days, run.tags.get("conversions_assets/requested_on"))


def test_r23_loads_are_published_by_the_daemon_also_after_it_was_killed(tmp_path: Path) -> None:
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
            runs = finished(deployment, instance, 2)
        assert [what(run) for run in runs] == [("scan",), ("rerun", "2026-01-22", "2026-01-25", "2026-01-31")]
        load(deployment, "L3", 2.0, 3.0)
        load(deployment, "L4", 2.0, 4.0)
        with daemon(deployment):
            runs = finished(deployment, instance, 4)
            time.sleep(3)  # and then nothing more
            assert len(instance.get_runs()) == 4
        assert [what(run) for run in runs[2:]] == [("scan",), ("rerun", "2026-01-25", "2026-01-25", "2026-01-31")]
    values = "SELECT id, value, adjustment_count FROM adjusted.order ORDER BY id"
    assert deployment.query(values) == [("a", 2.0, 1), ("b", 4.0, 2)]
