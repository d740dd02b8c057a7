"""What starts by itself: the sensor `crm_loads` starts scans, the sensor `changed_days` what they ask for (R23)."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from conversions_assets.adjustment.scan import was_published
from conversions_assets.assets.adjusted import daily_keys
from conversions_assets.assets.raw import raw_key
from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.automation.scan import SCAN, rerun_requests, scan_config
from conversions_assets.contract.conversion import Conversion
from conversions_assets.prediction.models import NO_MODEL, newest_version
from conversions_assets.project import Project, read_clock
from conversions_assets.warehouse.base import Table, Warehouse, WarehouseError, WarehouseLockedError
from conversions_assets.warehouse.raw import RawTables, incomplete_loads, newest_load

STATE = "conversions_assets/scan_state"
"""Run tag: the loads, the SQL and the day that a scan was started for."""
REACTED, BY_REACT = "conversions_assets/reacted", "react"
"""Run tag of scans whose reruns `react` starts by itself."""
# Of the sensor only: a run that holds the DuckDB file is not waited for.
PATIENCE = 1.0
OVERLAP = timedelta(minutes=10)
RUNNING = dg.DefaultSensorStatus.RUNNING
UNKNOWN = "unknown"
Loads = Mapping[Table, str]


def read_loads(
    warehouse: Warehouse, conversions: Sequence[Conversion], declared: RawTables, before: Mapping[str, str]
) -> Loads:
    """The newest complete load of each raw table by itself: the newest of all would hide a new load of the others.

    Args:
        before: the loads seen last, which stand while a newer one is not complete (R19).
    """
    tables = {table for conversion in conversions for table in conversion.query.tables} | set(declared)
    return {
        table: _load(warehouse, table, declared, before.get(str(table), UNKNOWN)) for table in sorted(tables, key=str)
    }


def load_events(loads: Loads, before: Mapping[str, str], declared: RawTables) -> list[dg.AssetMaterialization]:
    """New loads of tables that someone else loads, as their assets show them: freshness policies read these events."""
    return [
        dg.AssetMaterialization(raw_key(table), metadata={"CRM load": load})
        for table, load in loads.items()
        if table in declared and declared[table].external and load not in (UNKNOWN, before.get(str(table)))
    ]


def scan_states(
    warehouse: Warehouse, conversions: Sequence[Conversion], loads: Loads, known: Mapping[str, object]
) -> dict[str, str]:
    """What the next scan of each conversion depends on: the loads of its tables, its SQL, the day of the daily scan,
    and the newest model where the value is predicted.

    A conversion that was never published has none: its first backfill is by hand (R33).

    Args:
        known: names that are known to be published.
    """
    states = {}
    for conversion in conversions:
        if conversion.name not in known and not was_published(warehouse, conversion):
            continue
        seen = "&".join(f"{table}={loads[table]}" for table in sorted(conversion.query.tables, key=str))
        model = f"|{newest_version(warehouse, conversion) or NO_MODEL}" if conversion.predicted else ""
        states[conversion.name] = f"{_daily(conversion.project)}|{conversion.query.version}|{seen}{model}"
    return states


def crm_loads_sensor(
    conversions: Sequence[Conversion], scan: dg.JobDefinition, project: Project
) -> dg.SensorDefinition:
    """Starts a scan for each conversion whose loads, SQL or day are not those of its last scan. Reads load ids only."""

    @dg.sensor(
        name="crm_loads",
        job=scan,
        minimum_interval_seconds=project.automation.check_seconds,
        default_status=RUNNING,
        description="A new CRM load starts a scan of each conversion that reads it; so does each day.",
    )
    def _crm_loads(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource, raw_tables: dg.ResourceParam[RawTables]
    ) -> dg.SensorResult | dg.SkipReason:
        cursor = json.loads(context.cursor or "{}")
        before: dict[str, list[str | int]] = cursor.get("conversions", {})
        if not warehouse.exists:
            return dg.SkipReason("there is no warehouse yet")
        try:
            with warehouse.open(lock_timeout_seconds=PATIENCE) as session:
                loads = read_loads(session, conversions, raw_tables, cursor.get("loads", {}))
                states = scan_states(session, conversions, loads, before)
        except WarehouseLockedError as error:
            return dg.SkipReason(f"looks again at the next tick: {error}")
        after: dict[str, list[str | int]] = {}
        requests = []
        for name, state in states.items():
            last, number = before.get(name, ["", 0])
            # The number: a load id may come back, and a run key is remembered for ever.
            after[name] = [state, int(number) + (state != last)]
            if state != last:
                requests.append(
                    dg.RunRequest(
                        run_key=f"{name}|{after[name][1]}|{state}",
                        run_config=scan_config(name),
                        tags={STATE: f"{name}|{state}"},
                    )
                )
        skipped = None if requests else f"no new load among {len(states)} published conversions"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=skipped,
            asset_events=load_events(loads, cursor.get("loads", {}), raw_tables),
            cursor=json.dumps({"conversions": after, "loads": {str(table): load for table, load in loads.items()}}),
        )

    return _crm_loads


def changed_days_sensor(conversions: Sequence[Conversion], project: Project) -> dg.SensorDefinition:
    """Starts the runs that finished scans ask for. A scan seen twice starts nothing twice: the run key names it."""
    keys = [key for conversion in conversions for key in daily_keys(conversion)]

    @dg.sensor(
        name="changed_days",
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=project.automation.check_seconds,
        default_status=RUNNING,
        description="Reruns the days that a scan found: the daily assets of a conversion in one run.",
    )
    def _changed_days(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = json.loads(context.cursor or "{}")
        after = (
            datetime.fromisoformat(cursor["after"])
            if cursor
            else datetime.now(UTC) - timedelta(days=1)  # the daily scan finds whatever is older
        )
        handled = set(cursor.get("handled", ()))
        records = context.instance.get_run_records(
            dg.RunsFilter(
                job_name=SCAN,
                statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
                updated_after=after - OVERLAP,
            )
        )
        new = [record for record in records if record.dagster_run.run_id not in handled]
        requests = [
            request
            for record in sorted(new, key=lambda record: record.storage_id)
            if record.dagster_run.tags.get(REACTED) != BY_REACT
            for request in rerun_requests(record.dagster_run, conversions)
        ]
        newest = max((record.update_timestamp.astimezone(UTC) for record in records), default=after)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else "no scan has found a change",
            cursor=json.dumps(
                {
                    "after": max(newest, after).isoformat(),
                    "handled": sorted(record.dagster_run.run_id for record in records),
                }
            ),
        )

    return _changed_days


def _daily(project: Project) -> str:
    """The local date, which begins at the hour of the daily scan."""
    return str(project.local_date(read_clock().now - timedelta(hours=project.automation.daily_scan_hour)))


def _load(warehouse: Warehouse, table: Table, declared: RawTables, before: str) -> str:
    try:
        if incomplete_loads(warehouse, [table], declared):
            return before
        return newest_load(warehouse, [table], declared) or UNKNOWN
    except WarehouseError:
        # A declared column is not there. The scan that follows fails and says so; other conversions go on.
        return UNKNOWN
