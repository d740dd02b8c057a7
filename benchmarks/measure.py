"""Measuring: interleaved repetitions, medians, child processes with their peak memory, one table at the end."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[int], object]


@dataclass(frozen=True)
class Measured:
    """One line of the table: ours, the peer's, and the ratio that is allowed (None: for information)."""

    name: str
    ours: float
    peer: float
    unit: str
    target: float | None = None
    spread: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def missed(self) -> bool:
        return self.target is not None and self.ratio > self.target


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(
    name: str, ours: Action, peer: Action, runs: int, target: float | None = None, before: Action = lambda _: None
) -> Measured:
    """Ours and the peer's in turn; each gets the repetition's number; `before` is not timed."""
    pairs = []
    for repetition in range(runs):
        pair = []
        for action in (ours, peer):
            before(repetition)
            pair.append(timed(lambda action=action, repetition=repetition: action(repetition)))  # type: ignore[misc]
        pairs.append((pair[0], pair[1]))
        note(f"{name}: {pair[0]:.2f} s to {pair[1]:.2f} s")
    return of_pairs(name, pairs, "s", target)


def of_pairs(name: str, pairs: Sequence[tuple[float, float]], unit: str, target: float | None = None) -> Measured:
    """The medians of both sides; the spread is that of the ratios within a pair."""
    ratios = [ours / peer for ours, peer in pairs]
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Measured(name, ours, peer, unit, target, f"{min(ratios):.2f}-{max(ratios):.2f}")


@dataclass(frozen=True)
class Finished:
    """A child process that has ended well."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


CACHES = Path(__file__).resolve().parent.parent / ".bench"
# Both sides start as on a fresh machine, without compiled modules, whatever this one has.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(CACHES / "no_pycache")}


# A process begins with the peak of the one that started it, and this one is large: a small one starts it and measures.
STARTER = """
import json, os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
with open(sys.argv[1], "w") as file:
    cpu = usage.ru_utime + usage.ru_stime
    json.dump({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": usage.ru_maxrss / 1024}, file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def keep_bytecode() -> None:
    """Both sides use compiled modules, also where the environment forbids it: an untimed first run makes them."""
    BYTECODE.update({"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHES / "pycache")})


def run_child(command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; its output is shown.
    """
    environment = {**os.environ, **BYTECODE, **(environment or {})}
    with tempfile.NamedTemporaryFile("r", suffix=".json") as usage:
        starter = [sys.executable, "-S", "-c", STARTER, usage.name, *(str(part) for part in command)]
        child = subprocess.run(
            starter, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if child.returncode:
            raise SystemExit(f"{' '.join(map(str, command))} failed:\n{child.stdout[-4000:]}")
        return Finished(**json.load(usage), output=child.stdout)


def note(text: str) -> None:
    """A line of progress, beside the table."""
    print(f"  {text}", file=sys.stderr, flush=True)


def show(rows: Sequence[Measured], title: str) -> None:
    """The table."""
    print(f"\n{title:58} {'ours':>10} {'peer':>10} {'ratio':>6} {'(pairs)':>11} {'target':>6}  ok")
    for row in rows:
        digits = 2 if row.unit == "s" else 0
        ours, peer = (f"{value:.{digits}f} {row.unit}" for value in (row.ours, row.peer))
        target = "" if row.target is None else f"{row.target:g}"
        verdict = "" if row.target is None else "no" if row.missed else "yes"
        print(
            f"{row.name:58} {ours:>10} {peer:>10} {row.ratio:6.2f} {row.spread:>11} {target:>6}  {verdict}", flush=True
        )
