"""Where dlt loads to: the warehouse as a dlt destination."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
