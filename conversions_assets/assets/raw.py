"""`<dataset>/<table>`: raw CRM tables that someone else loads, as external assets."""

from collections.abc import Sequence

import dagster as dg

from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable


def raw_key(table: Table) -> dg.AssetKey:
    """`<dataset>/<table>`; all shards of a wildcard table `events_*` are one asset, `<dataset>/events`."""
    return dg.AssetKey([table.dataset, table.name.rstrip("*").rstrip("_")])


def raw_asset(
    raw: RawTable, freshness: dg.FreshnessPolicy | None, description: str | None, owners: Sequence[str]
) -> dg.AssetSpec:
    """The external asset of a declared table; what is declared of it is its metadata."""
    declared = {
        "primary key": ", ".join(raw.primary_key) or None,
        "updated at": raw.updated_at,
        "delete flag": raw.deleted,
        "partition column": raw.partition_column,
        "complete load": raw.complete,
        "load id": raw.load_id or (f"max({raw.updated_at}) and the row count" if raw.updated_at else None),
    }
    return dg.AssetSpec(
        key=raw_key(raw.table),
        description=description or f"Raw table `{raw.table}`, loaded by someone else.",
        group_name=raw.table.dataset,
        kinds={"table"},
        owners=list(owners),
        metadata={name: value for name, value in declared.items() if value is not None},
        freshness_policy=freshness,
    )
