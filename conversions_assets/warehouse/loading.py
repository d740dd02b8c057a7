"""Where dlt loads to: the warehouse as a dlt destination."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversions_assets.warehouse import bigquery_errors as faults
from conversions_assets.warehouse.base import WarehouseError
from conversions_assets.warehouse.duckdb import wait_for_file

if TYPE_CHECKING:
    from dlt.common.destination import Destination


@contextmanager
def duckdb_destination(path: Path, dataset: str, lock_timeout: timedelta) -> "Iterator[Destination[Any, Any]]":
    """The DuckDB file, held until the end: dlt opens it many times, and another process might get in between.

    Raises:
        WarehouseLockedError: another process still holds the file after `lock_timeout`.
        WarehouseError: the dataset has the file's name, which DuckDB cannot tell apart.
    """
    import dlt
    import duckdb

    if path.stem == dataset:
        raise WarehouseError(f"{path.name} and the dataset '{dataset}' share a name: set CONVERSIONS_DUCKDB_PATH")
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = wait_for_file(path, lock_timeout, lambda: duckdb.connect(str(path)))
    try:
        yield dlt.destinations.duckdb(connection)
    finally:
        connection.close()


@contextmanager
def bigquery_destination(project: str, location: str) -> "Iterator[Destination[Any, Any]]":
    """BigQuery, with the application default credentials; dlt stages rows in the dataset `<dataset>_staging`.

    Raises:
        WarehouseError: BigQuery refuses something or does not answer; the message holds no value of a row.
    """
    import google.auth

    from conversions_assets.warehouse.bigquery_merge import BigQuery

    try:
        # dlt finds them the same way, but does not say what to do where there are none.
        google.auth.default()
        # A table that is replaced whole is filled beside it: nobody finds it empty while it is uploaded.
        how = "insert-from-staging"
        yield BigQuery(project_id=project, location=location, replace_strategy=how)
    except Exception as error:
        told = faults.told(error)
        if told is None:
            raise
        raise told from None


def layout(key: Sequence[str], month_of: str | None = None) -> dict[str, Any]:
    """dlt's hints for a table: how BigQuery lays it out when it is made. DuckDB does not read them.

    Months, since a job may write 4,000 partitions, and an old CRM has more days than that:
    https://cloud.google.com/bigquery/quotas#partitioned_tables

    Args:
        key: the table is clustered by these columns, four at most.
        month_of: a TIMESTAMP column by whose month it is partitioned.
    """
    from dlt.destinations.impl.bigquery.bigquery_adapter import CLUSTER_COLUMNS_HINT, PARTITION_HINT

    hints: dict[str, Any] = {CLUSTER_COLUMNS_HINT: list(key)} if key else {}
    if month_of is not None:
        hints[PARTITION_HINT] = {month_of: "TIMESTAMP_TRUNC({column_name}, MONTH)"}
    return hints
