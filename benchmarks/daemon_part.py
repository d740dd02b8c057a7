"""The daemon with many conversions, for real: how long its ticks take, and the memory of its processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import yaml
from crm import make_crm
from measure import BYTECODE, note, run_child
from projects import BIN, PACKAGE, environment, make_project

SENSORS = ("crm_loads", "changed_days", "stale_windows", "dead_runs")
TICKS = 3
"""Ticks of each sensor that are waited for: the first of `crm_loads` asks for a scan of each conversion."""
PATIENCE = 1800.0
FRESHNESS = "  freshness:\n    fail_after_hours: 30\n"

LOAD = f"""
import sys, time; started = time.perf_counter()
import dagster
imported = time.perf_counter()
from pathlib import Path
from {PACKAGE}.definitions import build_definitions
assert len(list(build_definitions(Path(sys.argv[1])).assets)) > 2 * int(sys.argv[2])
print(imported - started, time.perf_counter() - imported)
"""

READ_TICKS = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    for state in instance.all_instigator_state():
        for tick in reversed(instance.get_ticks(state.instigator_origin_id, state.selector_id)):
            if tick.end_timestamp:
                seconds = tick.end_timestamp - tick.timestamp
                print(state.instigator_name, tick.status.value, len(tick.run_ids), seconds)
"""


@dataclass(frozen=True)
class Loaded:
    """Definitions in a process of their own: seconds to import Dagster, seconds on top, peak memory in MB."""

    dagster: float
    definitions: float
    peak_mb: float


@dataclass(frozen=True)
class Tick:
    """A tick of a sensor: how it ended, the runs it asked for, and its seconds."""

    sensor: str
    status: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Daemon:
    """The ticks of all sensors in their order, and the peak memory of the daemon and of its code server in MB."""

    ticks: Sequence[Tick]
    peak_mb: Mapping[str, float]

    def seconds(self, sensor: str) -> list[float]:
        """The ticks of a sensor, first to last."""
        return [tick.seconds for tick in self.ticks if tick.sensor == sensor]


def make_scaled(folder: Path, count: int, settings: Path) -> Path:
    """A project whose conversions all have a freshness policy and look published, over one small CRM.

    Args:
        settings: a dagster.yaml; what is to lie outside of the project is left out.
    """
    project = folder / f"scale_{count}"
    make_project(project, count)
    names = [path.parent.name for path in (project / PACKAGE / "defs" / "conversions").glob("*/defs.yaml")]
    for path in (project / PACKAGE / "defs" / "conversions").glob("*/defs.yaml"):
        path.write_text(path.read_text(encoding="utf-8") + FRESHNESS, encoding="utf-8")
    instance = yaml.safe_load(settings.read_text(encoding="utf-8"))
    instance = {key: value for key, value in instance.items() if key not in ("compute_logs", "local_artifact_storage")}
    # Runs are put into the queue and stay there.
    instance["concurrency"]["runs"] = {"max_concurrent_runs": 0}
    instance["sensors"] = {"use_threads": True, "num_workers": 4, "num_submit_workers": 4}
    (project / "home" / "dagster.yaml").write_text(yaml.safe_dump(instance), encoding="utf-8")
    make_crm(project / "warehouse.duckdb", 1000)
    with duckdb.connect(str(project / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA adjusted")
        for name in names:
            connection.execute(f"CREATE TABLE adjusted._{name}_days AS SELECT DATE '2025-12-31' AS day")
    return project


def measure_loading(project: Path, count: int) -> Loaded:
    """Definitions in a fresh process, compiled modules and our cache in place."""
    command = [sys.executable, "-c", LOAD, str(project / PACKAGE), str(count)]
    run_child(command, project, environment(project))
    child = run_child(command, project, environment(project))
    dagster, definitions = map(float, child.output.strip().splitlines()[-1].split())
    return Loaded(dagster, definitions, child.peak_mb)


def measure_daemon(project: Path) -> Daemon:
    """Run `dagster-daemon` until each sensor has ticked TICKS times.

    Raises:
        SystemExit: it did not within PATIENCE seconds, or a tick failed; its log is named.
    """
    log = project / "daemon.log"
    with _running_daemon(project, log) as daemon:
        deadline = time.monotonic() + PATIENCE
        while True:
            time.sleep(30)
            ticks = _read_ticks(project)
            if all(sum(tick.sensor == name for tick in ticks) >= TICKS for name in SENSORS):
                break
            if time.monotonic() > deadline or daemon.poll() is not None:
                raise SystemExit(f"the daemon has not ticked often enough: see {log}")
        peak = _peaks(daemon.pid)
    if any(tick.status == "FAILURE" for tick in ticks):
        raise SystemExit(f"a tick failed: see {log}")
    return Daemon(ticks, peak)


def remove(project: Path) -> None:
    """The project and what the daemon has left."""
    shutil.rmtree(project)


@contextmanager
def _running_daemon(project: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [BIN / "dagster-daemon", "run", "-m", f"{PACKAGE}.definitions", "-d", project]
    settings = {**os.environ, **BYTECODE, **environment(project), "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "600"}
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, cwd=project, env=settings, stdout=output, stderr=output)
        try:
            yield daemon
        finally:
            daemon.send_signal(signal.SIGINT)
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _read_ticks(project: Path) -> list[Tick]:
    child = run_child([sys.executable, "-c", READ_TICKS], project, environment(project))
    lines = [line.split() for line in child.output.splitlines() if line.split()[:1] and line.split()[0] in SENSORS]
    return [Tick(sensor, status, int(runs), float(seconds)) for sensor, status, runs, seconds in lines]


def _peaks(pid: int) -> dict[str, float]:
    """Peak memory of the daemon and of the largest of the processes that it started."""
    children = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == pid]
    return {"daemon": _peak(pid), "code server": max(map(_peak, children), default=0.0)}


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _peak(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines.get("VmHWM", "0 kB").split()[0]) / 1024


def show(count: int, loaded: Loaded, daemon: Daemon) -> None:
    """One line of progress."""
    ticks = {name: [round(seconds, 1) for seconds in daemon.seconds(name)] for name in SENSORS}
    note(f"{count} conversions: loaded in {loaded.definitions:.1f} s, {loaded.peak_mb:.0f} MB; ticks {ticks}")
