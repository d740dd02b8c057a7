"""HubSpot against the fake: the conformance suite, and what only HubSpot has."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conversions_assets.crm.client import CrmBudgetError, CrmError, Patience
from conversions_assets.crm.load import load
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.tables import Row
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets_tests.crm.conformance import Conformance
from conversions_assets_tests.crm.history import happen
from conversions_assets_tests.crm.wire import ORIGIN, session


class TestHubSpot(Conformance):
    """The suite, by a private app's token."""

    crm = "hubspot"
    objects = {"contacts": "contacts", "companies": "companies", "deals": "deals"}
    probe = "/crm/v3/objects"

    def secrets(self, fake: FakeCrm) -> dict[str, str]:
        return {"token": HubSpot.credentials["token"]}

    def expected(self, name: str, truth: Row) -> Row:
        given = truth["properties"]
        texts = {"contacts": ["city", "jobtitle", "ga_client_id"], "companies": ["country"], "deals": ["dealstage"]}[
            name
        ]
        row: Row = {"updated_at": datetime.fromisoformat(truth["updatedAt"]), **{text: given[text] for text in texts}}
        if name == "deals":
            entered = given["hs_v2_date_entered_closedwon"]
            row["amount"] = None if given["amount"] is None else float(given["amount"])
            row["hs_is_closed_won"] = given["hs_is_closed_won"] == "true"
            row["hs_v2_date_entered_closedwon"] = None if entered is None else datetime.fromisoformat(entered)
        return row

    def id_of(self, truth: Row) -> str:
        return str(truth["id"])

    def leads(self, fake: FakeCrm) -> set[str]:
        return {row["id"] for row in fake.dialects["hubspot"].truth("contacts") if not row["_deleted"]}

    def won(self, fake: FakeCrm) -> set[str]:
        deals = fake.dialects["hubspot"].truth("deals")
        return {row["id"] for row in deals if not row["_deleted"] and row["properties"]["hs_is_closed_won"] == "true"}

    def check(self, fake: FakeCrm, tmp_path: Path) -> None:
        super().check(fake, tmp_path)
        held = [(r["deal_id"], r["contact_id"]) for r in self.rows(tmp_path, "deals_contacts") if not r["_deleted"]]
        truth = [(row["deal_id"], row["contact_id"]) for row in fake.dialects["hubspot"].truth("deals_contacts")]
        assert sorted(held) == sorted(truth)

    @pytest.mark.parametrize("state", ["whole", "spoilt", "overtaken"])
    def test_what_a_failed_load_did_not_store_is_stored_by_the_next(self, tmp_path: Path, state: str) -> None:
        """Its package is loaded, or where that is impossible read again; it blocks nothing for ever.

        Overtaken: a load with another working folder has stored newer rows since.
        """
        fake, table = FakeCrm(), f"{self.crm}.contacts_versions"
        happen(fake.world, Random(4), 100)
        self.load(fake, tmp_path)
        # A load writes this table and never reads it.
        self.sql(tmp_path, f"ALTER TABLE {table} RENAME TO hidden")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        happen(fake.world, Random(5), 100)
        with pytest.raises(Exception, match="contacts_versions"):
            self.load(fake, tmp_path)
        self.sql(tmp_path, f"ALTER TABLE {self.crm}.hidden RENAME TO contacts_versions")
        if state == "overtaken":
            fake.world.move_clock(fake.world.now + timedelta(hours=1))
            happen(fake.world, Random(6), 100)
            self.load(fake, tmp_path, folder="other")
        if state == "spoilt":
            pending = list((tmp_path / "dlt").rglob("normalized/**/*.parquet"))
            assert pending
            for file in pending:
                file.write_bytes(b"no parquet")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        self.load(fake, tmp_path, compare=True)
        self.check(fake, tmp_path)

    def test_changes_beyond_the_10000th_result_are_loaded(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        self.load(fake, tmp_path)
        fake.world.apply({"op": "create", "kind": "contact"} for _ in range(10_050))
        fake.gate.calls.clear()
        self.load(fake, tmp_path)
        assert len(self.rows(tmp_path, "contacts")) == 10_050
        # One search of ids for 200, one read of values for 100.
        assert sum(fake.gate.calls.values()) < 10_050 / 200 + 10_050 / 100 + 30

    def test_a_change_that_the_index_learns_late_is_loaded(self, tmp_path: Path) -> None:
        """The third contact is searchable at once, the first one later: what is newest says nothing of the others."""
        fake = FakeCrm()
        world = fake.world
        world.apply({"op": "create", "kind": "contact"} for _ in range(3))
        world.apply({"op": "create", "kind": kind} for kind in ("company", "deal"))
        for _ in range(2):
            # The first versions lie outside of what is read again.
            self.load(fake, tmp_path)
            world.move_clock(world.now + timedelta(hours=1))
            world.apply([{"op": "update", "kind": "contact", "number": 2, "fields": {"city": "Paris"}}])
        world.search_lag = timedelta(minutes=5)
        for number in (1, 3):
            world.move_clock(world.now + timedelta(seconds=1))
            world.apply([{"op": "update", "kind": "contact", "number": number, "fields": {"city": "Berlin"}}])
        self.load(fake, tmp_path)
        held = {row["id"]: row["city"] for row in self.rows(tmp_path, "contacts")}
        assert held == {"1": None, "2": "Paris", "3": "Berlin"}
        world.move_clock(world.now + timedelta(minutes=6))
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)

    def test_a_token_that_ends_in_the_middle_is_renewed_once(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        happen(fake.world, Random(3), 100)
        fake.gate.faults = [Fault("hubspot", "401", path="/crm/", after=6)]
        names = ("client_id", "client_secret", "refresh_token")
        crm = find_crm("hubspot")(self.settings)
        client = crm.client({name: HubSpot.credentials[name] for name in names}, Patience(backoff=0), session(fake))
        load(self.pipeline(tmp_path, "dlt"), crm.tables(client), fake.world.now)
        assert fake.gate.calls["hubspot", "POST", "/oauth/v1/token"] == 2
        self.check(fake, tmp_path)

    def test_a_missing_scope_and_a_spent_budget_are_named_and_not_tried_again(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        fake.dialects["hubspot"].settings.forbidden = frozenset({"companies"})
        with pytest.raises(CrmError, match=r"crm\.objects\.companies\.read"):
            self.load(fake, tmp_path)
        fake = FakeCrm()
        fake.dialects["hubspot"].settings.daily_budget = 8
        with pytest.raises(CrmBudgetError, match="next day"):
            self.load(fake, tmp_path)
        assert sum(fake.gate.calls.values()) == 9

    def test_a_new_property_is_a_new_column_and_a_removed_one_stays(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        world = fake.world
        world.apply([{"op": "create", "kind": "deal", "fields": {"ga_client_id": "1.2"}}])
        world.apply([{"op": "create", "kind": "contact", "fields": {"email": "a@b.example"}}])
        self.load(fake, tmp_path)
        add: dict[str, Any] = {"op": "add_field", "kind": "deal", "name": "margin", "type": "number"}
        world.move_clock(world.now + timedelta(hours=1))
        world.apply([add, {"op": "update", "kind": "deal", "number": 1, "fields": {"margin": 2.5}}])
        world.apply([{"op": "remove_field", "kind": "deal", "name": "ga_client_id"}])
        report = self.load(fake, tmp_path)
        assert report.new_columns["deals"] == ["margin"]
        assert report.gone_columns["deals"] == ["ga_client_id"]
        [deal] = self.rows(tmp_path, "deals")
        assert deal["margin"] == 2.5
        assert deal["updated_at"] == world.now.astimezone(UTC)
        world.move_clock(world.now + timedelta(hours=1))
        world.apply([{"op": "retype_field", "kind": "deal", "name": "margin", "type": "string"}])
        world.apply([{"op": "update", "kind": "deal", "number": 1, "fields": {"margin": "high"}}])
        more = Settings(address=ORIGIN, properties={"contacts": ["email"]})
        report = self.load(fake, tmp_path, settings=more)
        assert report.new_columns["deals"] == ["margin__v_text"]
        assert self.rows(tmp_path, "deals")[0]["margin__v_text"] == "high"
        # The contact has not changed since the first load.
        assert self.rows(tmp_path, "contacts")[0]["email"] == "a@b.example"

    def test_a_property_that_does_not_exist_is_refused_with_the_nearest_one(self) -> None:
        with pytest.raises(CrmError, match="contacts have no property 'ga_clientid'; write ga_client_id"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, properties={"contacts": ["ga_clientid"]}))
        with pytest.raises(CrmError, match="has the client id 'ga_clientid'; write ga_client_id"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, client_id="ga_clientid"))
        with pytest.raises(CrmError, match="no object 'tickets'"):
            self.tables(FakeCrm(), Settings(objects=["tickets"]))
