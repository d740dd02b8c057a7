"""Salesforce against the fake: the conformance suite, and what only Salesforce has."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conversions_assets.crm.client import CrmBudgetError, CrmError
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.sources import salesforce
from conversions_assets.crm.tables import Row
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.salesforce import Salesforce
from conversions_assets.demo.fake_crm.salesforce_objects import salesforce_id
from conversions_assets_tests.crm.conformance import Conformance
from conversions_assets_tests.crm.history import happen
from conversions_assets_tests.crm.wire import ORIGIN

OBJECTS = {
    "leads": "Lead",
    "contacts": "Contact",
    "accounts": "Account",
    "opportunities": "Opportunity",
    "opportunity_contact_roles": "OpportunityContactRole",
    "opportunity_history": "OpportunityHistory",
}
COLUMNS = {
    "leads": ["City", "IsConverted", "ConvertedOpportunityId", "GA_Client_ID__c"],
    "contacts": ["MailingCity", "Title", "GA_Client_ID__c"],
    "accounts": ["BillingCountry"],
    "opportunities": ["StageName", "Amount", "CurrencyIsoCode", "IsWon", "CloseDate"],
    "opportunity_contact_roles": ["OpportunityId", "ContactId"],
    "opportunity_history": ["OpportunityId", "StageName", "Amount"],
}


class TestSalesforce(Conformance):
    """The suite, by client credentials."""

    crm = "salesforce"
    objects = OBJECTS
    probe = "/services/data"

    def secrets(self, fake: FakeCrm) -> dict[str, str]:
        return dict(Salesforce.credentials)

    def expected(self, name: str, truth: Row) -> Row:
        row = {field.lower(): truth[field] for field in COLUMNS[name]}
        if row.get("closedate"):
            row["closedate"] = date.fromisoformat(row["closedate"])
        return row | {"updated_at": datetime.fromisoformat(truth["SystemModstamp"])}

    def id_of(self, truth: Row) -> str:
        return str(truth["Id"])

    def won(self, fake: FakeCrm) -> set[str]:
        """The opportunities that deal_won.sql has to give."""
        rows = fake.dialects["salesforce"].truth("Opportunity")
        return {row["Id"] for row in rows if row["IsWon"] and not row["_deleted"]}

    def leads(self, fake: FakeCrm) -> set[str]:
        """The leads that lead.sql has to give."""
        return {row["Id"] for row in fake.dialects["salesforce"].truth("Lead") if not row["_deleted"]}

    def test_leads_are_converted_merged_deleted_restored_and_purged(self, tmp_path: Path) -> None:
        """Without a comparison; the log of deletions tells of the purged ones for 15 days, later the comparison."""
        fake = FakeCrm()
        world = fake.world
        world.apply(
            {"op": "create", "kind": "lead", "fields": {"city": "Berlin", "ga_client_id": "1.2"}} for _ in "1234567"
        )
        world.apply({"op": "create", "kind": kind} for kind in ("company", "contact", "deal"))
        self.load(fake, tmp_path)
        assert [table.name for table in self.tables(fake)] == [
            d.name for d in find_crm("salesforce")(self.settings).declared()
        ]
        world.move_clock(world.now + timedelta(hours=1))
        converted = {"converted_deal": 1, "converted_contact": 1}
        world.apply([{"op": "update", "kind": "lead", "number": 1, "fields": converted}])
        world.apply([{"op": "merge", "kind": "lead", "number": 1, "other": 2}])
        world.apply({"op": op, "kind": "lead", "number": n} for op, n in (("delete", 3), ("delete", 4), ("erase", 5)))
        world.apply([{"op": "restore", "kind": "lead", "number": 4}])
        world.move_clock(world.now + timedelta(minutes=5))
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        held = {row["id"]: row for row in self.rows(tmp_path, "leads")}
        ids = {number: salesforce_id("lead", number) for number in range(1, 8)}
        assert {number for number, key in ids.items() if held[key]["_deleted"]} == {2, 3, 5}
        assert held[ids[2]]["_merged_into"] == ids[1]
        assert held[ids[3]]["archived_at"] == held[ids[3]]["updated_at"]
        assert held[ids[1]]["convertedcontactid"] == salesforce_id("contact", 1)
        assert "email" not in held[ids[1]]
        # Nobody loads for 20 days: neither log nor recycle bin tells of what was purged at their beginning.
        world.apply([{"op": "erase", "kind": "lead", "number": 6}])
        world.move_clock(world.now + timedelta(days=20))
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)

    def test_a_bulk_job_and_next_records_url_give_the_same_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = FakeCrm()
        world = fake.world
        fields = {"city": 'a "b", c\nd', "job_title": "Größe", "ga_client_id": "007.1"}
        world.apply({"op": "create", "kind": "contact", "fields": fields} for _ in range(2_101))
        world.apply([{"op": "create", "kind": "deal", "fields": {"amount": 5, "close_date": "2025-03-01"}}])
        monkeypatch.setattr(salesforce, "BULK_PAGE", 1_000)
        results = [Fault("salesforce", "cut", path="/results", after=1), Fault("salesforce", "500", path="/jobs/query")]
        fake.gate.faults = results
        self.load(fake, tmp_path)
        assert (
            len([path for _, method, path in fake.gate.calls if method == "POST" and path.endswith("/jobs/query")]) == 1
        )
        self.check(fake, tmp_path)
        [contact] = {
            tuple(row[c] for c in ("mailingcity", "title", "ga_client_id__c"))
            for row in self.rows(tmp_path, "contacts")
        }
        assert contact == tuple(fields.values())
        before = self.versions(tmp_path)
        # The page ends among rows of one second; not one of them is a new version.
        fake.gate.calls.clear()
        monkeypatch.setattr(salesforce, "BULK_FROM", 10**6)
        self.load(fake, tmp_path)
        assert self.versions(tmp_path) == before
        assert not [path for _, _, path in fake.gate.calls if "/jobs/" in path]
        assert [path for _, _, path in fake.gate.calls if path.endswith("-2000")]
        # A query that is too long for an address.
        monkeypatch.setattr(salesforce, "LONGEST_QUERY", 1)
        self.load(fake, tmp_path)
        assert self.versions(tmp_path) == before

    def test_a_deal_is_won_when_its_history_says_so(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        world = fake.world
        world.apply([{"op": "create", "kind": "deal", "fields": {"amount": 10.0, "close_date": "2025-12-31"}}])
        for stage in ("contractsent", "closedwon"):
            world.move_clock(world.now + timedelta(days=1))
            world.apply([{"op": "stage", "number": 1, "stage": stage}])
        self.load(fake, tmp_path)
        won = {row["apiname"] for row in self.rows(tmp_path, "opportunity_stages") if row["iswon"]}
        times = [row["created_at"] for row in self.rows(tmp_path, "opportunity_history") if row["stagename"] in won]
        assert times == [world.now]
        assert world.now == datetime(2025, 1, 3, tzinfo=UTC)
        assert {row["email"] for row in self.rows(tmp_path, "users")} >= {"ada@crm.example"}

    def test_what_the_log_of_deletions_cannot_tell_is_compared(self, tmp_path: Path) -> None:
        """A record that is back without a change, and a log that is refused."""
        fake = FakeCrm()
        happen(fake.world, Random(8), 60)
        self.load(fake, tmp_path)
        ids = [row["id"] for row in self.rows(tmp_path, "contacts") if not row["_deleted"]][:2]
        self.sql(tmp_path, f"UPDATE salesforce.contacts SET _deleted = TRUE WHERE id = '{ids[0]}'")
        self.sql(
            tmp_path,
            f"INSERT INTO salesforce.contacts BY NAME SELECT * REPLACE ('003x' AS id) FROM salesforce.contacts WHERE id = '{ids[1]}'",
        )
        fake.world.move_clock(fake.world.now + timedelta(days=40))
        self.load(fake, tmp_path, compare=False)
        held = {row["id"]: row["_deleted"] for row in self.rows(tmp_path, "contacts")}
        assert (held[ids[0]], held["003x"]) == (False, True)

    def test_refusals_name_what_is_missing_and_a_spent_budget_is_not_tried_again(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        fake.dialects["salesforce"].settings.forbidden = frozenset({"Account"})
        with pytest.raises(CrmError, match="may not read Account: grant Read"):
            self.tables(fake)
        fake = FakeCrm()
        fake.dialects["salesforce"].settings.daily_budget = 12
        with pytest.raises(CrmBudgetError, match="next day"):
            self.load(fake, tmp_path)
        # Those of the budget, the refused one and the token's.
        assert sum(fake.gate.calls.values()) == 14
        for address, words in (
            ("https://acme.lightning.force.com/", "acme.lightning.force.com is not the address"),
            ("https://login.salesforce.com", "Setup, My Domain"),
            (f"{ORIGIN}/fake", "check the address|check the secrets"),
        ):
            with pytest.raises(CrmError, match=words):
                self.tables(FakeCrm(), Settings(address=address))
        with pytest.raises(CrmError, match="address of its own"):
            find_crm("salesforce")(Settings())

    def test_a_token_that_ends_in_the_middle_is_renewed_and_new_fields_are_columns(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        world = fake.world
        world.apply([{"op": "create", "kind": "deal", "fields": {"name": "Secret"}}])
        fake.gate.faults = [Fault("salesforce", "401", path="/services/data", after=11)]
        self.load(fake, tmp_path)
        assert fake.gate.calls["salesforce", "POST", "/services/oauth2/token"] == 2
        world.move_clock(world.now + timedelta(hours=1))
        add: dict[str, Any] = {"op": "add_field", "kind": "deal", "name": "margin", "type": "number"}
        world.apply([add, {"op": "update", "kind": "deal", "number": 1, "fields": {"margin": 2.5}}])
        settings = Settings(address=ORIGIN, properties={"opportunities": ["Name"]}, client_id="GA_Client_ID__c")
        assert self.load(fake, tmp_path, settings=settings).new_columns["opportunities"] == ["margin__c", "name"]
        [deal] = self.rows(tmp_path, "opportunities")
        assert (deal["margin__c"], deal["name"]) == (2.5, "Secret")

    def test_a_field_that_does_not_exist_is_refused_with_the_nearest_one(self) -> None:
        with pytest.raises(CrmError, match="leads have no property 'Emial'; write Email"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, properties={"leads": ["Emial"]}))
        with pytest.raises(CrmError, match="has the client id 'GA_ClientID__c'; write GA_Client_ID__c"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, client_id="GA_ClientID__c"))
