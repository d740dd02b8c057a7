"""Speed and memory of a backfill and of an adjustment, as ratios to plain DuckDB scripts and to dbt (`make bench`).

All ratios are of one run: both sides in turn on the same machine, the median of all repetitions.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import Measured, keep_bytecode, note, show

FOLDER = Path(__file__).resolve().parent.parent / ".bench"
LARGE = 10_000_000
"""From so many deals on the command's target is the one of 12M."""


def main() -> int:
    options = _options()
    FOLDER.mkdir(exist_ok=True)
    if options.bytecode:
        keep_bytecode()
    note(f"compiled modules, on both sides: {'kept' if options.bytecode else 'none, as on a fresh machine'}")
    os.environ["CONVERSIONS_CACHE"] = str(FOLDER / "cache")
    from cli_part import measure_commands, measure_loading
    from crm import make_crm
    from data_part import measure_data, measure_memory
    from react_part import measure_react

    measured: list[Measured] = []
    for rows in options.rows:
        crm = FOLDER / f"crm_{rows}.duckdb"
        parts: dict[str, Callable[[], list[Measured]]] = {
            "data": lambda crm=crm: measure_data(FOLDER, crm, options.runs),  # type: ignore[misc]
            "memory": lambda crm=crm: measure_memory(FOLDER, crm, min(options.runs, 3)),  # type: ignore[misc]
            "command": lambda crm=crm, rows=rows: measure_commands(  # type: ignore[misc]
                FOLDER, crm, options.runs, 1.7 if rows >= LARGE else 2.5
            ),
            "react": lambda crm=crm: measure_react(FOLDER, crm, options.runs),  # type: ignore[misc]
        }
        wanted = [name for name in parts if name in options.only]
        if wanted:
            note(f"{rows:,} deals and as many contacts")
            make_crm(crm, rows)
        for name in wanted:
            found = parts[name]()
            show(found, f"{rows / 1e6:g}M deals")
            measured += found
    if "load" in options.only:
        found = measure_loading(FOLDER, options.runs)
        show(found, "definitions")
        measured += found
    missed = [row for row in measured if row.missed]
    for row in missed:
        print(f"missed: {row.name}: {row.ratio:.2f}, at most {row.target:g}")
    return 1 if missed and options.targets else 0


def _options() -> argparse.Namespace:
    parts = ("data", "memory", "command", "react", "load")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[3_000_000], help="deals, and as many contacts: 3000000 12000000"
    )
    parser.add_argument("--runs", type=int, default=5, help="repetitions per side")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="measure these parts alone")
    parser.add_argument(
        "--no-targets", dest="targets", action="store_false", help="end well although a target is missed"
    )
    parser.add_argument("--bytecode", action="store_true", help="keep compiled modules, as after the first start")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
