"""What a warehouse can do. Stations hand it statements in BigQuery SQL; each engine makes its own of them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sqlglot import exp

if TYPE_CHECKING:
    from pandas import DataFrame


class WarehouseError(Exception):
    """The engine refused a statement or cannot be reached; the message is the engine's, without values of rows."""


class WarehouseFaultError(WarehouseError):
    """The warehouse itself failed (its disk is full, its session is gone); no statement is wrong."""


class WarehouseConflictError(WarehouseFaultError):
    """Another run has written what this one has read: nothing is written, and this one starts anew."""


class WarehouseLockedError(WarehouseError):
    """Another process holds the warehouse, and waiting for it did not help."""


@dataclass(frozen=True)
class Table:
    """A table as `dataset.name`."""

    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.name}"

    @property
    def expression(self) -> exp.Table:
        return exp.table_(self.name, db=self.dataset, quoted=True)


@dataclass(frozen=True)
class Job:
    """A job of a warehouse that bills: which, and what it cost.

    Attributes:
        kind: what it did ('SELECT', 'SCRIPT', 'LOAD', …).
        bytes_processed, bytes_billed: as the warehouse counts them; 0 for a load.
    """

    id: str
    kind: str
    bytes_processed: int
    bytes_billed: int


@dataclass(frozen=True)
class Statement:
    """One statement in BigQuery SQL with the values of its query parameters (`@name`)."""

    tree: exp.Expr
    params: Mapping[str, Any] = field(default_factory=dict)


class Warehouse(Protocol):
    """An engine with an open session: temporary tables live as long as it does."""

    kind: str

    @property
    def jobs(self) -> Sequence[Job]:
        """The jobs of this session so far; none where the warehouse bills nothing."""

    def charge(self, labels: Mapping[str, str], maximum_bytes_billed: int | None = None) -> None:
        """Say what the session's jobs are for, and how many bytes one of them may be billed for."""

    def execute(self, statements: Sequence[Statement]) -> None:
        """Run statements in order.

        Raises:
            WarehouseError: the engine refused one; those before it stay done, unless a transaction is open.
        """

    def query(self, statement: Statement) -> list[dict[str, Any]]:
        """Run a SELECT and return its rows as dictionaries, column name to value."""

    def frame(self, statement: Statement) -> "DataFrame":
        """Run a SELECT and return its rows by columns; equal texts are one object."""

    def load(self, name: str, frame: "DataFrame", columns: Mapping[str, str]) -> None:
        """Make a temporary table of the session from a DataFrame, or replace it.

        Args:
            columns: name -> BigQuery type; a column without a value does not tell its own.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """All statements inside commit together at the end, or none does.

        Inside only `execute` is called: an engine may keep the statements and send them at the end.

        Raises:
            WarehouseError: the engine refused a statement; nothing is written.
            WarehouseConflictError: another run has written one of the tables since this session read it.
        """

    def describe(self, statement: Statement) -> dict[str, str]:
        """Names and BigQuery types of a SELECT's columns, without running it."""

    def bytes_of(self, statement: Statement) -> int | None:
        """How many bytes a SELECT would read (a dry run); None where the warehouse bills nothing."""

    def columns(self, table: Table) -> dict[str, str] | None:
        """Names and BigQuery types of a table's columns; None if there is no such table."""

    def tables(self, dataset: str) -> dict[str, dict[str, str]]:
        """The tables of a dataset, each with names and BigQuery types of its columns; none if there is no dataset.

        Of the shards of a table, one for each day, the newest stands for all where there may be many.
        """

    def create_table(self, table: Table, columns: Mapping[str, str], by_day: bool = True) -> None:
        """Make a table (and its dataset) unless it exists: partitioned by `day`, clustered by `id`.

        Args:
            by_day: False for a table that is always read whole, such as one row per day: partitions would only cost.

        Columns that an existing table lacks are added, NULL in its rows.
        """
