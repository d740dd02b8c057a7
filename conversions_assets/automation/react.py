"""`react`: once and in this process what the sensors do all the time, for those who run no daemon (R23)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from conversions_assets.assets.raw import raw_key
from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.automation.loads import BY_REACT, REACTED, STATE, load_events, read_loads, scan_states
from conversions_assets.automation.refit import REFIT, is_refitted, refit_tags
from conversions_assets.automation.scan import CONVERT, PUBLISH, SCAN, rerun_requests, scan_config
from conversions_assets.contract.conversion import Conversion
from conversions_assets.project import ConfigurationError, Project, read_clock
from conversions_assets.warehouse.raw import RawTables

Tell = Callable[[str], None]


@dataclass
class Reacted:
    """What `react` did.

    Attributes:
        failed: runs that failed, and checks of severity ERROR that did.
    """

    scans: int = 0
    reruns: int = 0
    unchanged: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.scans} scans, {self.reruns} reruns, {self.unchanged} conversions without a new load, "
            f"{len(self.failed)} failures"
        )


def react(
    definitions: dg.Definitions,
    conversions: Sequence[Conversion],
    warehouse: WarehouseResource,
    raw_tables: RawTables,
    instance: dg.DagsterInstance | None = None,
    tell: Tell = print,
) -> Reacted:
    """Scan each published conversion whose loads, SQL or day are new, and rerun what the scans find.

    Once a day the models are fitted anew, and what they score is scanned again.

    A conversion whose last scan asked for a rerun is scanned again: the rerun may have failed.

    Args:
        instance: where the runs are recorded; without it the one of DAGSTER_HOME.

    Raises:
        WarehouseError: the warehouse cannot be read.
        ConfigurationError: DAGSTER_HOME names no folder.
    """
    if instance is None:
        with _instance_at_home() as at_home:
            return react(definitions, conversions, warehouse, raw_tables, at_home, tell)
    done = Reacted()
    if not warehouse.exists:
        tell("there is no warehouse yet: load the CRM and start the first backfill by hand")
        return done
    with warehouse.open() as session:
        before = _loads_shown(instance, raw_tables)
        loads = read_loads(session, conversions, raw_tables, before)
        states = scan_states(session, conversions, loads, known={})
    for event in load_events(loads, before, raw_tables):
        instance.report_runless_asset_event(event)
    for conversion in conversions:
        state = states.get(conversion.name)
        if state is None:
            tell(f"{conversion.name}: never published; start its first backfill by hand (R33)")
        elif _is_settled(instance, conversion.name, state):
            done.unchanged += 1
        else:
            _react_to(definitions, conversion, state, instance, done, tell)
    scored = [conversion for conversion in conversions if conversion.predicted and conversion.name in states]
    if scored and not is_refitted(instance, scored[0].project):
        _refit(definitions, scored[0].project, instance, done, tell)
        with warehouse.open() as session:
            states = scan_states(session, scored, loads, known={})
        for conversion in scored:
            if not _is_settled(instance, conversion.name, states[conversion.name]):
                _react_to(definitions, conversion, states[conversion.name], instance, done, tell)
    return done


def _refit(
    definitions: dg.Definitions, project: Project, instance: dg.DagsterInstance, done: Reacted, tell: Tell
) -> None:
    result = definitions.resolve_job_def(REFIT).execute_in_process(
        tags=refit_tags(project, read_clock().now), instance=instance, raise_on_error=False
    )
    if not result.success:
        done.failed.append(f"the run {result.run_id} of {REFIT} failed")
    tell(done.failed[-1] if not result.success else f"models fitted anew (run {result.run_id})")


def _instance_at_home() -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise ConfigurationError(
            f"DAGSTER_HOME must name the folder in which runs are recorded (`make react` sets it): {error}"
        ) from error


def _loads_shown(instance: dg.DagsterInstance, declared: RawTables) -> dict[str, str]:
    """The newest load that each raw asset shows."""
    before = {}
    for table in declared:
        event = instance.get_latest_materialization_event(raw_key(table))
        if event is not None and event.asset_materialization is not None:
            before[str(table)] = str(
                event.asset_materialization.metadata.get("CRM load", dg.MetadataValue.text("")).value
            )
    return before


def _react_to(
    definitions: dg.Definitions,
    conversion: Conversion,
    state: str,
    instance: dg.DagsterInstance,
    done: Reacted,
    tell: Tell,
) -> None:
    name = conversion.name
    scanned = definitions.resolve_job_def(SCAN).execute_in_process(
        run_config=scan_config(name),
        tags={STATE: f"{name}|{state}", REACTED: BY_REACT},
        instance=instance,
        raise_on_error=False,
    )
    done.scans += 1
    if not scanned.success:
        done.failed.append(f"{name}: the scan {scanned.run_id} failed")
        tell(done.failed[-1])
        return
    scan_run = instance.get_run_by_id(scanned.run_id)
    assert scan_run is not None
    for request in rerun_requests(scan_run, [conversion]):
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            instance=instance,
            raise_on_error=False,
        )
        done.reruns += 1
        asked = (request.run_key or "").rpartition("|")[2]
        checks = [
            check.check_name
            for check in result.get_asset_check_evaluations()
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
        ]
        if checks:
            done.failed.append(f"{asked}: failed checks: {', '.join(checks)} (run {result.run_id})")
        elif not result.success:
            done.failed.append(f"{asked}: the run {result.run_id} failed")
        tell(done.failed[-1] if checks or not result.success else f"{asked}: rerun (run {result.run_id})")


def _is_settled(instance: dg.DagsterInstance, name: str, state: str) -> bool:
    """Whether the newest scan saw the same loads, SQL and day, and asked for nothing."""
    runs = instance.get_runs(
        dg.RunsFilter(job_name=SCAN, tags={STATE: f"{name}|{state}"}, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
    )
    return bool(runs) and not runs[0].tags.get(CONVERT) and not runs[0].tags.get(PUBLISH)
