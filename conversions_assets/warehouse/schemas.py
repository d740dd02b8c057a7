"""Columns of raw tables, known before a query runs: from the warehouse where it is there, else from committed files.

A committed file `<dataset>.schema.yaml` lies beside the defs.yaml that declares the dataset; `make schemas` writes it.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from conversions_assets.project import ConfigurationError, WarehouseSettings, cache_folder
from conversions_assets.warehouse.base import Table

Columns = Mapping[str, str]
Schemas = Mapping[Table, Columns]
"""Table -> column -> BigQuery type."""

SUFFIX = ".schema.yaml"
HEADER = """\
# Columns of the raw tables, read by the static check where there is no warehouse. Written by `make schemas`.
"""


def read_schema_files(root: Path) -> dict[Table, dict[str, str]]:
    """All `*.schema.yaml` below a folder.

    Raises:
        ConfigurationError: a file is no YAML of the form `tables: {table: {column: type}}`.
    """
    found: dict[Table, dict[str, str]] = {}
    for path in sorted(root.rglob(f"*{SUFFIX}")):
        dataset = path.name.removesuffix(SUFFIX)
        for name, columns in _read(path).items():
            found[Table(dataset, str(name))] = {str(column): str(kind) for column, kind in columns.items()}
    return found


def write_schema_file(folder: Path, dataset: str, tables: Mapping[str, Columns]) -> Path:
    """Write `<dataset>.schema.yaml` into a folder, tables and columns in a stable order; returns its path."""
    path = folder / f"{dataset}{SUFFIX}"
    content = {"tables": {name: dict(columns) for name, columns in sorted(tables.items())}}
    text = HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def warehouse_schemas(settings: WarehouseSettings) -> dict[Table, dict[str, str]]:
    """The tables of the DuckDB file, as of its last change; none where there is no file.

    Read anew only when the file has changed. While a run holds the file, what was last seen is returned. Of BigQuery
    none: definitions load without the network, by the committed files.
    """
    if settings.kind != "duckdb":
        return {}
    path = settings.duckdb_path
    kept = cache_folder() / "schemas" / f"{sha256(str(path).encode()).hexdigest()[:16]}.json"
    state = _state(path)
    if state is None:
        return {}
    cached = _cached(kept)
    if cached is None or cached["state"] != state:
        tables = _read_duckdb(path)
        if tables is not None:
            cached = {"state": state, "tables": tables}
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(cached), encoding="utf-8")
    return {} if cached is None else {Table(d, t): columns for d, t, columns in cached["tables"]}


def _read(path: Path) -> Mapping[str, Mapping[str, str]]:
    form = "write `tables:`, below it each table, below that `column: TYPE`; `make schemas` does it"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError(f"{path}:{mark.line + 1 if mark else 1}: this is no YAML: {form}") from error
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(columns, dict) for columns in tables.values()):
        raise ConfigurationError(f"{path}:1: this is no schema file: {form}")
    return tables


def _state(path: Path) -> list[int] | None:
    state: list[int] = []
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            status = file.stat()
        except OSError:
            continue
        state += [status.st_mtime_ns, status.st_size]
    return state or None


def _cached(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_duckdb(path: Path) -> list[tuple[str, str, dict[str, str]]] | None:
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            rows = connection.execute(
                "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = current_database() AND NOT internal ORDER BY 1, 2, column_index"
            ).fetchall()
    except duckdb.Error:
        return None
    return _by_table(rows)


def _by_table(rows: Iterable[tuple[str, str, str, str]]) -> list[tuple[str, str, dict[str, str]]]:
    from conversions_assets.warehouse.dialect import bigquery_type

    tables: dict[tuple[str, str], dict[str, str]] = {}
    for dataset, table, column, kind in rows:
        tables.setdefault((dataset, table), {})[column] = bigquery_type(kind)
    return [(dataset, table, columns) for (dataset, table), columns in tables.items()]
