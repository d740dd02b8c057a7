"""A table of leads on BigQuery's emulator, for tests of the engine."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets.warehouse.dialect import parse_bigquery
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

LEAD = Table("conversions", "lead")
COLUMNS = {"id": "STRING", "day": "DATE", "value": "FLOAT64", "params": "ARRAY<STRUCT<key STRING, value STRING>>"}
PATIENCE = timedelta(seconds=3)


@pytest.fixture
def client(bigquery_address: str, tmp_path: Path) -> EmulatedClient:
    """A project of the test's own."""
    return EmulatedClient(bigquery_address, tmp_path.name.replace("_", "-").lower())


@pytest.fixture
def warehouse(client: EmulatedClient) -> Iterator[BigQueryWarehouse]:
    with BigQueryWarehouse(client, PATIENCE) as warehouse:
        yield warehouse


def bigquery(sql: str, **params: object) -> Statement:
    [tree] = parse_bigquery(sql)
    return Statement(tree, params)


def lead(id: str) -> Statement:
    return bigquery("INSERT INTO conversions.lead (id, day) VALUES (@id, DATE '2026-01-01')", id=id)


def ids(warehouse: BigQueryWarehouse) -> list[str]:
    return [row["id"] for row in warehouse.query(bigquery("SELECT id FROM conversions.lead ORDER BY id"))]
