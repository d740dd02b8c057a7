"""Which runs wait for each other (R13): the pools of assets and jobs, of which the queue starts one run at a time."""

from conversions_assets.project import read_warehouse_settings


def writer_pool(name: str) -> str:
    """The pool of what writes under a name: a conversion, or the dataset of a CRM.

    DuckDB's file has one writer, so all share one pool. In BigQuery each conversion has its own.
    """
    return "duckdb" if _is_duckdb() else f"bigquery_{name}"


def reader_pool() -> str | None:
    """The pool of what only reads: none in BigQuery, where nobody waits for a reader."""
    return "duckdb" if _is_duckdb() else None


def engine() -> str:
    """The warehouse's kind, as the UI shows it on an asset: 'duckdb' or 'bigquery'."""
    return read_warehouse_settings().kind


def _is_duckdb() -> bool:
    return engine() == "duckdb"
