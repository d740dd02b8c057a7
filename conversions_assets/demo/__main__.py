"""`make demo`: a year of a small company's CRM, converted, adjusted and audited, on embedded DuckDB."""

import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from conversions_assets.definitions import build_definitions
from conversions_assets.demo import summary
from conversions_assets.demo.history import Load, history
from conversions_assets.demo.raw import NotTheDemoError, newest_raw_load, write_load
from conversions_assets.project import PACKAGE, load_project, read_warehouse_settings, use_duckdb_file

# The target of the predicted value before the leads whose value it is.
CONVERSIONS = ("deal_closed", "lead", "order_confirmed")
PREDICTED = "lead"
WINDOW_DAYS = 30
FIRST_DAY = "2025-01-01"


class DemoError(Exception):
    """A run of the demo failed; the Dagster log above says why."""


def main() -> int:
    """Play the year and the three loads; what was done before is not done twice."""
    started = time.monotonic()
    path = read_warehouse_settings().duckdb_path
    loads = history()
    try:
        present = newest_raw_load(path) or ""
    except NotTheDemoError as error:
        print(error, file=sys.stderr)
        return 1
    with dg.DagsterInstance.get() as instance:
        _step("exchange rates of the ECB")
        _succeed(_job().execute_in_process(instance=instance, asset_selection=[dg.AssetKey(["fx", "rates"])]))
        for number, load in enumerate(loads):
            if load.load_id < present:
                continue
            _step(
                f"load {load.load_id}: {sum(len(rows) for rows in load.rows.values()):,} rows of HubSpot and the shop"
            )
            if load.load_id > present:
                write_load(path, load)
                _report_load(instance, load)
            _bring_up_to_date(instance, path, load, backfill=number == 0, refit=number in (0, len(loads) - 1))
        _step("drift audit: the frozen days against the CRM")
        _succeed(_definitions().resolve_job_def("drift_audit").execute_in_process(instance=instance))
    # `make dev` opens the UI at this clock.
    (path.parent / "demo_now").write_text(loads[-1].at.isoformat(), encoding="utf-8")
    summary.show(path, loads, CONVERSIONS, PREDICTED, time.monotonic() - started)
    return 0


def _bring_up_to_date(instance: dg.DagsterInstance, path: Path, load: Load, backfill: bool, refit: bool) -> None:
    """Backfill the year, or rerun the window, at the load's clock; `refit` fits the model of the leads anew."""
    use_duckdb_file(path, load.at)
    today = load_project().local_date(load.at)
    first = FIRST_DAY if backfill else (today - timedelta(days=WINDOW_DAYS)).isoformat()
    last = (today - timedelta(days=1)).isoformat()
    job = _job()
    for name in CONVERSIONS:
        predicting = [*(["models"] if refit else []), "predicted"] if name == PREDICTED else []
        stations = ["conversions", *predicting, "adjusted"]
        print(f"  {', '.join(f'{station}/{name}' for station in stations)}: {first} to {last}", flush=True)
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey([station, name]) for station in stations],
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            raise_on_error=False,
        )
        _succeed(result)


def _report_load(instance: dg.DagsterInstance, load: Load) -> None:
    """What a loader tells Dagster: these raw tables are new."""
    for name, rows in load.rows.items():
        metadata: dict[str, Any] = {"load": load.load_id, "rows in this load": len(rows)}
        instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(name.split(".")), metadata=metadata))


def _definitions() -> dg.Definitions:
    # Built anew for each clock: the clock sets the last partition.
    return build_definitions(PACKAGE)


def _job() -> dg.JobDefinition:
    return _definitions().resolve_implicit_global_asset_job_def()


def _succeed(result: dg.ExecuteInProcessResult) -> None:
    if not result.success:
        failures: Sequence[str] = [str(e.message) for e in result.all_events if e.is_failure]
        raise DemoError("\n".join(failures))


def _step(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DAGSTER_HOME", str(PACKAGE.parent / ".data" / "dagster_home"))
    sys.exit(main())
