"""The dry run: which queries BigQuery refuses, what they would read, and what that costs in a month."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from conversions_assets import __main__ as command_line
from conversions_assets.contract import dry_run as dry
from conversions_assets.contract.dry_run import MIB, TIB, DryRun, dry_run
from conversions_assets.project import BigQueryCosts, Clock
from conversions_assets.warehouse.base import Statement
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets_tests.deployment import ORDER_SQL, Deployment, make_deployment
from conversions_assets_tests.shop import Shop, day, make_shop, order
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop, shop_of
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.statements import statements_of, tables_of

NOW = "2026-01-31T07:00:00+00:00"


@pytest.fixture
def shop(tmp_path: Path, bigquery_client: EmulatedClient) -> BigQueryShop:
    return shop_of(tmp_path, bigquery_client)


@pytest.fixture
def bigquery(tmp_path: Path, shop: BigQueryShop, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment whose warehouse is the emulator."""
    deployment = make_deployment(tmp_path / "deployment")
    deployment.now = NOW
    deployment.point()
    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GCP_PROJECT", "acme")
    monkeypatch.setattr(command_line, "warehouse_resource", lambda _: shop)
    return deployment


def asked(deployment: Deployment, *arguments: str) -> int:
    return command_line.main(["--package", str(deployment.root / deployment.module), "dry-run", *arguments])


class _Priced:
    """A session that reads so many bytes for each day of a range; `sent`: what it was asked."""

    def __init__(self, per_day: int) -> None:
        self.per_day, self.sent = per_day, list[Statement]()

    def describe(self, _: Statement) -> dict[str, str]:
        return {"id": "STRING", "client_id": "STRING", "created": "TIMESTAMP", "value": "FLOAT64"}

    def bytes_of(self, statement: Statement) -> int:
        self.sent.append(statement)
        days = min((statement.params["end_date"] - statement.params["start_date"]).days, 12)
        return self.per_day * days


def priced(shop: Shop, per_day: int, **settings: Any) -> DryRun:
    warehouse: Any = _Priced(per_day)
    project = shop.conversion.project.model_copy(update={"bigquery": BigQueryCosts(price_per_tib=5, loads_per_day=2)})
    return dry_run(warehouse, replace(shop.conversion, project=project, **settings), Clock(shop.now, replaced=True))


OWN = 10 * MIB * (dry.TABLES_OF_RERUN + 2 * (dry.TABLES_OF_SCAN + dry.TABLES_OF_RERUN))
"""What a day with 2 loads bills for the tables of a conversion."""


def test_a_month_is_each_day_once_and_what_each_load_asks_for(tmp_path: Path) -> None:
    found = priced(make_shop(tmp_path), TIB)
    # A day is asked for with a margin of a day on both sides; the window of 10 days with the open day and far ahead.
    assert (found.day, found.window) == (2 * TIB, 12 * TIB)
    assert found.month == 30 * ((2 + 2 * 3 * 12) * TIB + OWN)
    assert found.price == found.month / TIB * 5
    assert "all" in dry.shown([found])
    assert "2 loads a day" in dry.shown([found])


def test_a_small_table_counts_what_bigquery_bills_at_least(tmp_path: Path) -> None:
    assert priced(make_shop(tmp_path), 1).month == 30 * ((1 + 2 * 3) * 10 * MIB + OWN)


def test_what_a_scan_and_a_rerun_name_of_our_tables_is_what_the_estimate_counts(shop: BigQueryShop) -> None:
    shop.set_orders([order("a", "2026-01-29T10:00"), order("b", "2026-01-30T10:00")])
    shop.update(day("01-29"), day("01-30"))
    shop.set_orders([order("a", "2026-01-29T10:00", 11.0), order("b", "2026-01-30T10:00")])
    assert _named_by(shop, shop.scan) == dry.TABLES_OF_SCAN
    assert _named_by(shop, lambda: shop.update(day("01-29"), day("01-30"))) == dry.TABLES_OF_RERUN


