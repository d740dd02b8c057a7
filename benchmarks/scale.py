"""Many conversions: definitions, the daemon's ticks and memory, and what a day asks of BigQuery (`make bench-scale`).

Seconds are of this machine; ratios are to the smallest number of conversions. The day is arithmetic: counts on the
emulator times loads, at the prices of Google's pages.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))

from daemon_part import Daemon, Loaded, make_scaled, measure_daemon, measure_loading, remove, show
from measure import keep_bytecode

if TYPE_CHECKING:
    from jobs_part import Work

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench"
MINIMUM_MB = 10
"""Billed for each table that a query names, at least: https://cloud.google.com/bigquery/pricing#on_demand_pricing"""
USD_PER_TIB = 6.25
"""The list price in the US: https://cloud.google.com/bigquery/pricing#on_demand_pricing"""
TIB, MB = 2**40, 10**6


def main() -> int:
    options = _options()
    FOLDER.mkdir(exist_ok=True)
    keep_bytecode()
    if "daemon" in options.only:
        _show_daemon({count: _measure(count, options.settings) for count in sorted(options.conversions)})
    if "day" in options.only:
        from jobs_part import measure_jobs

        _show_day(measure_jobs(), options)
    return 0


def _measure(count: int, settings: Path) -> tuple[Loaded, Daemon]:
    project = make_scaled(FOLDER, count, settings)
    measured = measure_loading(project, count), measure_daemon(project)
    show(count, *measured)
    remove(project)
    return measured


def _show_daemon(measured: Mapping[int, tuple[Loaded, Daemon]]) -> None:
    lines: dict[str, list[float]] = {}
    for count, (loaded, daemon) in measured.items():
        first, *others = daemon.seconds("crm_loads")
        found = {
            "definitions: s on top of `import dagster`": loaded.definitions,
            "definitions: in multiples of `import dagster`": loaded.definitions / loaded.dagster,
            "definitions: peak MB of a process": loaded.peak_mb,
            "crm_loads: s, a load asks for a scan of each": first,
            "crm_loads: the same, ms per scan": 1000 * (first - max(others)) / count,
            "crm_loads: s, no new load": max(others),
            "changed_days: s": max(daemon.seconds("changed_days")),
            "stale_windows: s, the first tick": daemon.seconds("stale_windows")[0],
            "stale_windows: s, later": max(daemon.seconds("stale_windows")[1:]),
            "dead_runs: s": max(daemon.seconds("dead_runs")),
            "daemon: peak MB": daemon.peak_mb["daemon"],
            "code server: peak MB": daemon.peak_mb["code server"],
        }
        for name, value in found.items():
            lines.setdefault(name, []).append(value)
    print("\n" + " ".join([f"{'conversions':48}", *(f"{count:>9}" for count in measured), "   ratio"]))
    for name, values in lines.items():
        print(" ".join([f"{name:48}", *(f"{value:9.2f}" for value in values), f"{values[-1] / values[0]:7.1f}x"]))


def _show_day(asked: "Work", options: argparse.Namespace) -> None:
    for name, work in (("a scan", asked.scan), ("a rerun of 10 days", asked.rerun)):
        calls = ", ".join(f"{method} {times}" for method, times in sorted(work.calls.items()))
        print(f"\n{name}: {work.jobs} jobs; {work.touched} tables named in statements; {calls}")
        if work.dml:
            print("  statements that write: " + ", ".join(f"{table} {n}" for table, n in sorted(work.dml.items())))
    scan, rerun = asked.scan, asked.rerun
    count, loads, share = max(options.conversions), options.loads_per_day, options.changed_share
    scans, reruns = count * loads, count * loads * share
    jobs = scans * scan.jobs + reruns * rerun.jobs
    touched = scans * scan.touched + reruns * rerun.touched
    calls = scans * sum(scan.calls.values()) + reruns * sum(rerun.calls.values())
    rows_per_day = options.rows_per_year / 365
    ticks = 86400 / options.check_seconds
    window = rows_per_day * (options.window + 2)
    print(f"\na day of {count} conversions, {loads} loads, of which {share:.0%} change a conversion's window:")
    figures = {
        "scans": scans,
        "reruns": reruns,
        "jobs": jobs,
        "jobs per second, spread evenly": jobs / 86400,
        "calls of the API per second, spread evenly": calls / 86400,
        f"TiB billed at least, {MINIMUM_MB} MB for each table in a statement": touched * MINIMUM_MB * MB / TIB,
        f"USD for it, at {USD_PER_TIB} USD per TiB": touched * MINIMUM_MB * MB / TIB * USD_PER_TIB,
        "rows per conversion and day": rows_per_day / count,
        f"MB that a scan reads, tables of its own, {options.row_bytes} bytes a row": window
        / count
        * options.row_bytes
        / MB,
        "MB that a scan reads, one table for all": window * options.row_bytes / MB,
        "TiB that scans read in a day, one table for all": scans * window * options.row_bytes / TIB,
        "statements that write the busiest table in a day": loads * share * max(rerun.dml.values()),
        f"TiB billed at least for `crm_loads`, {options.raw_tables} raw tables, every {options.check_seconds} s": ticks
        * options.raw_tables
        * MINIMUM_MB
        * MB
        / TIB,
        "tables": count * asked.tables,
    }
    for name, value in figures.items():
        print(f"  {value:12,.2f}  {name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversions", type=int, nargs="+", default=[10, 100, 1000], help="projects of this size")
    parser.add_argument(
        "--settings",
        type=Path,
        default=ROOT / "dagster.yaml",
        help="of the instance; deploy/dagster.yaml: Postgres, with dagster-postgres and a new database for each number",
    )
    parser.add_argument("--only", nargs="+", choices=("daemon", "day"), default=("daemon", "day"))
    parser.add_argument("--loads-per-day", type=int, default=24)
    parser.add_argument("--changed-share", type=float, default=0.1, help="of the scans that find a change")
    parser.add_argument("--rows-per-year", type=float, default=100e6, help="raw rows of all conversions together")
    parser.add_argument("--row-bytes", type=int, default=200, help="of the columns that a query reads")
    parser.add_argument("--raw-tables", type=int, default=10, help="that tell their load")
    parser.add_argument("--check-seconds", type=int, default=30, help="as in project.yaml")
    parser.add_argument("--window", type=int, default=30, help="adjustment window in days")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
