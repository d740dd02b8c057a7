"""Runs as quick as those of the adjustment rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conversions_assets.warehouse.base import Warehouse
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets_tests.adjustment.conftest import QuickWarehouse, quick_runs
from conversions_assets_tests.prediction.bigquery_crm import crm_on_bigquery
from conversions_assets_tests.prediction.crm import Crm, make_crm
from conversions_assets_tests.warehouse.bigquery_shop import PATIENCE


@pytest.fixture(scope="package", autouse=True)
def _quick_runs() -> Iterator[None]:
    with quick_runs():
        yield


@pytest.fixture
def crm_settings() -> dict[str, Any]:
    """What `crm` is made with; a module whose tests need others has a fixture of this name."""
    return {}


@pytest.fixture
def crm(request: pytest.FixtureRequest, tmp_path: Path, crm_settings: dict[str, Any]) -> Crm:
    """An empty CRM; the clock stands 100 days and 6 hours after its start."""
    if getattr(request, "param", "duckdb") == "bigquery":
        return crm_on_bigquery(tmp_path, request.getfixturevalue("bigquery_client"), **crm_settings)
    made = make_crm(tmp_path, **crm_settings)
    made.warehouse = QuickWarehouse
    return made


@pytest.fixture
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """A session with nothing in it."""
    warehouse: Warehouse
    if getattr(request, "param", "duckdb") == "bigquery":
        warehouse = BigQueryWarehouse(request.getfixturevalue("bigquery_client"), PATIENCE)
    else:
        warehouse = DuckDBWarehouse(tmp_path / "warehouse.duckdb")
    with warehouse:
        yield warehouse
