"""The warehouse as a Dagster resource, and what a run knows of itself."""

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.stage import Run
from conversions_assets.project import gcp_credentials, read_clock
from conversions_assets.warehouse.base import Warehouse, WarehouseConflictError
from conversions_assets.warehouse.raw import RawTables, newest_load

if TYPE_CHECKING:
    from dlt.common.destination import Destination

PROCESS = "conversions_assets/process"
"""Run tag: `<host>/<pid>/<start>` of the process that runs it, for runs of the command line, which nobody watches."""
REQUESTED_ON = "conversions_assets/requested_on"
"""Run tag: the local date on which a scan requested the run (R23); without it r is the run's own."""
TRIES_AGAIN, WAIT_SECONDS = 3, 30
"""How often, and after how long, a step begins anew that has met another run's writing."""


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the warehouse for one step and closes it after."""

    @property
    def exists(self) -> bool:
        """Whether there is anything to open yet."""
        raise NotImplementedError

    def open(self, lock_timeout_seconds: float | None = None) -> AbstractContextManager[Warehouse]:
        """A session; temporary tables live as long as it does. It waits as long as the setting says, or as given."""
        raise NotImplementedError

    def destination(self, dataset: str) -> "AbstractContextManager[Destination[Any, Any]]":
        """Where dlt loads a dataset to."""
        raise NotImplementedError


class DuckDBWarehouseResource(WarehouseResource):
    """The embedded engine: while a process writes the file no other can open it.

    Attributes:
        duckdb_path: the file; opening makes it.
        lock_timeout_seconds: how long to wait while another process holds it.
    """

    duckdb_path: str
    lock_timeout_seconds: float = 600

    @property
    def exists(self) -> bool:
        from pathlib import Path

        return Path(self.duckdb_path).exists()

    @contextmanager
    def open(self, lock_timeout_seconds: float | None = None) -> Iterator[Warehouse]:
        from pathlib import Path

        from conversions_assets.warehouse.duckdb import DuckDBWarehouse

        patience = self.lock_timeout_seconds if lock_timeout_seconds is None else lock_timeout_seconds
        with DuckDBWarehouse(Path(self.duckdb_path), timedelta(seconds=patience)) as warehouse:
            yield warehouse

    @contextmanager
    def destination(self, dataset: str) -> "Iterator[Destination[Any, Any]]":
        """Nobody else opens the file meanwhile."""
        from pathlib import Path

        from conversions_assets.warehouse.loading import duckdb_destination

        patience = timedelta(seconds=self.lock_timeout_seconds)
        with duckdb_destination(Path(self.duckdb_path), dataset, patience) as destination:
            yield destination


class BigQueryWarehouseResource(WarehouseResource):
    """BigQuery, with the application default credentials of the process, or the key in GCP_CREDENTIALS.

    Attributes:
        project: the Google Cloud project whose jobs and datasets these are.
        location: where the datasets lie.
    """

    project: str
    location: str

    @property
    def exists(self) -> bool:
        return True

    @contextmanager
    def open(self, lock_timeout_seconds: float | None = None) -> Iterator[Warehouse]:
        """A session of BigQuery, which locks nothing. A step that meets another run's writing is started again."""
        from dagster_gcp import BigQueryResource

        from conversions_assets.warehouse.bigquery import open_bigquery

        try:
            client = BigQueryResource(project=self.project, location=self.location).get_client()
            with self._credentials(), open_bigquery(client) as warehouse:
                yield warehouse
        except WarehouseConflictError as error:
            raise dg.RetryRequested(max_retries=TRIES_AGAIN, seconds_to_wait=WAIT_SECONDS) from error

    @contextmanager
    def destination(self, dataset: str) -> "Iterator[Destination[Any, Any]]":
        """The project. The pool of the assets keeps two loads of a dataset apart."""
        from conversions_assets.warehouse.loading import bigquery_destination

        with self._credentials(), bigquery_destination(self.project, self.location) as destination:
            yield destination

    def _credentials(self) -> AbstractContextManager[None]:
        """The key is a file, which the default credentials name, as long as the session lasts."""
        from dagster_gcp.bigquery.utils import setup_gcp_creds

        key = gcp_credentials()
        return setup_gcp_creds(key) if key else nullcontext()


def partition_days(context: dg.AssetExecutionContext) -> Days:
    """The run's local days."""
    keys = context.partition_key_range
    return Days(datetime.fromisoformat(keys.start).date(), datetime.fromisoformat(keys.end).date())


def this_process() -> str:
    """`<host>/<pid>/<start>` of the present process."""
    return f"{socket.gethostname()}/{os.getpid()}/{process_start(os.getpid())}"


def process_start(pid: int) -> str:
    """When a process of this machine started (clock ticks since boot), since pids are used again; '' if unknown."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as state:
            return state.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def start_run(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    warehouse: Warehouse,
    conversion: Conversion,
    raw_tables: RawTables,
) -> Run:
    """The run as the stations see it: its id, its clock, its local date r and the load it reads.

    From here on the jobs of the warehouse are charged to the conversion.
    """
    warehouse.charge(_labels(context, conversion), conversion.maximum_bytes_billed)
    context.instance.add_run_tags(context.run.run_id, {PROCESS: this_process()})
    clock = read_clock()
    if clock.replaced:
        started = clock.now
    else:
        record = context.instance.get_run_record_by_id(context.run.run_id)
        started = datetime.fromtimestamp(record.start_time, UTC) if record and record.start_time else clock.now
    requested = context.run.tags.get(REQUESTED_ON)
    local_date = datetime.fromisoformat(requested).date() if requested else conversion.project.local_date(started)
    load = newest_load(warehouse, conversion.query.tables, raw_tables)
    return Run(context.run.run_id, clock, local_date, load, jobs=warehouse.jobs)


def _labels(context: dg.OpExecutionContext | dg.AssetExecutionContext, conversion: Conversion) -> dict[str, str]:
    labels = {"conversion": conversion.name, "run": context.run.run_id}
    if context.has_partition_key_range:
        keys = context.partition_key_range
        labels["days"] = f"{keys.start}_{keys.end}"
    return labels
