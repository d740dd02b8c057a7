"""Whole processes: `dg launch` to `dbt build`, where the time goes, and how long definitions take to load."""

import shutil
import statistics
import sys
from pathlib import Path

import duckdb
from measure import Finished, Measured, note, of_pairs, run_child
from projects import PACKAGE, environment, launch, make_dbt, make_dbt_project, make_project

IMPORT_DAGSTER = """
import time; started = time.perf_counter()
import dagster
print(time.perf_counter() - started)
"""

LOAD = f"""
import sys, time; started = time.perf_counter()
from pathlib import Path
from {PACKAGE}.definitions import build_definitions
assert len(list(build_definitions(Path(sys.argv[1])).assets)) > 2 * int(sys.argv[2])
print(time.perf_counter() - started)
"""

# In the order in which a run meets them; what an earlier line has imported costs a later one nothing.
STEPS = (
    ("python", "pass"),
    ("dg", "import dagster_dg_cli.cli"),
    ("dagster", "import dagster, dagster._cli.asset"),
    ("our definitions", f"from {PACKAGE}.definitions import defs; defs()"),
    ("what a run imports (DuckDB, sqlglot, pygal)", f"import {PACKAGE}.warehouse.duckdb, pygal"),
    (
        "Great Expectations (in a thread, beside the query)",
        f"from {PACKAGE}.contract import suite; suite._library.get()",
    ),
)


def measure_commands(folder: Path, crm: Path, runs: int, target: float) -> list[Measured]:
    """`dg launch` to `dbt build` over the 90 days, in turn; the window is empty before each."""
    project, peer = folder / "project", folder / "peer"
    ours_file, peer_file = project / "warehouse.duckdb", peer / "warehouse.duckdb"
    dbt = make_dbt(folder / "dbt")
    make_project(project)
    make_dbt_project(peer, peer_file)
    shutil.copy(crm, ours_file)
    shutil.copy(crm, peer_file)

    def ours() -> Finished:
        _empty(ours_file, "conversions")
        return run_child(launch(), project, environment(project))

    def theirs() -> Finished:
        _empty(peer_file, "main")
        return run_child([dbt, "build"], peer, {"DBT_PROFILES_DIR": str(peer)})

    ours(), theirs()  # compiled files, dbt's parse cache, our static cache, the tables
    pairs = []
    for _ in range(runs):
        pairs.append((ours(), theirs()))
        ran = [f"{side.seconds:.1f} s ({side.cpu_seconds:.1f} s CPU)" for side in pairs[-1]]
        note(f"dg launch {ran[0]}, dbt build {ran[1]}")
    _refuse_difference(ours_file, peer_file)
    _explain(project, statistics.median(pair[0].seconds for pair in pairs))
    ours_file.unlink()
    peer_file.unlink()
    return [
        of_pairs("command: dg launch / dbt build, 90 days", [(a.seconds, b.seconds) for a, b in pairs], "s", target),
        of_pairs("command: the same in CPU time", [(a.cpu_seconds, b.cpu_seconds) for a, b in pairs], "s"),
        of_pairs("command: the same in peak memory", [(a.peak_mb, b.peak_mb) for a, b in pairs], "MB"),
    ]


def measure_loading(folder: Path, runs: int) -> list[Measured]:
    """Definitions of 100 and 1,000 conversions in multiples of `import dagster`, and what a cold cache adds."""
    rows = []
    for count, target in ((100, 2.0), (1000, 8.0)):
        project = folder / f"load_{count}"
        make_project(project, count)
        _load(project, count)
        pairs, cold = [], []
        for _ in range(runs):
            pairs.append((_load(project, count), _seconds(project, IMPORT_DAGSTER)))
            if len(cold) < 3:
                shutil.rmtree(project / "cache")
                cold.append(_load(project, count))
        rows.append(of_pairs(f"load: {count} conversions, warm / import dagster", pairs, "s", target))
        on_top = (statistics.median(cold) - rows[-1].ours) / count * 1000
        rows.append(Measured(f"load: {count} conversions, cold on top, per query / limit", on_top, 30.0, "ms", 1.0))
        note(f"{rows[-2].name}: {rows[-2].ratio:.2f}; cold {statistics.median(cold):.1f} s")
        shutil.rmtree(project)
    return rows


def _load(project: Path, count: int) -> float:
    return _seconds(project, LOAD, str(project / PACKAGE), str(count))


def _seconds(project: Path, program: str, *arguments: str) -> float:
    child = run_child([sys.executable, "-c", program, *arguments], project, environment(project))
    return float(child.output.strip().splitlines()[-1])


def _explain(project: Path, whole: float) -> None:
    """Where the time of `dg launch` goes: each start-up step alone, after those before it, in one process."""
    lines = ["import time, warnings; warnings.simplefilter('ignore'); marks = [time.perf_counter()]"]
    for _, step in STEPS[1:]:
        lines += [step, "marks.append(time.perf_counter())"]
    lines.append("print(*[b - a for a, b in zip(marks, marks[1:])])")
    program = "\n".join(lines)
    runs = [run_child([sys.executable, "-c", program], project, environment(project)) for _ in range(3)]
    alone = [run_child([sys.executable, "-c", STEPS[0][1]], project).seconds for _ in range(3)]
    table = [list(map(float, run.output.strip().splitlines()[-1].split())) for run in runs]
    medians = [statistics.median(alone), *(statistics.median(column) for column in zip(*table, strict=True))]
    print(f"\nwhere the {whole:.1f} s of dg launch go (start-up steps measured alone, median of 3):")
    for (name, _), seconds in zip(STEPS, medians, strict=True):
        print(f"  {seconds:6.2f} s  {name}")
    rest = whole - sum(medians[:-1])
    print(
        f"  {rest:6.2f} s  the rest: the run (query, checks, writing, events) with what it waits for Great Expectations"
    )


def _empty(path: Path, schema: str) -> None:
    """The table without the days, whether it is there yet or not."""
    with duckdb.connect(str(path)) as connection:
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() "
            "WHERE schema_name = $schema AND table_name IN ('deal', '_deal_days')",
            {"schema": schema},
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"DELETE FROM {schema}.{table}")
        connection.execute("CHECKPOINT")


def _refuse_difference(ours: Path, peer: Path) -> None:
    sums = (
        "SELECT count(*), count(DISTINCT id), round(sum(value), 2), sum(hash(id, client_id, day, params) % 1000) FROM "
    )
    found = []
    for path, table in ((ours, "conversions.deal"), (peer, "main.deal")):
        with duckdb.connect(str(path), read_only=True) as connection:
            found.append(connection.execute(sums + table).fetchall())
    if found[0] != found[1]:
        raise SystemExit(f"dg launch and dbt build differ: {found[0]} and {found[1]}")
