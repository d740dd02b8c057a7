"""`type: conversions_assets.components.CrmTables`: raw tables that someone else loads."""

import re

import dagster as dg
from pydantic import field_validator, model_validator

from conversions_assets.assets.raw import raw_asset
from conversions_assets.components.freshness import Freshness
from conversions_assets.components.located import LocatedComponent
from conversions_assets.components.scaffolders import CrmTablesScaffolder
from conversions_assets.contract.conversion import RESERVED_DATASETS
from conversions_assets.project import load_project
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LOAD_ID = re.compile(r"([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*")


def _identifier(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(f"'{name}' is no name of a table or column: letters, digits and _, no digit first")
    return name


def check_dataset(dataset: str) -> str:
    """The name of a dataset of raw tables.

    Raises:
        ValueError: it is no name, or one of this project's own datasets (R32).
    """
    if dataset in RESERVED_DATASETS:
        raise ValueError(f"R32: '{dataset}' is a dataset of this project; raw tables lie in one of their own")
    return _identifier(dataset)


class CrmTable(dg.Model, dg.Resolvable):
    """One raw table. Everything is optional.

    Attributes:
        primary_key: the columns that name a row.
        updated_at: a column that moves with every change.
        deleted: a flag of the CRM or the loader.
        partition_column: then the contract asks for a filter on it.
        load_id: a column of the table, or `table.column` of another table in the dataset, that tells the load; else a
            change of max(updated_at) and of the row count is a new load.
        complete: a BOOL column beside that of `load_id`, TRUE in the rows of a load that arrived whole; until then
            nothing is retracted (R19).
    """

    primary_key: list[str] = []
    updated_at: str | None = None
    deleted: str | None = None
    partition_column: str | None = None
    load_id: str | None = None
    complete: str | None = None
    freshness: Freshness | None = None
    description: str | None = None

    @field_validator("updated_at", "deleted", "partition_column", "complete")
    @classmethod
    def _column(cls, name: str | None) -> str | None:
        return name if name is None else _identifier(name)

    @field_validator("primary_key")
    @classmethod
    def _columns(cls, names: list[str]) -> list[str]:
        return [_identifier(name) for name in names]

    @field_validator("load_id")
    @classmethod
    def _load_id(cls, name: str | None) -> str | None:
        if name is not None and not LOAD_ID.fullmatch(name):
            raise ValueError(f"'{name}' is neither `column` nor `table.column`")
        return name

    @model_validator(mode="after")
    def _complete_beside_load_id(self) -> "CrmTable":
        if self.complete is not None and self.load_id is None:
            raise ValueError("`complete` marks the rows of a load: write `load_id` as well")
        return self


@dg.scaffold_with(CrmTablesScaffolder)
class CrmTables(LocatedComponent, dg.Model, dg.Resolvable):
    """Tables of one dataset that Fivetran, Airbyte, dlt or a person loads: external assets `<dataset>/<table>`.

    Attributes:
        dataset: the dataset (DuckDB: schema) they lie in.
        tables: the table's name -> what is known of it; `events_*` stands for all tables that begin so.
    """

    dataset: str
    tables: dict[str, CrmTable]
    owners: list[str] = []

    @field_validator("dataset")
    @classmethod
    def _not_reserved(cls, dataset: str) -> str:
        return check_dataset(dataset)

    @field_validator("tables")
    @classmethod
    def _table_names(cls, tables: dict[str, CrmTable]) -> dict[str, CrmTable]:
        for name in tables:
            # All shards of a table: `events_*`.
            _identifier(name.removesuffix("*"))
        return tables

    def raw_tables(self) -> list[RawTable]:
        """What is declared, as the stations read it."""
        return [
            RawTable(
                table=Table(self.dataset, name),
                primary_key=tuple(declared.primary_key),
                updated_at=declared.updated_at,
                deleted=declared.deleted,
                partition_column=declared.partition_column,
                load_id=declared.load_id,
                complete=declared.complete,
            )
            for name, declared in self.tables.items()
        ]

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """External assets for the tables."""
        zone = load_project().timezone
        specs = []
        for raw in self.raw_tables():
            declared = self.tables[raw.table.name]
            policy = declared.freshness.policy(zone) if declared.freshness else None
            specs.append(raw_asset(raw, policy, declared.description, self.owners))
        return dg.Definitions(assets=specs)
