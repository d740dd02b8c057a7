"""The code location: loads defs/, binds the warehouse, the jobs and the schedules."""

import logging
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.core.component_tree import ComponentTree

from conversions_assets.assets.warehouse import BigQueryWarehouseResource, DuckDBWarehouseResource, WarehouseResource
from conversions_assets.automation.conditions import stale_windows_sensor
from conversions_assets.automation.dead_runs import dead_runs_sensor
from conversions_assets.automation.drift_audit import drift_audit_job, weekly_drift_audit
from conversions_assets.automation.loads import changed_days_sensor, crm_loads_sensor
from conversions_assets.automation.refit import daily_refit, refit_job
from conversions_assets.automation.scan import scan_job
from conversions_assets.components import CrmSource, CrmTables, CustomConversion
from conversions_assets.components.located import unreadable
from conversions_assets.components.predicted_value import refuse_wrong_targets
from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.check.static import check
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.source import Finding, QueryError, refuse
from conversions_assets.project import (
    ConfigurationError,
    Project,
    WarehouseSettings,
    load_project,
    read_warehouse_settings,
)
from conversions_assets.warehouse.schemas import read_schema_files, warehouse_schemas

logger = logging.getLogger(__name__)

# Dagster's own code uses its beta and preview functions; nobody here can act on that. Our own use still warns.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"dagster\.")


@dg.definitions
def defs() -> dg.Definitions:
    """Everything this deployment runs."""
    return build_definitions(Path(__file__).parent)


@dataclass(frozen=True)
class Deployment:
    """What the defs/ of a package declare, read but not yet judged.

    Attributes:
        refused: queries that are not even one SELECT.
        catalog: what is known of the raw tables.
        folders: dataset -> the folder of its CrmTables.
    """

    conversions: Sequence[Conversion]
    refused: Sequence[QueryError]
    catalog: Catalog
    folders: Mapping[str, Path]

    def findings(self) -> list[Finding]:
        """The static check of every query: errors and warnings."""
        refused = [finding for error in self.refused for finding in error.findings]
        return refused + [f for conversion in self.conversions for f in check(conversion.query, self.catalog)]


def read_deployment(package: Path) -> Deployment:
    """Read the conversions and raw tables of a package.

    Raises:
        ConfigurationError: two conversions of one name, or a wrong setting or YAML.
    """
    return _read_deployment(_tree(package), package)


def build_definitions(package: Path) -> dg.Definitions:
    """The definitions of the package in a folder: its defs/, the resources, jobs and schedules.

    Raises:
        ConfigurationError: two conversions of one name, or a wrong setting.
        QueryError: what is wrong with the queries, all at once; warnings are logged.
    """
    settings, project = read_warehouse_settings(), load_project()
    tree = _tree(package)
    deployment = _read_deployment(tree, package)
    findings = deployment.findings()
    refuse(findings)
    for finding in findings:
        _warn_once(str(finding))
    audit, scan = drift_audit_job(deployment.conversions), scan_job(deployment.conversions)
    refit = refit_job(deployment.conversions)
    return dg.Definitions.merge(
        tree.build_defs_at_path(tree.defs_module_path),
        dg.Definitions(
            resources={
                "warehouse": warehouse_resource(settings),
                "raw_tables": dg.ResourceDefinition.hardcoded_resource(deployment.catalog.declared),
            },
            jobs=[audit, scan, *([refit] if refit else [])],
            schedules=[weekly_drift_audit(audit, project.timezone), *([daily_refit(refit, project)] if refit else [])],
            sensors=_sensors(deployment.conversions, scan, project) if deployment.conversions else [],
            executor=dg.in_process_executor,
        ),
    )


@cache
def _warn_once(text: str) -> None:
    # Dagster may load the definitions more than once in a process.
    logger.warning("%s", text)


def _sensors(conversions: Sequence[Conversion], scan: dg.JobDefinition, project: Project) -> list[dg.SensorDefinition]:
    return [
        crm_loads_sensor(conversions, scan, project),
        changed_days_sensor(conversions, project),
        stale_windows_sensor(conversions, project.automation.check_seconds),
        dead_runs_sensor(project.automation.check_seconds),
    ]


def warehouse_resource(settings: WarehouseSettings) -> WarehouseResource:
    """The warehouse of this process as its assets receive it."""
    if settings.kind == "bigquery":
        return BigQueryWarehouseResource(project=settings.gcp_project, location=settings.bigquery_location)
    return DuckDBWarehouseResource(
        duckdb_path=str(settings.duckdb_path), lock_timeout_seconds=settings.lock_timeout.total_seconds()
    )


def _tree(package: Path) -> "_Tree":
    return _Tree.for_project(package)


def _read_deployment(tree: "_Tree", package: Path) -> Deployment:
    conversions: list[Conversion] = []
    refused: list[QueryError] = []
    for component in tree.get_all_components(CustomConversion):
        try:
            conversions.append(component.conversion)
        except QueryError as error:
            refused.append(error)
    _refuse_twins(conversions)
    datasets: list[CrmTables | CrmSource] = [*tree.get_all_components(CrmTables), *tree.get_all_components(CrmSource)]
    declared = {raw.table: raw for component in datasets for raw in component.raw_tables()}
    schemas = read_schema_files(package / "defs") | warehouse_schemas(read_warehouse_settings())
    folders = {component.dataset: component.folder for component in datasets}
    catalog = Catalog(schemas, declared)
    refuse_wrong_targets(conversions, [error.findings[0].path.parent.name for error in refused], catalog)
    return Deployment(conversions, refused, catalog, folders)


class _Tree(ComponentTree):
    """Makes the tree of declarations once: Dagster makes it anew for each component, quadratic in their number."""

    @cached_property
    def _declarations(self) -> Any:
        try:
            return super()._component_decl_tree()
        except Exception as error:
            problems = list(unreadable(self.defs_module_path))
            if not problems:
                raise
            raise ConfigurationError("\n".join(problems)) from error

    def _component_decl_tree(self) -> Any:
        return self._declarations


def _refuse_twins(conversions: Sequence[Conversion]) -> None:
    folders = defaultdict(list)
    for conversion in conversions:
        folders[conversion.name].append(conversion.query.path.parent)
    for name, places in folders.items():
        if len(places) > 1:
            raise ConfigurationError(
                f"two conversions are named '{name}': {' and '.join(map(str, places))}. A conversion is named "
                "after its folder: rename one of them"
            )
