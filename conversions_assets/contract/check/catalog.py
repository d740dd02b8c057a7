"""What is known of raw tables before a query runs: columns, types, partition column."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable
from conversions_assets.warehouse.schemas import Columns

TABLE_SUFFIX = "_TABLE_SUFFIX"
PSEUDO_COLUMNS = {TABLE_SUFFIX: "STRING", "_PARTITIONTIME": "TIMESTAMP", "_PARTITIONDATE": "DATE"}


@dataclass(frozen=True)
class Catalog:
    """Raw tables as a schema knows them and as CrmTables declares them.

    Attributes:
        schemas: table -> column -> BigQuery type.
        declared: what CrmTables says of a table.
    """

    schemas: Mapping[Table, Columns] = field(default_factory=dict)
    declared: Mapping[Table, RawTable] = field(default_factory=dict)

    def columns(self, table: Table) -> Columns | None:
        """The columns of a table; of `events_*` those of its newest shard; None where no schema is known."""
        if table in self.schemas:
            return self.schemas[table]
        shards = self._shards(table)
        return self.schemas[shards[-1]] if shards else None

    def partition_column(self, table: Table) -> str | None:
        """The column that a filter must be on; a wildcard table is cut by `_TABLE_SUFFIX`."""
        if is_wildcard(table):
            return TABLE_SUFFIX
        declared = self.declared.get(table)
        return declared.partition_column if declared else None

    def pseudo_columns(self, table: Table) -> dict[str, str]:
        """Columns that a query may use and `SELECT *` does not return."""
        partition = self.partition_column(table)
        if partition is not None and partition.upper().startswith("_PARTITION"):
            return {name: kind for name, kind in PSEUDO_COLUMNS.items() if name != TABLE_SUFFIX}
        return {TABLE_SUFFIX: "STRING"} if is_wildcard(table) else {}

    def nearest(self, table: Table) -> str | None:
        """None if the table may exist; else the nearest known name, '' where none is near.

        A declared table may not be loaded yet; of a dataset without any known table nothing is known.
        """
        if table in self.declared or self.columns(table) is not None:
            return None
        known = sorted({str(t) for t in (*self.schemas, *self.declared) if t.dataset == table.dataset})
        if not known:
            return None
        return next(iter(difflib.get_close_matches(str(table), known, n=1, cutoff=0.5)), "")

    def _shards(self, table: Table) -> list[Table]:
        if not is_wildcard(table):
            return []
        prefix = table.name.rstrip("*")
        return sorted(
            (t for t in self.schemas if t.dataset == table.dataset and t.name.startswith(prefix)),
            key=lambda t: t.name,
        )


def is_wildcard(table: Table) -> bool:
    """Whether a name stands for all tables that begin with it: `events_*`."""
    return table.name.endswith("*")
