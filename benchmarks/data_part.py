"""The data part alone: a conversion's two stations in one process, and their peak memory, to plain DuckDB scripts."""

import resource
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import plain
from crm import CHANGED_FIRST, CHANGED_LAST, CHANGED_ROWS, FIRST_DAY, LAST_DAY, NOW, SQL, change_deals
from measure import Measured, interleaved, note, of_pairs, run_child, timed

from conversions_assets.adjustment.publish import publish
from conversions_assets.contract import suite
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.materialise import materialise
from conversions_assets.contract.query import read_query
from conversions_assets.contract.stage import Run
from conversions_assets.project import Clock, Project
from conversions_assets.warehouse.duckdb import DuckDBWarehouse

WINDOW = (NOW.date() - timedelta(days=30), NOW.date())


class Ours:
    """The conversion `deal` as a Dagster run calls it, without Dagster."""

    def __init__(self, folder: Path, path: Path) -> None:
        file = folder / "deal.sql"
        file.write_text(SQL, encoding="utf-8")
        project = Project(timezone="Europe/Berlin", currency="EUR")
        self.conversion = Conversion("deal", read_query(file), date(2025, 1, 1), 30, "earliest", project)
        self.path = path

    def convert(self, first: date, last: date, run: str) -> None:
        with DuckDBWarehouse(self.path) as warehouse:
            materialise(warehouse, self.conversion, Days(first, last), self._run(run))

    def adjust(self, first: date, last: date, run: str) -> None:
        with DuckDBWarehouse(self.path) as warehouse:
            publish(warehouse, self.conversion, Days(first, last), self._run(run))

    @staticmethod
    def _run(name: str) -> Run:
        return Run(name, Clock(NOW, replaced=True), NOW.date(), "load")


def measure_data(folder: Path, crm: Path, runs: int) -> list[Measured]:
    """Backfill and adjustment, interleaved, in this process."""
    import conversions_assets.definitions  # noqa: F401

    suite._library.get()
    path = folder / "work.duckdb"
    shutil.copy(crm, path)
    ours = Ours(folder, path)
    rows = [
        interleaved(
            "data: 90 days, all checks / INSERT … SELECT",
            lambda n: ours.convert(FIRST_DAY, LAST_DAY, f"first-{n}"),
            lambda n: plain.convert(path, FIRST_DAY, LAST_DAY, f"first-{n}"),
            runs,
            1.5,
            before=lambda _: _forget(path),
        )
    ]
    ours.convert(FIRST_DAY, LAST_DAY, "second")
    rows += [
        interleaved(
            "data: the same 90 days again, nothing changed",
            lambda n: ours.convert(FIRST_DAY, LAST_DAY, f"again-{n}"),
            lambda n: plain.convert(path, FIRST_DAY, LAST_DAY, f"again-{n}"),
            runs,
        ),
        interleaved(
            "data: 90 days published for the first time",
            lambda n: ours.adjust(FIRST_DAY, LAST_DAY, f"publish-{n}"),
            lambda n: plain.adjust(path, FIRST_DAY, LAST_DAY, (FIRST_DAY, LAST_DAY), f"publish-{n}"),
            1,
        ),
    ]
    rows += _measure_changes(ours, path, runs)
    _refuse_difference(path)
    path.unlink()
    return rows


def _measure_changes(ours: Ours, path: Path, runs: int) -> list[Measured]:
    adjusted, together = [], []
    days = (CHANGED_FIRST, CHANGED_LAST)
    for n in range(runs):
        change_deals(path, n)
        converting = (
            timed(lambda n=n: ours.convert(*days, f"late-{n}")),  # type: ignore[misc]
            timed(lambda n=n: plain.convert(path, *days, f"late-{n}")),  # type: ignore[misc]
        )
        adjusting = (
            timed(lambda n=n: ours.adjust(*days, f"late-{n}")),  # type: ignore[misc]
            timed(lambda n=n: plain.adjust(path, *days, WINDOW, f"late-{n}")),  # type: ignore[misc]
        )
        note("changes: converting {:.2f} to {:.2f} s, adjusting {:.2f} to {:.2f} s".format(*converting, *adjusting))
        adjusted.append(adjusting)
        together.append((converting[0] + adjusting[0], converting[1] + adjusting[1]))
    what = f"{CHANGED_ROWS} changed rows on 5 days"
    return [
        of_pairs(f"data: {what}, comparison and ledger", adjusted, "s", 2.0),
        of_pairs(f"data: {what}, conversions and adjusted", together, "s"),
    ]


def measure_memory(folder: Path, crm: Path, runs: int) -> list[Measured]:
    """Peak memory of a process that does the backfill's data part, interleaved."""
    pairs = []
    for _ in range(runs):
        peaks = []
        for side in ("ours", "plain"):
            path = folder / "memory.duckdb"
            shutil.copy(crm, path)
            child = run_child([sys.executable, Path(__file__), side, path], folder)
            peaks.append(child.peak_mb)
            note(f"memory: {side} {child.output.strip()}")
        pairs.append((peaks[0], peaks[1]))
    path.unlink()
    return [of_pairs("memory: peak of the 90 days' data part", pairs, "MB", 1.5)]


def _forget(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP SCHEMA IF EXISTS conversions CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS plain CASCADE")
        connection.execute("CHECKPOINT")


def _refuse_difference(path: Path) -> None:
    """Both sides must have computed the same, else the ratios mean nothing."""
    sums = "count(*), count(DISTINCT id), round(sum(value), 2), sum(hash(id, client_id, day, params) % 1000)"
    ledger = "reason, count(*), round(sum(value_delta), 2)"
    with duckdb.connect(str(path)) as connection:
        for what, ours, peer in (
            (sums, "conversions.deal", "plain.deal"),
            (sums + ", count(*) FILTER (status = 'RETRACTED')", "adjusted.deal", "plain.published"),
            (ledger, "adjusted.deal_changes", "plain.ledger"),
        ):
            ending = "GROUP BY reason ORDER BY reason" if what is ledger else ""
            found = [connection.execute(f"SELECT {what} FROM {table} {ending}").fetchall() for table in (ours, peer)]
            if found[0] != found[1]:
                raise SystemExit(f"{ours} and {peer} differ: {found[0]} and {found[1]}")


def _child(side: str, path: Path) -> None:
    if side == "ours":
        import conversions_assets.definitions  # noqa: F401

        suite._library.get()
        before = _peak()
        Ours(path.parent, path).convert(FIRST_DAY, LAST_DAY, "memory")
    else:
        before = _peak()
        plain.convert(path, FIRST_DAY, LAST_DAY, "memory")
    print(f"{_peak():.0f} MB, of these {before:.0f} MB imports")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]))
