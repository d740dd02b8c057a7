"""The BigQuery emulator of the tests: a process on loopback, from the environment of `make bigquery-emulator`.

What it does otherwise than BigQuery stands in docs/bigquery-emulator.md.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[2] / ".venv-bigquery"
PROGRAM = ENVIRONMENT / "bin" / "bqemulator"
PATIENCE = 60.0


def is_installed() -> bool:
    """Whether `make bigquery-emulator` has made the environment."""
    return (ENVIRONMENT / ".ready").exists()


@contextmanager
def running_emulator(log: Path) -> Iterator[str]:
    """Start the emulator with nothing in it; give its address, and stop it at the end.

    Args:
        log: the file that it writes its log to.

    Raises:
        RuntimeError: it does not answer within PATIENCE seconds; the log tells why.
    """
    rest, grpc = _free_port(), _free_port()
    command = [str(PROGRAM), "start", "--rest-port", str(rest), "--grpc-port", str(grpc), "--log-level", "warning"]
    with log.open("wb") as output:
        # Its DuckDB finds its extensions under HOME.
        environment = {**os.environ, "HOME": str(ENVIRONMENT)}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            _wait(process, rest, log)
            yield f"http://127.0.0.1:{rest}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the BigQuery emulator does not start: see {log}")
