"""What the service account must be allowed: docs/deploy.md names what the code asks of BigQuery, and no more."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from google.cloud.bigquery import QueryJob
from sqlglot import exp

from conversions_assets.contract import suite
from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.dialect import parse_bigquery
from conversions_assets_tests.shop import day, make_shop, order
from conversions_assets_tests.warehouse.api_methods import PAGE, api_method, called_methods, listed_methods
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

# What a statement needs of a table: https://cloud.google.com/bigquery/docs/access-control
PERMISSIONS = {exp.Create: "create", exp.Alter: "update", exp.Insert: "updateData", exp.Update: "updateData"} | {
    exp.Delete: "updateData",
    exp.Merge: "updateData",
    exp.Drop: "delete",
}

OF_LOADS = {"jobs.query"}
"""Only dlt calls it: the tests of the CRMs see that it is listed."""


@pytest.fixture
def shop(bigquery_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BigQueryShop:
    """A shop whose jobs take their time, as BigQuery's do: the emulator's are done when they are sent."""
    monkeypatch.setattr(suite, "validate", lambda *_: suite.Validation(()))
    monkeypatch.setattr(suite, "preload", lambda: None)
    send = EmulatedClient.query

    def still_running(client: EmulatedClient, *args: Any, **options: Any) -> QueryJob:
        job = send(client, *args, **options)
        job._properties["status"] = {"state": "RUNNING"}
        return job

    client = EmulatedClient(bigquery_address, re.sub(r"[^a-z0-9-]", "-", tmp_path.name.lower()))
    shop = BigQueryShop(tmp_path, make_shop(tmp_path).conversion, client=client)
    shop.set_orders([order("1", "2026-01-25T10:00")])
    monkeypatch.setattr(EmulatedClient, "query", still_running)
    return shop


def test_the_page_lists_the_methods_that_the_code_calls_and_what_its_statements_need(shop: BigQueryShop) -> None:
    with called_methods() as called:
        shop.update(day("01-25"))
        with shop.open() as warehouse:
            warehouse.load("fresh", pd.DataFrame({"id": ["a"]}), {"id": "STRING"})
            [tree] = parse_bigquery("SELECT id FROM fresh")
            warehouse.describe(Statement(tree))
            assert list(warehouse.frame(Statement(tree))["id"]) == ["a"]
            warehouse.create_table(Table("conversions", "order"), {"id": "STRING", "later": "STRING"})
            assert set(warehouse.tables("shop")) == {"orders"}
    assert set(called) == set(listed_methods()) - OF_LOADS

    assert shop.client is not None
    written, needed = set(), {"bigquery.tables.getData"}
    for request in shop.client.requests:
        for tree in parse_bigquery(request.sql):
            target = tree.this.find(exp.Table) if type(tree) in PERMISSIONS else None
            if target is not None and target.db not in ("", "shop"):
                written.add(target.db)
                needed.add(f"bigquery.tables.{PERMISSIONS[type(tree)]}")
    page = PAGE.read_text(encoding="utf-8")
    [role] = re.findall(r"roles create conversionsWriter.*?--permissions ([\w.,]+)", page, re.DOTALL)
    of_methods = {permission for permissions in listed_methods().values() for permission in permissions}
    assert set(role.split(",")) == needed | of_methods - {"bigquery.jobs.create", "bigquery.datasets.create"}
    [datasets] = re.findall(r"^ +for dataset in ([\w ]+); do # written", page, re.MULTILINE)
    assert written <= set(datasets.split())


@pytest.mark.parametrize(
    ("verb", "path", "method"),
    [
        ("POST", "/upload/bigquery/v2/projects/p/jobs?uploadType=resumable", "jobs.insert"),
        ("GET", "/bigquery/v2/projects/p/jobs/j?location=EU", "jobs.get"),
        ("DELETE", "/bigquery/v2/projects/p/datasets/d/tables/t", "tables.delete"),
        ("POST", "/bigquery/v2/projects/p/datasets/d/undelete", "POST /datasets/d/undelete"),
    ],
)
def test_a_request_is_known_by_its_method(verb: str, path: str, method: str) -> None:
    assert api_method(verb, f"https://bigquery.googleapis.com{path}") == method
