"""Dynamics 365 against the fake: the conformance suite, and what only Dataverse has."""

import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, Patience
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.sources import dynamics
from conversions_assets.crm.tables import STAMPS, Row
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.dynamics import Dynamics
from conversions_assets.demo.fake_crm.dynamics_tables import guid
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets_tests.crm.conformance import Conformance
from conversions_assets_tests.crm.history import happen
from conversions_assets_tests.crm.wire import ORIGIN, session

TEXTS = {
    "contacts": ["address1_city", "jobtitle", "new_gaclientid", "_parentcustomerid_value"],
    "accounts": ["address1_country"],
    "opportunities": ["stepname", "statecode", "_parentcontactid_value", "_transactioncurrencyid_value"],
    "leads": ["jobtitle", "new_gaclientid", "_parentcontactid_value", "_qualifyingopportunityid_value"],
}


class TestDynamics(Conformance):
    """The suite, in pages of 20 rows."""

    crm = "dynamics"
    objects = {name: name for name in TEXTS}
    probe = "/api/data/v9.2/"

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dynamics, "PAGE", 20)

    def secrets(self, fake: FakeCrm) -> dict[str, str]:
        return dict(Dynamics.credentials)

    def expected(self, name: str, truth: Row) -> Row:
        row: Row = {"updated_at": datetime.fromisoformat(truth["modifiedon"])}
        row |= {column: truth[column] for column in TEXTS[name]}
        if name == "opportunities":
            closed = truth["actualclosedate"]
            row["actualvalue"] = truth["actualvalue"]
            row["actualclosedate"] = None if closed is None else date.fromisoformat(closed)
        return row

    def id_of(self, truth: Row) -> str:
        return str(truth.get("leadid") or truth.get("contactid") or truth.get("accountid") or truth["opportunityid"])

    def won(self, fake: FakeCrm) -> set[str]:
        """Ids of the deals that are won and live."""
        deals = fake.dialects["dynamics"].truth("opportunities")
        return {self.id_of(row) for row in deals if row["statecode"] == 1 and not row["_deleted"]}

    def leads(self, fake: FakeCrm) -> set[str]:
        """Ids of the leads that are live."""
        return {self.id_of(row) for row in fake.dialects["dynamics"].truth("leads") if not row["_deleted"]}

    def client(self, fake: FakeCrm, **patience: Any) -> Client:
        crm = find_crm("dynamics")(self.settings)
        return crm.client(self.secrets(fake), Patience(**{"backoff": 0, **patience}), session(fake))

    def only(self, *names: str) -> None:
        """Load these objects, which is quicker."""
        self.objects = {name: name for name in names}
        self.settings = Settings(address=ORIGIN, objects=names)

    # --- what only Dynamics has ---------------------------------------------------------------------------------------

    def test_an_old_link_is_a_whole_list_that_finds_the_deletions_as_well(self, tmp_path: Path) -> None:
        self.only("leads")
        fake = FakeCrm()
        world = fake.world
        world.apply({"op": "create", "kind": "lead", "fields": {"title": f"{n}"}} for n in range(50))
        self.load(fake, tmp_path)
        before = self.versions(tmp_path)
        world.move_clock(world.now + timedelta(days=8))
        world.apply({"op": "delete", "kind": "lead", "number": number} for number in (1, 20, 50))
        world.apply([{"op": "update", "kind": "lead", "number": 21, "fields": {"job_title": "Changed"}}])
        world.apply([{"op": "merge", "kind": "lead", "number": 2, "other": 3}])
        report = self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        # The whole list again, and the three that are gone; but these, the changed, the merged and its master are all
        # that is new.
        assert report.rows["leads"] == 50
        assert self.versions(tmp_path) == before + 6
        world.apply([{"op": "restore", "kind": "lead", "number": 1}])
        fake.gate.calls.clear()
        report = self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        assert (report.rows["leads"], fake.gate.calls["dynamics", "GET", "/api/data/v9.2/leads"]) == (1, 1)
        # A row that the user may not see any more is told by no link.
        world.tables["lead"].live.drop(30)
        self.load(fake, tmp_path, compare=True)
        gone = {row["id"] for row in self.rows(tmp_path, "leads") if row["_deleted"]}
        assert gone == {guid("lead", number) for number in (3, 20, 30, 50)}

    def test_a_record_comes_once_and_what_is_listed_is_not_deleted(self) -> None:
        url = f"{ORIGIN}/api/data/v9.2/leads?$skiptoken=1"
        rows = [{"leadid": id, "createdon": None, "modifiedon": None} for id in ("a", "b", "a")]
        removed = [{"@odata.context": f"{url}#leads/$deletedEntity", "id": id, "reason": "deleted"} for id in "bc"]
        pages = {True: {"value": rows, "@odata.nextLink": url}, False: {"value": [rows[0], *removed]}}
        pages[False]["@odata.deltaLink"] = f"{ORIGIN}/api/data/v9.2/leads?$deltatoken=2"
        client: Any = SimpleNamespace(call=lambda method, path, headers: pages[path != url])
        known: Any = SimpleNamespace(compare=False, live_ids=set, deleted=lambda gone: [[{"id": id} for id in gone]])
        state: dict[str, Any] = {}
        reader = dynamics._Reader(dynamics._Pages(client, ORIGIN), "leads", {}, [])
        assert [row["id"] for page in reader.read(state, known) for row in page] == ["a", "b", "c"]
        assert state == {"link": pages[False]["@odata.deltaLink"], "select": "createdon,leadid,modifiedon"}

    def test_other_columns_ask_for_the_whole_list(self, tmp_path: Path) -> None:
        self.only("leads", "opportunities")
        fake = FakeCrm()
        world = fake.world
        world.apply([{"op": "create", "kind": "lead", "fields": {"ga_client_id": "1.2"}} for _ in range(3)])
        world.apply([{"op": "create", "kind": "deal"}])
        self.load(fake, tmp_path)
        add: dict[str, Any] = {"op": "add_field", "kind": "lead", "name": "score", "type": "number"}
        world.apply([add, {"op": "remove_field", "kind": "deal", "name": "ga_client_id"}])
        world.apply([{"op": "delete", "kind": "lead", "number": 3}])
        # Of the standard columns one that is not loaded by default.
        self.settings = replace(self.settings, properties={"leads": ["subject"]}, client_id="new_gaclientid")
        report = self.load(fake, tmp_path)
        assert report.new_columns["leads"] == ["new_score", "subject"]
        assert (report.rows["leads"], report.rows["opportunities"]) == (3, 1)
        assert [row["_deleted"] for row in self.rows(tmp_path, "leads")].count(True) == 1
        world.apply([{"op": "update", "kind": "lead", "number": 1, "fields": {"score": "2.5"}}])
        assert self.load(fake, tmp_path).rows["leads"] == 1
        self.check(fake, tmp_path)
        assert {row["id"]: row["new_score"] for row in self.rows(tmp_path, "leads")}[guid("lead", 1)] == 2.5
        lists = {row["isocurrencycode"] for row in self.rows(tmp_path, "transactioncurrencies")}
        assert (lists, len(self.rows(tmp_path, "systemusers"))) == ({"EUR", "USD", "GBP"}, 3)

    def test_a_token_that_ends_in_the_middle_is_renewed_once(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        happen(fake.world, Random(3), 100)
        fake.gate.faults = [Fault("dynamics", "401", path="/api/data/", after=12)]
        self.load(fake, tmp_path)
        [granted] = [n for (_, _, path), n in fake.gate.calls.items() if path.endswith("/oauth2/v2.0/token")]
        assert granted == 2
        self.check(fake, tmp_path)

    def test_columns_have_the_types_that_the_environment_describes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeCrm()
        fake.world.apply([{"op": "add_field", "kind": "deal", "name": "signed", "type": "datetime"}])
        own = {"IsCustomAttribute": True, "IsValidForRead": True, "IsValidODataAttribute": True, "AttributeOf": None}
        further = {"new_partner": "Lookup", "new_logo": "Image", "new_tags": "MultiSelectPicklist", "msdyn_gdpr": "Bit"}
        attributes = [{**own, "LogicalName": n, "AttributeTypeName": {"Value": f"{k}Type"}} for n, k in further.items()]
        described = fake.dialects["dynamics"]._tables.attributes  # type: ignore[attr-defined]
        monkeypatch.setattr(
            fake.dialects["dynamics"]._tables,  # type: ignore[attr-defined]
            "attributes",
            lambda name: [{**row, "AttributeType": ""} | row for row in [*described(name), *attributes]],
        )
        tables = {table.name: table for table in self.tables(fake)}
        columns = tables["opportunities"].columns
        assert list(columns)[: len(STAMPS)] == list(STAMPS)
        assert {name: columns[name] for name in columns if name not in STAMPS} == {
            "name": "text",
            "estimatedvalue": "double",
            "estimatedclosedate": "date",
            "actualvalue": "double",
            "actualclosedate": "date",
            "stepname": "text",
            "_transactioncurrencyid_value": "text",
            "_parentcontactid_value": "text",
            "_parentaccountid_value": "text",
            "statecode": "bigint",
            "_ownerid_value": "text",
            "new_gaclientid": "text",
            "new_signed": "timestamp",
            "_new_partner_value": "text",
            "new_tags": "text",
        }
        crm = find_crm("dynamics")(self.settings)
        assert [table.name for table in crm.declared()] == list(tables)
        assert [(t.name, tuple(t.key), t.versioned) for t in crm.declared()] == [
            (table.name, tuple(table.key), table.versioned) for table in tables.values()
        ]
        personal = ("firstname", "lastname", "emailaddress1")
        assert not [name for name in personal for table in tables.values() if name in table.columns]

    # --- refusals -----------------------------------------------------------------------------------------------------

    def test_service_protection_is_waited_for_and_a_limit_of_the_day_is_not(self) -> None:
        fake = FakeCrm()
        fake.gate.faults = [Fault("dynamics", "429", path=self.probe, retry_after=1)]
        began = time.monotonic()
        self.tables(fake)
        assert time.monotonic() - began >= 1
        fake.gate.faults = [Fault("dynamics", "429", path=self.probe, times=None)]
        fake.gate.calls.clear()
        with pytest.raises(CrmBudgetError, match="later run"):
            self.tables(fake)
        assert sum(fake.gate.calls.values()) == 1 + Patience().attempts
        fake = FakeCrm()
        fake.dialects["dynamics"].settings.daily_budget = 3
        with pytest.raises(CrmBudgetError):
            self.tables(fake)
        # The token, the three, and the one that was refused.
        assert sum(fake.gate.calls.values()) == 5

    def test_what_is_missing_in_the_environment_is_named(self) -> None:
        fake = FakeCrm()
        crm = fake.dialects["dynamics"]
        assert isinstance(crm, Dynamics)
        crm.settings.forbidden = frozenset({"accounts"})
        with pytest.raises(CrmError, match=r"prvReadAccount .*whole organization"):
            self.tables(fake)
        crm.settings.forbidden = frozenset()
        crm.untracked = frozenset({"leads"})
        with pytest.raises(CrmError, match=r"changes of the table 'lead'.*Track changes"):
            self.tables(fake)
        with pytest.raises(CrmError, match="leads have no property 'subjekt'; write subject"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, properties={"leads": ["subjekt"]}))
        with pytest.raises(CrmError, match="client id 'new_gaclient'; write new_gaclientid"):
            self.tables(FakeCrm(), Settings(address=ORIGIN, client_id="new_gaclient"))
        with pytest.raises(CrmError, match="write `address"):
            find_crm("dynamics")(Settings())
        with pytest.raises(CrmError, match=r"knows no /api/data/v9\.2/quotes: check the address"):
            self.client(fake).call("GET", "/api/data/v9.2/quotes")

    def test_the_token_goes_to_no_other_host(self) -> None:
        pages = dynamics._Pages(self.client(FakeCrm()), "https://acme.crm4.dynamics.com")
        with pytest.raises(CrmError, match=r"links to http://crm\.example: write this as the address"):
            pages.own(f"{ORIGIN}/api/data/v9.2/leads?$skiptoken=1")
        assert pages.after(f"{ORIGIN}/api/data/v9.2/leads?$deltatoken=1") is None

    @pytest.mark.parametrize(
        ("address", "login"),
        [
            ("https://acme.crm4.dynamics.com", "https://login.microsoftonline.com"),
            ("https://acme.crm.microsoftdynamics.us", "https://login.microsoftonline.us"),
            ("https://acme.crm.dynamics.cn", "https://login.partner.microsoftonline.cn"),
            ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
            ("https://acme.example", None),
            ("http://acme.crm4.dynamics.com", None),
            ("acme.crm4.dynamics.com", None),
        ],
    )
    def test_tokens_are_granted_where_the_address_belongs(self, address: str, login: str | None) -> None:
        if login is not None:
            assert dynamics.login_of(address) == login
            return
        with pytest.raises(CrmError, match="is no address of Dynamics 365"):
            find_crm("dynamics")(Settings(address=address)).client(Dynamics.credentials, Patience())
