"""The engine of production: BigQuery, through Google's own client. Statements run as they are, in one session."""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlglot import exp

from conversions_assets.warehouse import bigquery_errors as faults
from conversions_assets.warehouse import bigquery_sql as sql
from conversions_assets.warehouse.base import (
    Job,
    Statement,
    Table,
    WarehouseConflictError,
    WarehouseError,
    WarehouseFaultError,
)
from conversions_assets.warehouse.frames import typed

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.bigquery import Client, ConnectionProperty, QueryJob, QueryJobConfig
    from google.cloud.bigquery import Table as ApiTable
    from pandas import DataFrame

logger = logging.getLogger(__name__)

T = TypeVar("T")
SESSION = "_SESSION"
"""What BigQuery calls the dataset of a session's temporary tables."""
FIRST_LOOK, LONGEST_LOOK = 0.05, 2.0
"""Seconds between two looks at a job that runs."""
FAREWELL = 5.0
"""Seconds that the end of a session may take."""


class BigQueryWarehouse:
    """A session on a project: it begins with the first statement and ends with `close`.

    Args:
        client: its project and location are those of all jobs.
        patience: how long to try again what BigQuery says to try again.
    """

    kind = "bigquery"

    def __init__(self, client: "Client", patience: timedelta = timedelta(minutes=10)) -> None:
        self._client = client
        self._patience = patience
        self._labels: dict[str, str] = {}
        self._limit: int | None = None
        self._session: str | None = None
        self._transaction: list[Statement] | None = None
        self._read: dict[Table, datetime | None] = {}
        self.jobs: list[Job] = []

    def __enter__(self) -> "BigQueryWarehouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and with it its temporary tables. BigQuery ends one that is left after a day."""
        from google.api_core.exceptions import GoogleAPIError

        if self._session is None:
            return
        try:
            retry = self._retry().with_timeout(FAREWELL)
            self._client.query("CALL BQ.ABORT_SESSION()", job_config=self._config({}), retry=retry, job_retry=None)
        except GoogleAPIError as error:
            logger.debug("the session ends by itself: %s", type(error).__name__)
        self._session = None

    def charge(self, labels: Mapping[str, str], maximum_bytes_billed: int | None = None) -> None:
        """Labels of the jobs from now on, such as `conversion`, `days` and `run`, and their limit; None: no limit."""
        self._labels = {name: sql.label(value) for name, value in labels.items()}
        self._limit = maximum_bytes_billed

    def execute(self, statements: Sequence[Statement]) -> None:
        if self._transaction is not None:
            self._transaction += statements
            return
        for statement in statements:
            self._run([statement])

    def query(self, statement: Statement) -> list[dict[str, Any]]:
        rows = self._rows(statement)
        return [dict(row.items()) for row in rows]

    def frame(self, statement: Statement) -> "DataFrame":
        frame: DataFrame = self._rows(statement).to_arrow(create_bqstorage_client=False).to_pandas()
        return frame

    def load(self, name: str, frame: "DataFrame", columns: Mapping[str, str]) -> None:
        from google.cloud.bigquery import LoadJobConfig
        from pyarrow import parquet

        if self._session is None:
            self._run([Statement(exp.select("1"))])
        rows = io.BytesIO()
        parquet.write_table(typed(frame, columns), rows)
        config = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE", labels=self._labels)
        config.connection_properties = self._properties()

        def loaded() -> None:
            rows.seek(0)
            target = f"{self._client.project}.{SESSION}.{name}"
            self._finish(self._client.load_table_from_file(rows, target, job_config=config, num_retries=5))

        self._faced(self._patiently(loaded))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._transaction = []
        try:
            yield
            statements = self._transaction
        finally:
            self._transaction = None
        if statements:
            self._run(statements, transaction=True)
            # What this session has written itself is no conflict.
            self._read.clear()

    def describe(self, statement: Statement) -> dict[str, str]:
        job = self._dry_run(statement)
        return sql.without_null_types(statement.tree, sql.column_types(job.schema or []))

    def bytes_of(self, statement: Statement) -> int | None:
        return int(self._dry_run(statement).total_bytes_processed or 0)

    def _dry_run(self, statement: Statement) -> "QueryJob":
        config = self._config(statement.params)
        config.dry_run, config.create_session = True, None
        text = sql.job_text([statement])
        return self._faced(lambda: self._client.query(text, job_config=config, retry=self._retry(), job_retry=None))

    def columns(self, table: Table) -> dict[str, str] | None:
        found = self._find(table)
        return None if found is None else sql.column_types(found.schema)

    def tables(self, dataset: str) -> dict[str, dict[str, str]]:
        from google.api_core.exceptions import NotFound

        def listed() -> list[str]:
            try:
                found = self._client.list_tables(f"{self._client.project}.{dataset}", retry=self._retry())
                return [table.table_id for table in found]
            except NotFound:
                return []

        names = sql.without_older_shards(self._faced(listed))
        return {name: self.columns(Table(dataset, name)) or {} for name in names}

    def create_table(self, table: Table, columns: Mapping[str, str], by_day: bool = True) -> None:
        found = self._find(table)
        if found is None:
            self._create_dataset(table.dataset)
            self._run([sql.created_table(table, columns, by_day)])
        else:
            present = sql.column_types(found.schema)
            missing = {name: kind for name, kind in columns.items() if name not in present}
            if missing:
                # A table that an older version made lacks columns that came later.
                self._run([sql.added_columns(table, missing)])
                found = None
        if table not in self._read:
            found = found or self._find(table)
            self._read[table] = found.modified if found else None

    def _create_dataset(self, name: str) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import Dataset, DatasetReference

        wanted = Dataset(DatasetReference(self._client.project, name))
        wanted.location = self._client.location

        def made() -> Dataset:
            try:
                return self._client.get_dataset(wanted.reference, retry=self._retry())
            except NotFound:
                return self._client.create_dataset(wanted, exists_ok=True, retry=self._retry())

        found = self._faced(made).location
        if found and wanted.location and found.upper() != wanted.location.upper():
            raise WarehouseFaultError(
                f"The dataset {name} lies in {found}, BIGQUERY_LOCATION says {wanted.location}: set it to {found}, or "
                "make all datasets in one location."
            )

    def _find(self, table: Table) -> "ApiTable | None":
        from google.api_core.exceptions import NotFound

        name = f"{self._client.project}.{table}"

        def found() -> "ApiTable | None":
            try:
                return self._client.get_table(name, retry=self._retry())
            except NotFound:
                return None

        return self._faced(found)

    def _rows(self, statement: Statement) -> Any:
        if self._transaction is not None:
            raise WarehouseError("A transaction takes no SELECT: read before it, or after it.")
        job = self._run([statement])
        return self._faced(lambda: job.result(retry=self._retry(), job_retry=None))

    def _run(self, statements: Sequence[Statement], transaction: bool = False) -> "QueryJob":
        text, params = sql.job_text(statements, transaction), sql.merged_params(statements)

        def done() -> "QueryJob":
            if transaction:
                self._refuse_stale(statements)
            # The client gives each job an id of its own, and takes a job that it finds under it for this one.
            job = self._client.query(text, job_config=self._config(params), retry=self._retry(), job_retry=None)
            self._finish(job)
            return job

        return self._faced(self._patiently(done))

    def _finish(self, job: Any) -> None:
        """Wait for a job and keep its numbers. The API tells of a job's fault by its state, not by an HTTP code."""
        pause = FIRST_LOOK
        while not job.done(retry=self._retry()):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)
        if job.session_info is not None and self._session is None:
            self._session = job.session_info.session_id
        kind = getattr(job, "statement_type", None) or job.job_type.upper()
        processed, billed = (getattr(job, f"total_bytes_{name}", None) or 0 for name in ("processed", "billed"))
        self.jobs.append(Job(job.job_id, kind, processed, billed))
        if job.error_result:
            failed = faults.refused(str(job.error_result.get("reason")), str(job.error_result.get("message")))
            if faults.may_run_again(job.error_result):
                raise faults.TransientJobError from failed
            raise failed

    def _refuse_stale(self, statements: Sequence[Statement]) -> None:
        """What was staged rests on the tables as they were: a row might be written twice.

        A run that writes between this look and the transaction's begin is not seen; the pool of the assets keeps runs
        apart. One that writes after the begin is refused by BigQuery.
        """
        for table in sql.written_tables(statements) & self._read.keys():
            found = self._find(table)
            if found is None or found.modified != self._read[table]:
                raise WarehouseConflictError(
                    f"Another run has written {table} since this one has read it. Nothing is written: run this again."
                )

    def _config(self, params: Mapping[str, Any]) -> "QueryJobConfig":
        from google.cloud.bigquery import QueryJobConfig

        config = QueryJobConfig(query_parameters=sql.query_parameters(params), labels=self._labels)
        if self._limit is not None:
            config.maximum_bytes_billed = self._limit
        if self._session is None:
            config.create_session = True
        else:
            config.connection_properties = self._properties()
        return config

    def _properties(self) -> "list[ConnectionProperty]":
        from google.cloud.bigquery import ConnectionProperty

        return [ConnectionProperty("session_id", self._session)] if self._session else []

    def _retry(self) -> "Retry":
        from google.api_core.retry import Retry

        return Retry(predicate=faults.may_be_sent_again, timeout=self._patience.total_seconds())

    def _patiently(self, doing: Callable[[], T]) -> Callable[[], T]:
        """The same, again while a job fails in a way that BigQuery says to try again."""
        from google.api_core.retry import Retry, if_exception_type

        transient = if_exception_type(faults.TransientJobError)
        again: Callable[[], T] = Retry(predicate=transient, timeout=self._patience.total_seconds())(doing)
        return again

    def _faced(self, doing: Callable[[], T]) -> T:
        """Do it; what the client raises becomes an error of the warehouse."""
        import requests.exceptions
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError

        try:
            return doing()
        except RetryError as error:
            if isinstance(error.cause, faults.TransientJobError) and isinstance(error.cause.__cause__, WarehouseError):
                raise error.cause.__cause__ from None
            raise faults.unreachable(error.cause or error) from None
        except GoogleAPICallError as error:
            raise faults.refused(faults.reason_of(error), faults.message_of(error)) from None
        except (DefaultCredentialsError, RefreshError):
            raise faults.no_credentials() from None
        except (GoogleAuthError, requests.exceptions.RequestException) as error:
            raise faults.unreachable(error) from None


@contextmanager
def open_bigquery(client: "AbstractContextManager[Client]") -> "Iterator[BigQueryWarehouse]":
    """A session with a client that is yet to be made.

    Raises:
        WarehouseFaultError: there are no credentials to make it with.
    """
    from google.auth.exceptions import DefaultCredentialsError

    with ExitStack() as stack:
        try:
            made = stack.enter_context(client)
        except DefaultCredentialsError:
            raise faults.no_credentials() from None
        yield stack.enter_context(BigQueryWarehouse(made))
