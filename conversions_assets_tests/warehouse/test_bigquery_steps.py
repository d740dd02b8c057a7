"""Runs of Dagster on BigQuery's emulator, through the resource of production."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg
import pytest
from dagster_gcp import BigQueryResource

from conversions_assets.assets import warehouse as resource
from conversions_assets.contract.columns import STORED
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets_tests.deployment import SHOP_YAML, Deployment, make_deployment
from conversions_assets_tests.shop import order
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop, shop_of
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

pytestmark = pytest.mark.bigquery
STORED_ORDERS = Table("conversions", "order")


@pytest.fixture
def shop(tmp_path: Path, bigquery_client: EmulatedClient) -> BigQueryShop:
    return shop_of(tmp_path, bigquery_client)


@pytest.fixture
def deployment(tmp_path: Path, shop: BigQueryShop, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The shop's orders, and a project that runs on BigQuery."""
    shop.set_orders([order("a", "2026-01-29T10:00"), order("b", "2026-01-30T10:00")])
    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GCP_PROJECT", "acme")
    monkeypatch.setattr(BigQueryResource, "get_client", lambda _: nullcontext(shop.client))
    monkeypatch.setattr(resource, "WAIT_SECONDS", 0)
    deployment = make_deployment(tmp_path / "deployment")
    deployment.write({"crm/shop/defs.yaml": SHOP_YAML.replace("load_id: load_id", "updated_at: created")})
    return deployment


def test_r13_a_step_that_met_another_run_begins_anew_and_no_row_is_there_twice(
    deployment: Deployment, shop: BigQueryShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run commits after this one has looked at the table and before it writes."""
    met: list[str] = []
    real = BigQueryWarehouse.transaction

    @contextmanager
    def transaction(self: BigQueryWarehouse) -> Iterator[None]:
        with real(self):
            yield
            if not met:
                met.append("another run")
                with shop.open() as other:
                    # The emulator tells that a table is another one by its columns alone.
                    other.create_table(STORED_ORDERS, STORED | {"note": "STRING"})

    monkeypatch.setattr(BigQueryWarehouse, "transaction", transaction)
    result = deployment.launch("2026-01-29", "2026-01-30")
    assert result.success
    steps = [event.step_key for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]
    assert (met, steps) == (["another run"], ["conversions__order"])
    assert [row["id"] for row in shop.stored()] == ["a", "b"]
    assert sorted(shop.published()) == ["a", "b"]
    assert len(shop.ledger()) == 2
