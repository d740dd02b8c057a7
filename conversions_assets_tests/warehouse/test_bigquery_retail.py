"""Months of a real online shop (../shared/data/online_retail.parquet) on both engines, row by row."""

import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from conversions_assets.contract.query import read_query
from conversions_assets.project import Project
from conversions_assets.warehouse.base import Table
from conversions_assets_tests.engines import ALL
from conversions_assets_tests.shop import UNGUARDED, Shop, make_shop
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop, put_table, shop_of
from conversions_assets_tests.warehouse.comparing import all_tables, comparable_rows
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

DATA = Path(__file__).parents[3] / "shared" / "data" / "online_retail.parquet"
SQL = Path(__file__).parents[1] / "scenarios" / "online_retail.sql"
FIRST_DAY, W, ONE_DAY = date(2010, 12, 1), timedelta(days=30), timedelta(days=1)
LOADS = [date(2011, 3, 1), date(2011, 3, 4), date(2011, 3, 18), date(2011, 4, 15)]
LINES = Table("retail", "lines")
COLUMNS = {
    "InvoiceNo": ("STRING", pa.string()),
    "StockCode": ("STRING", pa.string()),
    "Quantity": ("INT64", pa.int64()),
    "InvoiceDate": ("DATETIME", pa.timestamp("us")),
    "UnitPrice": ("FLOAT64", pa.float64()),
    "CustomerID": ("FLOAT64", pa.float64()),
    "Country": ("STRING", pa.string()),
}

pytestmark = [
    pytest.mark.bigquery,
    pytest.mark.skipif(not ALL, reason="months of a shop on the emulator: make soak-bigquery"),
    pytest.mark.skipif(
        not DATA.exists() and not os.environ.get("CONVERSIONS_REQUIRE_SHARED"), reason="needs ../shared/data"
    ),
]


def _put(shop: Shop, load: date) -> None:
    """All lines of the days before a load."""
    schema = pa.schema([(name, kind) for name, (_, kind) in COLUMNS.items()])
    lines = parquet.read_table(DATA, columns=list(COLUMNS)).cast(schema)
    lines = lines.filter(pc.less(lines["InvoiceDate"], pa.scalar(datetime.combine(load, datetime.min.time()))))
    shop.load += 1
    if isinstance(shop, BigQueryShop):
        assert shop.client is not None
        put_table(shop.client, LINES, {name: kind for name, (kind, _) in COLUMNS.items()}, lines)
        return
    with duckdb.connect(str(shop.path)) as connection:
        connection.register("arriving", lines)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {LINES.dataset}")
        connection.execute(f"CREATE OR REPLACE TABLE {LINES} AS SELECT * FROM arriving")


def _months(shop: Shop) -> Iterator[Any]:
    """The first load over all days, the later ones over their windows; what a scan finds, and what is there then."""
    project = Project(timezone="Europe/London", currency="GBP", thresholds=UNGUARDED)
    shop.configure(query=read_query(SQL), start_date=FIRST_DAY, window_days=W.days, project=project)
    for load in LOADS:
        shop.now = datetime.combine(load, datetime.min.time(), ZoneInfo("Europe/London")) + timedelta(hours=6)
        _put(shop, load)
        scanned = shop.scan()
        yield scanned and (scanned.rows, scanned.missing, scanned.changed)
        published = shop.update(FIRST_DAY if load == LOADS[0] else load - W, load - ONE_DAY)
        yield comparable_rows(published.changes), comparable_rows(published.totals), published.replay
    shop.audit()
    yield all_tables(shop)


def test_a_real_shop_is_told_alike_by_both_engines(bigquery_client: EmulatedClient, tmp_path: Path) -> None:
    folder = tmp_path / "bigquery"
    folder.mkdir()
    on_bigquery, on_duckdb = shop_of(folder, bigquery_client), make_shop(tmp_path)
    for told, expected in zip(_months(on_bigquery), _months(on_duckdb), strict=True):
        assert told == expected
    ledger = on_duckdb.ledger()
    assert {row["reason"] for row in ledger} >= {"PUBLISHED", "VALUE_CHANGED", "VANISHED"}
    assert on_duckdb.drift()
