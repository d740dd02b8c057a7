"""CRMs into BigQuery, by dlt on the emulator: HubSpot in short; `make soak-crm` runs the whole suite of all four."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import google.auth
import pytest
from dlt.destinations.exceptions import DatabaseTransientException
from google.api_core.exceptions import Forbidden
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.bigquery.dbapi import DatabaseError

from conversions_assets.assets.crm import crm_raw_tables, load_crm
from conversions_assets.assets.warehouse import BigQueryWarehouseResource
from conversions_assets.crm.client import CrmError
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.serve import serving
from conversions_assets.warehouse.base import Table, WarehouseError, WarehouseFaultError
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets.warehouse.bigquery_merge import MergeOnce
from conversions_assets.warehouse.loading import bigquery_destination
from conversions_assets.warehouse.raw import incomplete_loads, newest_load
from conversions_assets_tests.crm.conformance import SOAK
from conversions_assets_tests.crm.history import happen
from conversions_assets_tests.crm.test_dynamics import TestDynamics as DynamicsSuite
from conversions_assets_tests.crm.test_hubspot import TestHubSpot as HubSpotSuite
from conversions_assets_tests.crm.test_pipedrive import TestPipedrive as PipedriveSuite
from conversions_assets_tests.crm.test_salesforce import TestSalesforce as SalesforceSuite
from conversions_assets_tests.warehouse.bigquery_loads import OnBigQuery, emulated, killed_at_merge
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

__all__ = ["emulated"]
CONTACTS = Table("hubspot", "contacts")


class HubSpot(OnBigQuery, HubSpotSuite):
    """HubSpot's suite, of which a test picks what it needs."""


@pytest.fixture
def hubspot(emulated: EmulatedClient) -> Iterator[HubSpot]:
    """HubSpot into a project of the test's own."""
    suite = HubSpot()
    with bigquery_destination(emulated.project, "EU") as destination:
        suite.use(emulated, destination)
        yield suite


def test_r19_a_history_with_a_kill_and_deletions_is_whole_in_the_end(
    hubspot: HubSpot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the kill and the next load the guard and the sensor read in `_loads` that the newest is not complete.

    The last load is that of the asset, over HTTP; it has no working folder yet.
    """
    fake, rng = FakeCrm(), Random(7)
    happen(fake.world, rng, 60)
    fake.gate.faults = [Fault("hubspot", "502", path=hubspot.probe, after=3, times=1)]
    first = hubspot.load(fake, tmp_path)
    fake.world.move_clock(fake.world.now + timedelta(hours=1))
    happen(fake.world, rng, 30)
    killed_at_merge(2, lambda: hubspot.load(fake, tmp_path, folder="lost"))
    declared = {raw.table: raw for raw in crm_raw_tables(find_crm("hubspot")(hubspot.settings), "hubspot")}
    with BigQueryWarehouse(hubspot.client, timedelta(seconds=5)) as warehouse:
        assert incomplete_loads(warehouse, [CONTACTS], declared) == [CONTACTS]
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        gone = fake.world.tables["company"].live.numbers[0]
        fake.world.apply([{"op": "erase", "kind": "company", "number": gone}])
        monkeypatch.setenv("CONVERSIONS_NOW", fake.world.now.isoformat())
        monkeypatch.setenv("CONVERSIONS_DUCKDB_PATH", str(tmp_path / "asset" / "none.duckdb"))
        monkeypatch.setenv("TOKEN", hubspot.secrets(fake)["token"])
        resource = BigQueryWarehouseResource(project=hubspot.client.project, location="EU")
        with serving(fake) as address:
            crm = find_crm("hubspot")(Settings(address=address))
            last = load_crm(crm, "hubspot", {"token": "TOKEN"}, resource, compare=True)
        assert incomplete_loads(warehouse, [CONTACTS], declared) == []
        assert newest_load(warehouse, [CONTACTS], declared) == last.load_id
    hubspot.check(fake, tmp_path)
    assert [row["complete"] for row in sorted(hubspot.rows(tmp_path, "_loads"), key=lambda row: row["load_id"])] == [
        True,
        False,
        True,
    ]
    assert last.counts["companies"][1] > first.counts["companies"][1]
    made = [request.sql for request in hubspot.client.requests if "`contacts_versions`" in request.sql]
    assert any("PARTITION BY TIMESTAMP_TRUNC(`updated_at`, MONTH)\nCLUSTER BY `id`, `version`" in sql for sql in made)


def test_a_key_that_is_staged_twice_is_merged_once(emulated: EmulatedClient) -> None:
    emulated.create_dataset("d")
    columns = ["id", "city", "_dlt_load_id"]
    [merge] = MergeOnce.gen_upsert_merge_sql("d.t", "d.s", ["id"], columns, None, None)
    tables = [f"CREATE TABLE d.{name} (id STRING, city STRING, _dlt_load_id STRING)" for name in "ts"]
    staged = "INSERT INTO d.s VALUES ('1', 'Bonn', '1'), ('1', 'Graz', '2')"
    for sql in (*tables, staged, merge, merge):
        emulated.query(sql).result()
    assert [row["city"] for row in emulated.query("SELECT city FROM d.t").result()] == ["Graz"]


def test_a_refusal_of_bigquery_behind_dlts_error_says_what_to_do(emulated: EmulatedClient) -> None:
    message = "Access Denied: Dataset p:hubspot: Permission bigquery.tables.create denied for jane@example.com"
    forbidden = Forbidden(message, errors=[{"reason": "accessDenied", "message": message}])
    refused = pytest.raises(WarehouseError, match="BigQuery Data Editor on those that it writes")
    with refused as seen, bigquery_destination(emulated.project, "EU"):
        raise DatabaseTransientException(DatabaseError(forbidden))
    assert "jane" not in str(seen.value)
    with pytest.raises(CrmError), bigquery_destination(emulated.project, "EU"):
        raise CrmError("the CRM refuses")


def test_without_credentials_the_command_to_get_some_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found(**_: object) -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(google.auth, "default", none_found)
    refused = pytest.raises(WarehouseFaultError, match="gcloud auth application-default login")
    with refused, bigquery_destination("p", "EU"):
        pass


if SOAK:

    class TestHubSpot(OnBigQuery, HubSpotSuite):
        """The whole suite."""

    class TestSalesforce(OnBigQuery, SalesforceSuite):
        """The whole suite."""

    class TestDynamics(OnBigQuery, DynamicsSuite):
        """The whole suite."""

    class TestPipedrive(OnBigQuery, PipedriveSuite):
        """The whole suite."""
