"""Runs whose process is gone: after a power cut they would hold the pool for hours (R13, R23)."""

import os
import socket
from collections.abc import Iterator

import dagster as dg
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from conversions_assets.assets.warehouse import PROCESS, process_start

UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def dead_runs_sensor(check_seconds: int) -> dg.SensorDefinition:
    """Marks runs as failed whose process on this machine has ended; those of the sensors are then started again.

    Also runs of the command line: they would hold the queue for hours, since nobody else watches their process.
    """

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=check_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A run whose process was killed gives its place in the queue back.",
    )
    def _dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = list(_end_dead_runs(context.instance))
        return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every run under way has its process")

    return _dead_runs


def _end_dead_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    # Other launchers start runs on other machines, and Dagster watches those by itself.
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return
    for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
        pid = _launched(instance, run.run_id)
        pid, is_alive = (pid, _is_alive(pid)) if pid is not None else _started_by_hand(run)
        if not is_alive:
            instance.report_run_failed(run, f"the process {pid} of this run has ended without a word: it was killed")
            yield run.run_id


def _launched(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The process that the launcher started; None for runs of the command line."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is not None and str(event.message).startswith("Started process for run"):
            return int(str(event.engine_event_data.metadata["pid"].value))
    return None


def _started_by_hand(run: dg.DagsterRun) -> tuple[int, bool]:
    """The process in which our assets began to run, and whether it is alive; of another machine it is taken to be."""
    host, pid, start = run.tags.get(PROCESS, "/0/").rsplit("/", 2)
    if host != socket.gethostname():
        return int(pid), True
    return int(pid), _is_alive(int(pid)) and process_start(int(pid)) == start


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as state:
            return state.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
