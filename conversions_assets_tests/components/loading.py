"""Loads many projects in one process of its own, so that one that crashes or hangs is found and stops nothing."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conversions_assets_tests.deployment import Deployment, make_deployment

# A guard against hanging, far above what any of them needs.
DEADLINE_SECONDS = 60

PROGRAM = """
import json, sys
from pathlib import Path
import dagster as dg
from conversions_assets.contract.source import QueryError
from conversions_assets.project import ConfigurationError
from conversions_assets_tests.deployment import Deployment

def outcome(root, module):
    try:
        dg.Definitions.validate_loadable(Deployment(Path(root), module=module).load())
    except Exception as error:
        first = error
        while error is not None and not isinstance(error, (QueryError, ConfigurationError)):
            error = error.__cause__ or error.__context__
        return ["crashes", repr(first)[:2000]] if error is None else ["is refused", str(error)]
    return ["loads", ""]

for line in sys.stdin:
    print("outcome " + json.dumps(outcome(*json.loads(line))), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a project: it loads, is refused (with our message), crashes, or hangs."""

    what: str
    message: str


def make_project(root: Path, files: Mapping[str, str | bytes]) -> Deployment:
    """A project with the conversion `order`, in which `files` below defs/ replace or add to what is there."""
    deployment = make_deployment(root)
    for name, content in files.items():
        path = deployment.defs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return deployment


class Loader:
    """The process; it is started again after a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def load(self, deployment: Deployment) -> Outcome:
        """Load one project."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps([str(deployment.root), deployment.module]) + "\n")
        process.stdin.flush()
        try:
            line = self._lines.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            self.close()
            return Outcome("hangs", "")
        if line is None:
            code = process.wait()
            self.close()
            return Outcome("crashes", f"the process ended with {code}")
        what, message = json.loads(line)
        return Outcome(what, message)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._lines = None, queue.Queue()

    def _start(self) -> "subprocess.Popen[str]":
        self._process = process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ),
            cwd=Path(__file__).parent.parent.parent,
        )
        threading.Thread(target=_pump, args=(process, self._lines), daemon=True).start()
        return process


def _pump(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("outcome "):
            lines.put(line.removeprefix("outcome "))
    lines.put(None)
