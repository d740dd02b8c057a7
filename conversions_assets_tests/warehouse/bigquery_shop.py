"""The tiny shop of the rule tests on BigQuery: the same runs, the same questions, in a project of its own."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow
import sqlglot
from google.cloud.bigquery import LoadJobConfig, SchemaField
from google.cloud.bigquery import Table as ApiTable
from google.cloud.bigquery.table import Row
from pyarrow import parquet
from sqlglot import exp

from conversions_assets.warehouse.base import Table, Warehouse
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets_tests.shop import ORDERS, Shop, make_shop
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.real_client import RealClient

TYPES = {"VARCHAR": "STRING", "TIMESTAMPTZ": "TIMESTAMP", "DOUBLE": "FLOAT64", "BOOLEAN": "BOOL"}
PATIENCE = timedelta(seconds=5)


@dataclass
class BigQueryShop(Shop):
    """A shop whose warehouse is the client's project."""

    client: EmulatedClient | RealClient | None = None

    def open(self) -> AbstractContextManager[Warehouse]:
        assert self.client is not None
        return BigQueryWarehouse(self.client, patience=PATIENCE)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run DuckDB SQL, as the tests write it, in BigQuery."""
        return [told(row) for row in self._rows(to_bigquery(sql))]

    def set_orders(self, rows: Iterable[Mapping[str, Any]]) -> None:
        assert self.client is not None
        self.load += 1
        self.client.create_dataset("shop", exists_ok=True)
        columns = ", ".join(f"{name} {_type(kind)}" for name, kind in ORDERS.items())
        self._rows(f"CREATE OR REPLACE TABLE shop.orders ({columns})")
        values = [f"({', '.join(_literal(row[name]) for name in ORDERS)})" for row in rows]
        if values:
            self._rows(f"INSERT INTO shop.orders ({', '.join(ORDERS)}) VALUES {', '.join(values)}")

    def _rows(self, sql: str) -> Any:
        assert self.client is not None
        job = self.client.query(sql, job_retry=None)
        # What a test asks is no job of ours.
        self.client.requests.pop()
        return job.result(timeout=PATIENCE.total_seconds(), job_retry=None)


def make_bigquery_shop(folder: Path, address: str, project: str) -> BigQueryShop:
    """An empty shop in a project of the emulator; otherwise as make_shop."""
    return shop_of(folder, EmulatedClient(address, project))


def shop_of(folder: Path, client: EmulatedClient | RealClient) -> BigQueryShop:
    """An empty shop in the client's project; otherwise as make_shop."""
    like = make_shop(folder)
    shop = BigQueryShop(folder, like.conversion, client=client)
    shop.set_orders([])
    return shop


def told(row: Row) -> dict[str, Any]:
    """A row of BigQuery as the tests know it: an empty array is what it stores in the place of NULL."""
    return {name: None if value == [] else value for name, value in row.items()}


def to_bigquery(sql: str) -> str:
    """DuckDB SQL of the tests in BigQuery's words, with what sqlglot leaves."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    if isinstance(tree, exp.Insert) and tree.args.get("by_name"):
        assert isinstance(tree.expression, exp.Query)
        names = [exp.to_identifier(name) for name in tree.expression.named_selects]
        tree.set("by_name", False)
        tree.set("this", exp.Schema(this=tree.this, expressions=names))
    if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
        tree.set("where", exp.Where(this=exp.true()))
    for series in tree.find_all(exp.Table):
        # range(9) AS t(n): UNNEST names its column, not a table
        alias = series.args.get("alias")
        if isinstance(series.this, exp.Func) and alias and alias.columns:
            series.set("alias", exp.TableAlias(this=alias.columns[0]))
    return tree.sql(dialect="bigquery")


def put_table(
    client: EmulatedClient | RealClient, table: Table, columns: Mapping[str, str], rows: pyarrow.Table
) -> None:
    """Let a table hold these rows and no others, by a load job."""
    client.create_dataset(table.dataset, exists_ok=True)
    # The emulator makes no table for a load.
    target = f"{client.project}.{table}"
    client.delete_table(target, not_found_ok=True)
    client.create_table(ApiTable(target, [SchemaField(name, kind) for name, kind in columns.items()]))
    file = BytesIO()
    parquet.write_table(rows, file)
    file.seek(0)
    client.load_table_from_file(file, target, job_config=LoadJobConfig(source_format="PARQUET")).result()


def _type(duckdb_type: str) -> str:
    return TYPES.get(duckdb_type, "ARRAY<STRUCT<key STRING, value STRING>>")


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_pair(p) for p in value)}]"
    if isinstance(value, float) and not isfinite(value):
        return f"CAST('{value}' AS FLOAT64)"
    return exp.convert(value).sql(dialect="bigquery")


def _pair(pair: Mapping[str, str]) -> str:
    # Names of a STRUCT know no case.
    key, value = (_literal(found) for _, found in sorted((name.lower(), found) for name, found in pair.items()))
    return f"STRUCT({key} AS key, {value} AS value)"
