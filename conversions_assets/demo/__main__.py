"""`make demo`: a year of a small company's HubSpot and shop, converted, adjusted and audited, on embedded DuckDB.

HubSpot is the fake CRM in this process: its loader calls it over HTTP, on loopback.
"""

import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg

from conversions_assets.definitions import build_definitions
from conversions_assets.demo import crm, summary
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets.demo.fake_crm.serve import serving
from conversions_assets.demo.history import Load, history
from conversions_assets.demo.raw import ORDERS, NotTheDemoError, count_loads, write_orders
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
    os.environ["CONVERSIONS_WAREHOUSE"] = "duckdb"
    path = read_warehouse_settings().duckdb_path
    loads = history()
    try:
        of_shop, of_hubspot = count_loads(path, loads)
    except NotTheDemoError as error:
        print(error, file=sys.stderr)
        return 1
    fake = FakeCrm(crm.begin())
    with dg.DagsterInstance.get() as instance, serving(fake) as address:
        # A token of one's own stays out of it.
        os.environ |= {"HUBSPOT_ADDRESS": address, "HUBSPOT_TOKEN": HubSpot.credentials["token"]}
        _step("exchange rates of the ECB")
        _succeed(_job().execute_in_process(instance=instance, asset_selection=[dg.AssetKey(["fx", "rates"])]))
        for number, load in enumerate(loads):
            crm.play(fake.world, load)
            if number < max(of_shop, of_hubspot) - 1:
                continue
            _step(f"load {load.load_id}: {len(load.events):,} events in HubSpot, {len(load.orders):,} rows of the shop")
            use_duckdb_file(path, load.at)
            if number >= of_shop:
                _load_shop(instance, path, load)
            if number >= of_hubspot:
                _load_hubspot(instance)
            _bring_up_to_date(instance, load, backfill=number == 0, refit=number in (0, len(loads) - 1))
        _step("drift audit: the frozen days against the CRM")
        _succeed(_definitions().resolve_job_def("drift_audit").execute_in_process(instance=instance))
    # `make dev` opens the UI at this clock.
    (path.parent / "demo_now").write_text(loads[-1].at.isoformat(), encoding="utf-8")
    summary.show(path, loads, CONVERSIONS, PREDICTED, time.monotonic() - started)
    return 0


def _bring_up_to_date(instance: dg.DagsterInstance, load: Load, backfill: bool, refit: bool) -> None:
    """Backfill the year, or rerun the window, at the load's clock; `refit` fits the model of the leads anew."""
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


def _load_shop(instance: dg.DagsterInstance, path: Path, load: Load) -> None:
    """Write the orders, and tell Dagster what a loader tells it: the table is new."""
    write_orders(path, load)
    metadata: dict[str, str | int] = {"load": load.load_id, "rows in this load": len(load.orders)}
    key = dg.AssetKey([ORDERS.dataset, ORDERS.name])
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))


def _load_hubspot(instance: dg.DagsterInstance) -> None:
    """One run of the step that loads all of HubSpot's tables."""
    job = _job()
    keys = [key for key in job.asset_layer.executable_asset_keys if key.path[0] == "hubspot"]
    print("  load_hubspot", flush=True)
    _succeed(job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False))


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
