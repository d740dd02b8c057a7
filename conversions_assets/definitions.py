"""The code location: loads defs/, binds the warehouse, the jobs and the schedules."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.core.component_tree import ComponentTree

from conversions_assets.assets.warehouse import WarehouseResource
from conversions_assets.automation.drift_audit import drift_audit_job, weekly_drift_audit
from conversions_assets.components import CrmTables, CustomConversion
from conversions_assets.contract.conversion import Conversion
from conversions_assets.project import ConfigurationError, load_project, read_warehouse_settings

# Dagster's own code uses its beta and preview functions; nobody here can act on that. Our own use still warns.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"dagster\.")


@dg.definitions
def defs() -> dg.Definitions:
    """Everything this deployment runs."""
    return build_definitions(Path(__file__).parent)


def build_definitions(package: Path) -> dg.Definitions:
    """The definitions of the package in a folder: its defs/, the resources, jobs and schedules.

    Raises:
        ConfigurationError: two conversions of one name, or a wrong setting.
    """
    settings, project = read_warehouse_settings(), load_project()
    tree = _Tree.for_project(package)
    built = tree.build_defs_at_path(tree.defs_module_path)
    conversions = [component.conversion for component in tree.get_all_components(CustomConversion)]
    _refuse_twins(conversions)
    raw_tables = {raw.table: raw for component in tree.get_all_components(CrmTables) for raw in component.raw_tables()}
    audit = drift_audit_job(conversions)
    return dg.Definitions.merge(
        built,
        dg.Definitions(
            resources={
                "warehouse": WarehouseResource(
                    duckdb_path=str(settings.duckdb_path), lock_timeout_seconds=settings.lock_timeout.total_seconds()
                ),
                "raw_tables": dg.ResourceDefinition.hardcoded_resource(raw_tables),
            },
            jobs=[audit],
            schedules=[weekly_drift_audit(audit, project.timezone)],
            executor=dg.in_process_executor,
        ),
    )


class _Tree(ComponentTree):
    """Makes the tree of declarations once: Dagster makes it anew for each component, quadratic in their number."""

    @cached_property
    def _declarations(self) -> Any:
        return super()._component_decl_tree()

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
