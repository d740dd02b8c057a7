"""Dagster's event log in SQLite, a batch in one transaction: a backfill of a year writes thousands of events.

Dagster's own class opens and syncs two files for each event. Its instance hands over the events of many partitions as
one batch if DAGSTER_EVENT_BATCH_SIZE is set, but of its open storages only Postgres writes a batch at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from dagster import EventLogEntry, StringSource
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, insert

from conversions_assets.project import write_events_in_batches


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """SQLite as Dagster's default has it, in the same files; batches of a run's asset events are written at once.

    The project's dagster.yaml chooses it by `event_log_storage`.
    """

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The folder DAGSTER_HOME."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """The storage of a DAGSTER_HOME; who chooses it wants batches, so that they need no setting of their own."""
        write_events_in_batches()
        return cls(base_dir=str(Path(config_value["home"]) / "history" / "runs"), inst_data=inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events; neighbours of one run, asset and type in one transaction for the run and one for the index."""
        for alike in batches(self, events):
            with self.run_connection(alike[0].run_id) as connection:
                insert_events(self, connection, alike)
            with self.index_transaction() as connection:
                index_events(self, connection, alike)


def batches(storage: SqlEventLogStorage, events: Sequence[EventLogEntry]) -> Iterator[Sequence[EventLogEntry]]:
    """Neighbours that tell the same of many partitions of one asset; what else there is is stored one by one."""

    def what(event: EventLogEntry) -> tuple[object, ...]:
        told = event.dagster_event
        return event.run_id, event.dagster_event_type, told and told.asset_key

    for (_, kind, asset), group in groupby(events, key=what):
        alike = list(group)
        if kind in ASSET_EVENTS and asset and len(alike) > 1:
            yield alike
        else:
            for event in alike:
                storage.store_event(event)


def insert_events(
    storage: SqlEventLogStorage, connection: Connection, events: Sequence[EventLogEntry]
) -> Sequence[int]:
    """Insert events into the log; their ids."""
    table = SqlEventLogStorageTable
    statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return connection.execute(statement, [storage._event_to_row(event) for event in events]).scalars().all()


def index_events(storage: SqlEventLogStorage, connection: Connection, events: Sequence[EventLogEntry]) -> None:
    """Insert events of one asset and type into the log that all runs share, with their tags and the asset's state."""
    ids = insert_events(storage, connection, events)
    storage._store_asset_event_tags(connection, events, ids)
    # The table of assets keeps the last event of each type.
    storage._store_asset_event(connection, events[-1], ids[-1])
