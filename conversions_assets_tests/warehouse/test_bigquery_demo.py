"""The demo's company on both engines, row by row: the end of its year, and in `make soak-bigquery` all of it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from conversions_assets.contract.query import read_query
from conversions_assets.demo.crm import begin, play
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets.demo.history import Load, apply_load, history
from conversions_assets.demo.truth import ORDER_COLUMNS
from conversions_assets.project import PACKAGE, load_project
from conversions_assets.warehouse.base import Table
from conversions_assets_tests.engines import ALL
from conversions_assets_tests.shop import Shop, make_shop
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop, put_table, shop_of
from conversions_assets_tests.warehouse.comparing import all_tables, comparable_rows
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

ARROW = {"STRING": pa.string(), "FLOAT64": pa.float64(), "BOOL": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC")}
CONTACT = dict.fromkeys(
    ("id", "country", "jobtitle", "hs_analytics_source", "lifecyclestage", "ga_client_id"), "STRING"
)
DEAL = dict.fromkeys(("id", "dealstage", "deal_currency_code"), "STRING")
COLUMNS = {
    Table("shop", "orders"): ORDER_COLUMNS,
    Table("hubspot", "contacts"): CONTACT | {"created_at": "TIMESTAMP", "_deleted": "BOOL", "_merged_into": "STRING"},
    Table("hubspot", "deals"): DEAL | {"amount": "FLOAT64", "closedate": "TIMESTAMP", "_deleted": "BOOL"},
    Table("hubspot", "deals_contacts"): {"deal_id": "STRING", "contact_id": "STRING", "_deleted": "BOOL"},
}
"""The raw tables, with the columns that the shipped queries read."""
Rows = Sequence[Mapping[str, Any]]


@cache
def _states() -> Sequence[tuple[Load, Mapping[Table, Rows]]]:
    """What the raw tables hold after each load."""
    orders: list[dict[str, object]] = []
    world, found = begin(), []
    hubspot = HubSpot(world)
    for load in history():
        play(world, load)
        orders = apply_load(orders, load)
        of_hubspot = {
            name: [_record(row) for row in hubspot.truth(name)] for name in ("contacts", "deals", "deals_contacts")
        }
        tables = {Table("hubspot", name): rows for name, rows in of_hubspot.items()} | {Table("shop", "orders"): orders}
        found.append((load, tables))
    return found


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {"_deleted": False, **row.get("properties", {}), **row}
    if "createdAt" in told:
        told["created_at"] = datetime.fromisoformat(told["createdAt"])
    if told.get("closedate"):
        told["closedate"] = datetime.fromisoformat(told["closedate"])
    if told.get("amount"):
        told["amount"] = float(told["amount"])
    return told


def _put(shop: Shop, tables: Mapping[Table, Rows]) -> None:
    """Let the raw tables hold these rows."""
    shop.load += 1
    for table, rows in tables.items():
        schema = pa.schema([(name, ARROW[kind]) for name, kind in COLUMNS[table].items()])
        arriving = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
        if isinstance(shop, BigQueryShop):
            assert shop.client is not None
            put_table(shop.client, table, COLUMNS[table], arriving)
            continue
        with duckdb.connect(str(shop.path)) as connection:
            connection.register("arriving", arriving)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.dataset}")
            connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM arriving")


def _use(shop: Shop, conversion: str) -> Shop:
    """The shop with a shipped conversion, without what its value is predicted from."""
    query = read_query(PACKAGE / "defs" / "conversions" / conversion / f"{conversion}.sql")
    shop.configure(name=conversion, query=query, window_days=30, project=load_project())
    return shop


def _months(shop: Shop, loads: Sequence[int], first: date) -> Iterator[Any]:
    """The first of the loads over all days from `first` on, the later ones over their windows; what is there then."""
    for number in loads:
        load, tables = _states()[number]
        shop.now = load.at
        read = shop.conversion.query.tables
        _put(shop, {table: rows for table, rows in tables.items() if table in read})
        today = shop.conversion.project.local_date(load.at)
        begins = first if number == loads[0] else max(first, date.fromordinal(today.toordinal() - 30))
        published = shop.update(begins, date.fromordinal(today.toordinal() - 1))
        yield comparable_rows(published.changes), comparable_rows(published.totals), published.replay
    shop.audit()
    yield all_tables(shop)


CASES = [
    pytest.param("order_confirmed", (0, 3), date(2025, 12, 20), id="ten days of orders"),
    *(
        pytest.param(name, (0, 1, 2, 3), date(2025, 1, 1), id=f"the year of {name}", marks=pytest.mark.bigquery)
        for name in ("order_confirmed", "deal_closed", "lead")
        if ALL
    ),
]


@pytest.mark.parametrize(("conversion", "loads", "first"), CASES)
def test_the_demo_is_told_alike_by_both_engines(
    bigquery_client: EmulatedClient, tmp_path: Path, conversion: str, loads: Sequence[int], first: date
) -> None:
    folder = tmp_path / "bigquery"
    folder.mkdir()
    on_bigquery, on_duckdb = _use(shop_of(folder, bigquery_client), conversion), _use(make_shop(tmp_path), conversion)
    for told, expected in zip(_months(on_bigquery, loads, first), _months(on_duckdb, loads, first), strict=True):
        assert told == expected
    ledger = all_tables(on_duckdb)[str(on_duckdb.conversion.ledger)]
    assert {row["reason"] for row in ledger} > {"PUBLISHED", "VANISHED"}
