"""Dagster's event log in SQLite, a batch in one transaction: a backfill of a year writes thousands of events.

Dagster's own class opens and syncs two files for each event. Its instance hands over the events of many partitions as
one batch if DAGSTER_EVENT_BATCH_SIZE is set, but of its open storages only Postgres writes a batch at once.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from dagster import DagsterEventType, EventLogEntry, StringSource
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorageTable, SqliteEventLogStorage
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
        for (run_id, kind, asset), group in groupby(events, key=_kind):
            alike = list(group)
            if kind not in ASSET_EVENTS or asset is None or len(alike) == 1:
                for event in alike:
                    self.store_event(event)
                continue
            with self.run_connection(run_id) as connection:
                self._insert(connection, alike)
            with self.index_transaction() as connection:
                ids = self._insert(connection, alike)
                self._store_asset_event_tags(connection, alike, ids)
                # The table of assets keeps the last event of each type.
                self._store_asset_event(connection, alike[-1], ids[-1])

    def _insert(self, connection: Connection, events: Sequence[EventLogEntry]) -> Sequence[int]:
        statement = insert(SqlEventLogStorageTable).returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        return connection.execute(statement, [self._event_to_row(event) for event in events]).scalars().all()


def _kind(event: EventLogEntry) -> tuple[str, DagsterEventType | None, str | None]:
    asset = event.dagster_event.asset_key.to_string() if event.dagster_event and event.dagster_event.asset_key else None
    return event.run_id, event.dagster_event_type, asset
