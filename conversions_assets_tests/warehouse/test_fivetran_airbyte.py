"""docs/crm/fivetran-airbyte.md: its YAML and SQL, over tables as the two loaders make them in BigQuery."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conversions_assets.__main__ import main
from conversions_assets.adjustment.guard import _flagged_ids
from conversions_assets.automation.loads import read_loads
from conversions_assets.contract.validate import preview
from conversions_assets.definitions import read_deployment, warehouse_resource
from conversions_assets.project import Clock, read_warehouse_settings
from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.schemas import read_schema_files
from conversions_assets_tests.crm.conformance import DOCS, EXAMPLE_YAML
from conversions_assets_tests.deployment import Deployment, make_deployment
from conversions_assets_tests.warehouse.bigquery_loads import emulated
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

__all__ = ["emulated"]
TABLES = """
CREATE TABLE fivetran_hubspot.deal (deal_id INT64, property_amount FLOAT64, property_deal_currency_code STRING,
  property_hs_v_2_date_entered_closedwon TIMESTAMP, _fivetran_deleted BOOL, _fivetran_synced TIMESTAMP);
CREATE TABLE fivetran_hubspot.contact
  (id INT64, property_ga_client_id STRING, _fivetran_deleted BOOL, _fivetran_synced TIMESTAMP);
CREATE TABLE fivetran_hubspot.deal_contact (deal_id INT64, contact_id INT64, type_id INT64, _fivetran_synced TIMESTAMP);
CREATE TABLE airbyte_salesforce.Opportunity (_airbyte_raw_id STRING, _airbyte_extracted_at TIMESTAMP,
  _airbyte_meta JSON, _airbyte_generation_id INT64, Id STRING, IsWon BOOL, IsDeleted BOOL, Amount NUMERIC,
  CurrencyIsoCode STRING, LastStageChangeDate TIMESTAMP, GA_Client_Id__c STRING, SystemModstamp TIMESTAMP)
  PARTITION BY DATE(_airbyte_extracted_at) CLUSTER BY Id, _airbyte_extracted_at;
"""
SYNC = "TIMESTAMP '2026-01-30 05:00:00+00'"
WON = "TIMESTAMP '2026-01-29 10:00:00+00'"
ROWS = f"""
INSERT INTO fivetran_hubspot.deal VALUES
  (1, 100.5, 'EUR', {WON}, FALSE, {SYNC}), (2, 50.0, 'EUR', {WON}, TRUE, {SYNC}), (3, 7.0, 'USD', NULL, FALSE, {SYNC});
INSERT INTO fivetran_hubspot.contact VALUES
  (11, '1.2', FALSE, {SYNC}), (12, NULL, FALSE, {SYNC}), (13, '5.6', TRUE, {SYNC});
INSERT INTO fivetran_hubspot.deal_contact VALUES (1, 11, 3, {SYNC}), (1, 12, 3, {SYNC}), (1, 13, 3, {SYNC});
INSERT INTO airbyte_salesforce.Opportunity
  (_airbyte_extracted_at, Id, IsWon, IsDeleted, Amount, CurrencyIsoCode, LastStageChangeDate, GA_Client_Id__c) VALUES
  ({SYNC}, '006A', TRUE, FALSE, 12.5, 'EUR', {WON}, '3.4'), ({SYNC}, '006B', TRUE, TRUE, 1, 'EUR', {WON}, NULL),
  ({SYNC}, '006C', FALSE, FALSE, 1, 'EUR', {WON}, NULL)
"""
NOW = datetime(2026, 1, 31, 6, tzinfo=UTC)


@pytest.fixture
def deployment(emulated: EmulatedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The page's two datasets, and a conversion `<dataset>_won` over each, in BigQuery."""
    page = (DOCS / "fivetran-airbyte.md").read_text(encoding="utf-8")
    declared, queries = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "sql"))
    files = {}
    for yaml, sql in zip(declared, queries, strict=True):
        [dataset] = re.findall(r"dataset: (\w+)", yaml)
        emulated.create_dataset(dataset)
        name = f"{dataset}_won"
        files[f"crm/{dataset}/defs.yaml"] = yaml
        files[f"conversions/{name}/defs.yaml"] = EXAMPLE_YAML.format(name=name)
        files[f"conversions/{name}/{name}.sql"] = sql
    for statement in f"{TABLES}{ROWS}".split(";\n"):
        if statement.strip():
            emulated.query(statement).result()
    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GCP_PROJECT", emulated.project)
    made = make_deployment(tmp_path, files)
    made.point()
    return made


def test_the_examples_are_checked_by_the_warehouses_schema_run_and_notice_a_sync(
    deployment: Deployment, emulated: EmulatedClient
) -> None:
    package = ["--package", str(deployment.root / deployment.module)]
    assert main([*package, "schemas"]) == 0
    schemas = read_schema_files(deployment.defs)
    assert schemas[Table("airbyte_salesforce", "Opportunity")]["Amount"] == "NUMERIC"
    assert schemas[Table("fivetran_hubspot", "deal")]["_fivetran_synced"] == "TIMESTAMP"
    read = read_deployment(deployment.root / deployment.module)
    assert [finding for finding in read.findings() if "shop.orders" not in str(finding)] == []
    won = {c.query.tables[0].dataset: c for c in read.conversions if c.name.endswith("_won")}
    with warehouse_resource(read_warehouse_settings()).open() as warehouse:
        shown = {name: preview(warehouse, conversion, 5, Clock(NOW, replaced=True)) for name, conversion in won.items()}
        loads = read_loads(warehouse, list(won.values()), read.catalog.declared, {})
        # A soft delete moves the load of its table, and passes the guard (R19).
        emulated.query(
            "UPDATE fivetran_hubspot.deal SET _fivetran_deleted = TRUE, "
            "_fivetran_synced = TIMESTAMP '2026-01-31 05:00:00+00' WHERE deal_id = 1"
        ).result()
        later = read_loads(warehouse, list(won.values()), read.catalog.declared, {})
        flagged = {}
        for name, conversion in won.items():
            query = _flagged_ids(warehouse, conversion, read.catalog.declared)
            assert query is not None
            flagged[name] = sorted(row["id"] for row in warehouse.query(Statement(query)))
    columns = ("id", "value", "currency", "client_id", "user_id", "refused")
    rows = {name: [tuple(row[column] for column in columns) for row in of.rows] for name, of in shown.items()}
    assert rows == {
        "fivetran_hubspot": [("1", 100.5, "EUR", "yes", "yes", "")],
        "airbyte_salesforce": [("006A", 12.5, "EUR", "yes", "no", "")],
    }
    assert {str(table) for table in loads if loads[table] != later[table]} == {"fivetran_hubspot.deal"}
    assert flagged == {"fivetran_hubspot": ["1", "2"], "airbyte_salesforce": ["006B"]}