def test_a_window_beyond_the_limit_of_a_job_is_told_before_it_is_refused(tmp_path: Path) -> None:
    shop = make_shop(tmp_path)
    assert priced(shop, 100 * MIB, maximum_bytes_billed=1200 * MIB).over_limit is None
    told = priced(shop, 100 * MIB, maximum_bytes_billed=1199 * MIB).over_limit
    assert told == (
        "order: a run over the window bills 1,200.0 MiB, maximum_bytes_billed is 1,199.0 MiB: raise it, or let the "
        "query read fewer days"
    )


def test_nothing_is_run_and_the_query_is_sent_as_a_run_sends_it(shop: BigQueryShop) -> None:
    assert isinstance(shop.client, EmulatedClient)
    before = len(shop.client.requests)
    with shop.open() as warehouse:
        found = dry_run(warehouse, shop.conversion, Clock(shop.now, replaced=True))
        assert isinstance(warehouse, BigQueryWarehouse)
        assert not warehouse.jobs
    assert found.day == 0  # the emulator counts no bytes
    requests = shop.client.requests[before:]
    assert [request.config["dryRun"] for request in requests] == [True] * 4
    shop.convert(shop.now.date())
    staging = next(request.sql for request in shop.client.requests if "TEMPORARY TABLE staged" in request.sql)
    wrapped = requests[1].sql
    assert wrapped.split("WHERE q.created")[0] in staging


def test_the_command_shows_a_line_for_each_conversion(bigquery: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    bigquery.write({"conversions/order/order.sql": ORDER_SQL.replace("shop.orders", "shop.orders AS o")})
    assert asked(bigquery) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["conversion", "a", "day", "the", "window", "30", "days", "at", "most", "USD"]
    assert shown[1].split()[:3] == ["order", "0.0", "MiB"]
    assert shown[2].startswith("all")
    assert asked(bigquery, "nothing") == 2


def test_a_query_that_bigquery_refuses_is_shown_with_its_place(
    bigquery: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    bigquery.write({"conversions/order/order.sql": ORDER_SQL.replace("shop.orders", "shop.no_orders")})
    assert asked(bigquery, "order") == 1
    assert "order.sql:" in capsys.readouterr().out


def test_under_duckdb_the_command_says_why_it_has_nothing_to_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = make_deployment(tmp_path)
    deployment.point()
    assert asked(deployment) == 2
    assert "bills nothing" in capsys.readouterr().err
    assert not [key for key in _checks(deployment) if key.name == "dry_run"]


def test_the_check_in_the_ui_says_what_a_query_would_bill(bigquery: Deployment, shop: BigQueryShop) -> None:
    definitions = bigquery.load()
    assert [key.asset_key.path for key in _checks(bigquery) if key.name == "dry_run"] == [["conversions", "order"]]
    key = dg.AssetCheckKey(dg.AssetKey(["conversions", "order"]), "dry_run")
    check = definitions.resolve_asset_graph().get(key)
    assert check is not None
    [dry_run_definition] = [d for d in definitions.asset_checks or () if key in getattr(d, "check_keys", ())]
    result = dg.Definitions(
        asset_checks=[dry_run_definition], resources={"warehouse": dg.ResourceDefinition.hardcoded_resource(shop)}
    )
    done = result.resolve_implicit_global_asset_job_def().execute_in_process()
    [evaluation] = done.get_asset_check_evaluations()
    assert evaluation.passed
    tables = 1 + 24 * 3 + dry.TABLES_OF_RERUN + 24 * (dry.TABLES_OF_SCAN + dry.TABLES_OF_RERUN)
    assert evaluation.metadata["bytes billed in 30 days, at most"].value == 30 * tables * 10 * MIB


def _named_by(shop: BigQueryShop, work: Callable[[], object]) -> int:
    assert isinstance(shop.client, EmulatedClient)
    before = len(shop.client.requests)
    work()
    statements = [tree for request in shop.client.requests[before:] for tree in statements_of(request)]
    return sum(name != "shop.orders" for tree in statements for name in tables_of(tree))


def _checks(deployment: Deployment) -> list[dg.AssetCheckKey]:
    return list(deployment.load().resolve_asset_graph().asset_check_keys)
