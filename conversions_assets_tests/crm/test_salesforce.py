"""Salesforce against the fake: the conformance suite, and what only Salesforce has."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conversions_assets.crm.client import CrmBudgetError, CrmError
from conversions_assets.crm.known import Known
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.sources import salesforce
from conversions_assets.crm.tables import Row
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.salesforce import Salesforce
from conversions_assets.demo.fake_crm.salesforce_objects import salesforce_id
from conversions_assets_tests.crm.conformance import Conformance
from conversions_assets_tests.crm.wire import ORIGIN

OBJECTS = {
    "contacts": "Contact",
    "accounts": "Account",
    "opportunities": "Opportunity",
    "leads": "Lead",
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

    def only(self, name: str, **settings: Any) -> None:
        """Load and check this object alone."""
        self.settings = Settings(address=ORIGIN, objects=[name], **settings)
        self.objects = {name: OBJECTS[name]}

    def paths(self, fake: FakeCrm, part: str) -> list[str]:
        return [path for _, _, path in fake.gate.calls if part in path]

    def test_leads_are_converted_merged_deleted_restored_and_purged(self, tmp_path: Path) -> None:
        """The log of deletions tells of the purged ones for 15 days, later only the comparison does."""
        self.only("leads")
        fake = FakeCrm()
        world = fake.world
        lead: dict[str, Any] = {"op": "create", "kind": "lead", "fields": {"city": "Berlin", "ga_client_id": "1.2"}}
        world.apply([*[lead] * 7, *({"op": "create", "kind": kind} for kind in ("contact", "deal"))])
        self.load(fake, tmp_path)
        # In the second of the newest change that is loaded.
        world.apply([{"op": "update", "kind": "lead", "number": 7, "fields": {"city": "Vienna"}}])
        world.move_clock(world.now + timedelta(hours=1))
        converted = {"converted_deal": 1, "converted_contact": 1}
        world.apply([{"op": "update", "kind": "lead", "number": 1, "fields": converted}])
        world.apply([{"op": "merge", "kind": "lead", "number": 1, "other": 2}])
        events = (("delete", 3), ("delete", 4), ("erase", 5), ("restore", 4))
        world.apply({"op": op, "kind": "lead", "number": number} for op, number in events)
        world.move_clock(world.now + timedelta(minutes=5))
        fake.gate.calls.clear()
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        # The users and their count, no list of ids.
        assert fake.gate.calls["salesforce", "GET", f"{salesforce.DATA}/query"] == 2
        rows = {row["id"]: row for row in self.rows(tmp_path, "leads")}
        held = {number: rows[salesforce_id("lead", number)] for number in range(1, 8)}
        assert {number for number, row in held.items() if row["_deleted"]} == {2, 3, 5}
        assert held[2]["_merged_into"] == held[1]["id"]
        assert held[3]["archived_at"] == held[3]["updated_at"]
        assert held[1]["convertedcontactid"] == salesforce_id("contact", 1)
        assert not {"email", "firstname", "lastname"} & held[1].keys()
        # Nobody loads for 20 days: neither log nor recycle bin tells of what was purged at their beginning.
        world.apply([{"op": "erase", "kind": "lead", "number": 6}])
        world.move_clock(world.now + timedelta(days=20))
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)

    def test_a_bulk_job_and_next_records_url_give_the_same_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.only("opportunities", properties={"opportunities": ["Name"]})
        fake = FakeCrm()
        given = {"name": '"Größe", 5\nm', "amount": 5, "close_date": "2025-03-01", "ga_client_id": "007.1"}
        fake.world.apply({"op": "create", "kind": "deal", "fields": given} for _ in range(2_101))
        monkeypatch.setattr(salesforce, "BULK_PAGE", 1_000)
        fake.gate.faults = [
            Fault("salesforce", "cut", path="/results", after=1),
            Fault("salesforce", "500", path="/jobs"),
        ]
        self.load(fake, tmp_path)
        # The opportunities and their history; the first page of each, and two more by the locator.
        results = {path: fake.gate.calls["salesforce", "GET", path] for path in self.paths(fake, "/results")}
        assert sorted(results.values()) == [3, 4]
        self.check(fake, tmp_path)
        held = self.rows(tmp_path, "opportunities")
        assert {(row["name"], row["amount"], row["ga_client_id__c"]) for row in held} == {(given["name"], 5.0, "007.1")}
        before = self.versions(tmp_path)
        # The page ends among rows of one second, and none of them is a new version.
        monkeypatch.setattr(salesforce, "BULK_FROM", 10**6)
        fake.gate.clear()
        self.load(fake, tmp_path)
        assert self.versions(tmp_path) == before
        assert (len(self.paths(fake, "-2000")), self.paths(fake, "/jobs/")) == (2, [])

    def test_a_query_that_is_too_long_for_an_address_is_a_bulk_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.only("contacts")
        fake = FakeCrm()
        monkeypatch.setattr(salesforce, "LONGEST_QUERY", 1)
        users = next(table for table in self.tables(fake) if table.name == "users")
        assert len(next(iter(users.read({}, None)))) == 3
        assert self.paths(fake, "/results")

    def test_a_deal_has_its_history_and_a_new_field_and_the_token_is_renewed(self, tmp_path: Path) -> None:
        self.only("opportunities", client_id="GA_Client_ID__c")
        fake = FakeCrm()
        world = fake.world
        world.apply([{"op": "create", "kind": "deal", "fields": {"name": "Ada's"}}])
        for stage in ("contractsent", "closedwon"):
            world.move_clock(world.now + timedelta(days=1))
            world.apply([{"op": "stage", "number": 1, "stage": stage}])
        fake.gate.faults = [Fault("salesforce", "401", path="/services/data", after=6)]
        self.load(fake, tmp_path)
        assert fake.gate.calls["salesforce", "POST", "/services/oauth2/token"] == 2
        won = {row["apiname"] for row in self.rows(tmp_path, "opportunity_stages") if row["iswon"]}
        times = [row["created_at"] for row in self.rows(tmp_path, "opportunity_history") if row["stagename"] in won]
        assert times == [datetime(2025, 1, 3, tzinfo=UTC)]
        world.move_clock(world.now + timedelta(hours=1))
        add: dict[str, Any] = {"op": "add_field", "kind": "deal", "name": "margin", "type": "number"}
        world.apply([add, {"op": "update", "kind": "deal", "number": 1, "fields": {"margin": 2.5}}])
        self.only("opportunities", properties={"opportunities": ["Name"]})
        assert self.load(fake, tmp_path).new_columns["opportunities"] == ["margin__c", "name"]
        [deal] = self.rows(tmp_path, "opportunities")
        assert (deal["margin__c"], deal["name"], deal["iswon"]) == (2.5, "Ada's", True)

    def test_what_the_log_of_deletions_cannot_tell_is_compared(self, tmp_path: Path) -> None:
        """Of three contacts, one is wrongly deleted here and another one unknown there; the log is too old to ask."""
        self.only("contacts")
        fake = FakeCrm()
        fake.world.apply({"op": "create", "kind": "contact"} for _ in range(3))
        self.load(fake, tmp_path)
        wrong, unknown, _ = (row["id"] for row in self.rows(tmp_path, "contacts"))
        self.sql(tmp_path, f"UPDATE salesforce.contacts SET _deleted = TRUE WHERE id = '{wrong}'")
        self.sql(tmp_path, f"UPDATE salesforce.contacts SET id = '003x' WHERE id = '{unknown}'")
        state: Row = {"changed": "2026-01-01T00:00:00+00:00", "deleted": "2025-01-01T00:00:00+00:00"}
        table = next(table for table in self.tables(fake) if table.name == "contacts")
        fake.world.move_clock(fake.world.now + timedelta(days=40))
        known = Known(self.pipeline(tmp_path, "dlt"), "contacts", fake.world.now, False)
        read = {row["id"]: row["_deleted"] for rows in table.read(state, known) for row in rows}
        assert read == {wrong: False, unknown: False, "003x": True}
        assert state["deleted"] == fake.world.now.isoformat()

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
            (f"{ORIGIN}/wrong", "check"),
        ):
            with pytest.raises(CrmError, match=words):
                self.tables(FakeCrm(), Settings(address=address))
        with pytest.raises(CrmError, match="address of its own"):
            find_crm("salesforce")(Settings())

    def test_a_field_that_does_not_exist_is_refused_with_the_nearest_one(self) -> None:
        with pytest.raises(CrmError, match="leads have no property 'Emial'; write Email"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, properties={"leads": ["Emial"]}))
        with pytest.raises(CrmError, match="has the client id 'GA_ClientID__c'; write GA_Client_ID__c"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, client_id="GA_ClientID__c"))
