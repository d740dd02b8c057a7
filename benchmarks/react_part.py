"""A CRM load that changes 5 days of a window of 90: sensor evaluation, scan and rerun, to a plain script and to dbt."""

import json
import shutil
import sys
from datetime import date
from pathlib import Path

import plain
from crm import DEFS_YAML, FIRST_DAY, LAST_DAY, change_deals, load_again
from measure import Measured, note, of_pairs, run_child, timed
from projects import PACKAGE, environment, make_dbt, make_dbt_project, make_project, write_text

W = 90
WINDOW = (FIRST_DAY, LAST_DAY)
YEAR = (date(2025, 1, 1), LAST_DAY)
"""The history: all of it is published on both sides before the load arrives."""


def measure_react(folder: Path, crm: Path, runs: int) -> list[Measured]:
    """Warm, in one process with Dagster's runs and events; then whole commands against dbt."""
    project = _make_project(folder, crm)
    child = run_child([sys.executable, Path(__file__), project, str(runs)], project, environment(project))
    lines = [json.loads(line) for line in child.output.splitlines() if line.startswith("{")]
    pairs = {line["what"]: [] for line in lines}  # type: ignore[var-annotated]
    for line in lines:
        note("{what}: {ours:.2f} to {peer:.2f} s".format(**line))
        pairs[line["what"]].append((line["ours"], line["peer"]))
    targets = {"changed": 2.0, "unchanged": None}
    names = {
        "changed": "react: a load changes 5 of 90 days / plain script",
        "unchanged": "react: a load changes nothing / plain scan",
    }
    rows = [of_pairs(names[what], pairs[what], "s", targets[what]) for what in names]
    return [*rows, *_measure_dbt(folder, crm, project, runs)]


def _make_project(folder: Path, crm: Path) -> Path:
    project = folder / "react_project"
    make_project(project)
    yaml = DEFS_YAML.replace("adjustment_window_days: 30", f"adjustment_window_days: {W}")
    write_text(project / PACKAGE / "defs" / "conversions" / "deal" / "defs.yaml", yaml)
    shutil.copy(crm, project / "warehouse.duckdb")
    return project


def _measure_dbt(folder: Path, crm: Path, project: Path, runs: int) -> list[Measured]:
    """The same kind of load, by command: `react` to `dbt build` with a look-back of the whole window.

    Both leave the newest rows and a record of what changed: ours in the ledger, dbt's in a snapshot.
    """
    peer, file = folder / "react_peer", folder / "react_peer" / "warehouse.duckdb"
    dbt = make_dbt(folder / "dbt")
    make_dbt_project(peer, file, history=True)
    shutil.copy(crm, file)
    run_child([dbt, "build"], peer, {"DBT_PROFILES_DIR": str(peer)})
    command = [sys.executable, "-m", PACKAGE, "react"]
    run_child(command, project, environment(project))
    floor_file = folder / "react_floor.duckdb"
    shutil.copy(crm, floor_file)
    floor = [sys.executable, plain.__file__, floor_file, *map(str, WINDOW)]
    run_child(floor, folder)
    seconds, cpu, floors = [], [], []
    for n in range(runs, 2 * runs):
        change_deals(project / "warehouse.duckdb", n)
        change_deals(file, n)
        change_deals(floor_file, n)
        ours = run_child(command, project, environment(project))
        theirs = run_child([dbt, "build"], peer, {"DBT_PROFILES_DIR": str(peer)})
        if "1 scans, 1 reruns" not in ours.output:
            raise SystemExit(f"react did not do one scan and one rerun:\n{ours.output[-2000:]}")
        least = run_child(floor, folder)
        note(f"react {ours.seconds:.1f} s, dbt build {theirs.seconds:.1f} s, plain script {least.seconds:.1f} s")
        floors.append((least.seconds, theirs.seconds))
        seconds.append((ours.seconds, theirs.seconds))
        cpu.append((ours.cpu_seconds, theirs.cpu_seconds))
    file.unlink()
    floor_file.unlink()
    return [
        of_pairs("react: plain script as a command / dbt build", floors, "s"),
        of_pairs("react: command / dbt build over the window", seconds, "s", 0.5),
        of_pairs("react: the same in CPU time", cpu, "s"),
    ]


def _child(project: Path, runs: int) -> None:
    """Both sides in this process, in turn, on one file; prints one line of JSON for each pair."""
    import dagster as dg

    from conversions_assets.automation.react import Reacted, react
    from conversions_assets.contract import suite
    from conversions_assets.definitions import build_definitions, read_deployment, warehouse_resource
    from conversions_assets.project import read_warehouse_settings

    path, package = project / "warehouse.duckdb", project / PACKAGE
    definitions, deployment = build_definitions(package), read_deployment(package)
    suite._library.get()
    with dg.DagsterInstance.get() as instance:
        first = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["conversions", "deal"]), dg.AssetKey(["adjusted", "deal"])],
            tags={
                "dagster/asset_partition_range_start": str(YEAR[0]),
                "dagster/asset_partition_range_end": str(LAST_DAY),
            },
        )
        assert first.success
        plain.react(path, YEAR, "first")

        def look() -> Reacted:
            return react(
                definitions,
                deployment.conversions,
                warehouse_resource(read_warehouse_settings()),
                deployment.catalog.declared,
                instance,
                lambda _: None,
            )

        look()
        for n in range(runs):
            change_deals(path, n)
            _pair("changed", look, lambda n=n: plain.react(path, WINDOW, f"late-{n}"), "1 scans, 1 reruns")
            look()  # scans once more, since the last scan asked for something
            load_again(path)
            _pair("unchanged", look, lambda n=n: plain.react(path, WINDOW, f"again-{n}"), "1 scans, 0 reruns")


def _pair(what: str, ours, peer, expected: str) -> None:  # type: ignore[no-untyped-def]
    done = []
    taken = timed(lambda: done.append(ours()))
    if not str(done[0]).startswith(expected):
        raise SystemExit(f"{what}: {done[0]}, expected {expected}")
    print(json.dumps({"what": what, "ours": taken, "peer": timed(peer)}), flush=True)


if __name__ == "__main__":
    _child(Path(sys.argv[1]), int(sys.argv[2]))
