"""Pipedrive against the fake: the conformance suite, and what only Pipedrive has."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import requests
import sqlglot

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, Patience
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.sources.pipedrive import Field
from conversions_assets.crm.tables import Row, SourceTable
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.pipedrive import Pipedrive
from conversions_assets.demo.fake_crm.pipedrive_entities import custom_key
from conversions_assets_tests.crm.conformance import DOCS, Conformance
from conversions_assets_tests.crm.wire import ORIGIN, session


class TestPipedrive(Conformance):
    """The suite, by an API token."""

    crm = "pipedrive"
    objects = {name: name for name in ("deals", "persons", "organizations", "leads")}
    probe = "/api/"
    tells_merges = False

    def secrets(self, fake: FakeCrm) -> dict[str, str]:
        return {"api_token": Pipedrive.credentials["token"]}

    def expected(self, name: str, truth: Row) -> Row:
        row: Row = {"updated_at": datetime.fromisoformat(truth["update_time"])}
        if name == "deals":
            won = truth["won_time"]
            row |= {text: truth[text] for text in ("value", "currency", "status", "source_lead_id", "is_archived")}
            row["person_id"] = None if truth["person_id"] is None else str(truth["person_id"])
            row["won_time"] = None if won is None else datetime.fromisoformat(won)
        elif name == "persons":
            row |= {"job_title": truth["job_title"], "postal_address_locality": truth["postal_address"]["locality"]}
        elif name == "organizations":
            row["address_country"] = truth["address"]["country"]
        else:
            row |= {"is_archived": truth["is_archived"], "value_amount": (truth["value"] or {}).get("amount")}
        return row

    def id_of(self, truth: Row) -> str:
        return str(truth["id"])

    def won(self, fake: FakeCrm) -> set[str]:
        """The ids that deal_won.sql has to give."""
        deals = fake.dialects[self.crm].truth("deals")
        return {str(row["id"]) for row in deals if row["status"] == "won" and not row["_deleted"]}

    def leads(self, fake: FakeCrm) -> set[str]:
        """The ids that lead.sql has to give: a lead that became a deal is still a lead that came."""
        deals = fake.dialects[self.crm].truth("deals")
        converted = {row["source_lead_id"] for row in deals if not row["_deleted"]}
        leads = fake.dialects[self.crm].truth("leads")
        return {row["id"] for row in leads if not row["_deleted"] or row["id"] in converted}

    # --- loads --------------------------------------------------------------------------------------------------------

    def test_columns_are_called_as_people_call_fields_and_a_rename_loses_nothing(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        world = fake.world
        for name, label, type_ in (
            ("margin", "Margin (EUR)", "number"),
            ("urgent", "isUrgent", "bool"),
            ("other_id", "GA Client-ID", "string"),
            ("currency_of_old", "Currency", "string"),
            ("sign", "署名", "string"),
            ("own_title", "Title", "string"),
        ):
            world.apply([{"op": "add_field", "kind": "deal", "name": name, "label": label, "type": type_}])
        given: dict[str, Any] = {
            "ga_client_id": "1.2",
            "margin": 2.5,
            "urgent": True,
            "other_id": "x",
            "own_title": "Dr",
        }
        given |= {"currency": "EUR", "currency_of_old": "DM"}
        world.apply([{"op": "create", "kind": "deal", "fields": given}])
        self.load(fake, tmp_path)
        [first] = self.rows(tmp_path, "deals")
        columns = {"ga_client_id": "1.2", "ga_client_id_2": "x", "margin_eur": 2.5, "is_urgent": "Yes"}
        columns |= {"currency": "EUR", "currency_2": "DM", "title": "Dr"}
        key = custom_key(next(field for field in world.custom("deal") if field.name == "sign"))
        assert {column: first[column] for column in columns} == columns
        assert first[f"field_{key[:8]}"] is None

        world.move_clock(world.now + timedelta(hours=1))
        rename: dict[str, Any] = {"op": "rename_field", "kind": "deal"}
        world.apply([{**rename, "name": "ga_client_id", "label": "Client"}])
        world.apply([{**rename, "name": "other_id", "label": "GA Client ID"}])
        world.apply([{"op": "create", "kind": "deal", "fields": {"ga_client_id": "3.4", "name": "A deal"}}])
        # A folder that was lost: the names are in the warehouse. Pipedrive's own title comes after the custom one.
        settings = Settings(address=ORIGIN, properties={"deals": ["title"]})
        report = self.load(fake, tmp_path, folder="other", settings=settings)
        assert report.new_columns == {"deals": ["title_2"]}
        second = next(row for row in self.rows(tmp_path, "deals") if row["id"] == "2")
        assert (second["title"], second["title_2"]) == (None, "A deal")
        held = {row["id"]: (row["ga_client_id"], row["ga_client_id_2"]) for row in self.rows(tmp_path, "deals")}
        assert held == {"1": ("1.2", "x"), "2": ("3.4", None)}
        assert len(self.rows(tmp_path, "deals_versions")) == 2

    def test_archived_deleted_and_converted_records(self, tmp_path: Path) -> None:
        """A deleted deal is told for 30 days; persons, leads and older deletions are found by comparison."""
        fake = FakeCrm()
        world = fake.world
        for kind, number in (("deal", 5), ("contact", 3), ("lead", 4)):
            world.apply({"op": "create", "kind": kind} for _ in range(number))
        self.load(fake, tmp_path)
        world.move_clock(world.now + timedelta(hours=1))
        world.apply({"op": "archive", "kind": kind, "number": 1} for kind in ("deal", "lead"))
        world.apply({"op": "delete", "kind": kind, "number": 2} for kind in ("deal", "contact", "lead"))
        world.apply([{"op": "update", "kind": "lead", "number": 3, "fields": {"converted_deal": 3}}])
        world.apply([{"op": "update", "kind": "deal", "number": 3, "fields": {"amount": 1.0}}])
        self.load(fake, tmp_path)
        deals = {row["id"]: row for row in self.rows(tmp_path, "deals")}
        assert (deals["1"]["_deleted"], deals["1"]["archived_at"]) == (False, world.now)
        assert [key for key, row in deals.items() if row["_deleted"]] == ["2"]
        leads = self.rows(tmp_path, "leads")
        assert [row["is_archived"] for row in leads if row["updated_at"] == world.now] == [True]
        assert deals["3"]["source_lead_id"] == sorted(row["id"] for row in leads)[2]
        assert not any(row["_deleted"] for row in [*leads, *self.rows(tmp_path, "persons")])

        world.apply([{"op": "restore", "kind": "deal", "number": 2}, {"op": "delete", "kind": "deal", "number": 4}])
        world.apply([{"op": "merge", "kind": "contact", "number": 1, "other": 3}])
        world.move_clock(world.now + timedelta(days=31))
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        assert {row["id"] for row in self.rows(tmp_path, "deals") if row["_deleted"]} == {"4"}
        assert {row["id"] for row in self.rows(tmp_path, "persons") if row["_deleted"]} == {"2", "3"}
        assert sum(row["_deleted"] for row in self.rows(tmp_path, "leads")) == 2
        # The lead that became a deal came all the same.
        assert self.ids_of_lead_sql(tmp_path) == self.leads(fake)
        assert len(self.leads(fake)) == 3

    # --- pages, without a load ----------------------------------------------------------------------------------------

    def test_pages_of_one_second_lose_none_and_neither_does_a_list_that_shrinks(self) -> None:
        fake = FakeCrm()
        world = fake.world
        world.apply({"op": "create", "kind": kind} for kind in ("contact", "lead") for _ in range(1100))
        ids = [row["id"] for page in self.read(fake, self.table(fake, "persons")) for row in page]
        assert (len(ids), len(set(ids))) == (1100, 1100)

        state: dict[str, Any] = {}
        begun = self.known(fake)
        pages = self.table(fake, "leads").read(state, begun)
        seen = [row["id"] for row in next(pages)]
        world.move_clock(world.now + timedelta(hours=1))
        world.apply({"op": "delete", "kind": "lead", "number": number} for number in (3, 4))
        world.apply([{"op": "update", "kind": "lead", "number": 1100, "fields": {"city": "Paris"}}])
        seen += [row["id"] for page in pages for row in page]
        live = {row["id"] for row in fake.dialects["pipedrive"].truth("leads") if not row["_deleted"]}
        assert len(seen) == len(set(seen))
        assert live <= set(seen)
        # Others may have changed behind the reader's back: the next load begins where this one began.
        assert state["changed"] == begun.now.isoformat()

    def test_changed_archived_leads_are_read_until_those_that_are_known(self) -> None:
        fake = FakeCrm()
        world = fake.world
        world.apply({"op": "create", "kind": "lead"} for _ in range(1200))
        world.apply({"op": "archive", "kind": "lead", "number": number} for number in range(1, 1200))
        state = {"changed": (world.now + timedelta(hours=1)).isoformat()}
        world.move_clock(world.now + timedelta(hours=2))
        world.apply([{"op": "archive", "kind": "lead", "number": 1200}])
        table = self.table(fake, "leads")
        fake.gate.calls.clear()
        [archived] = [row for page in table.read(state, self.known(fake)) for row in page]
        assert archived["is_archived"]
        assert sum(fake.gate.calls.values()) == 2

    # --- settings, refusals and tokens --------------------------------------------------------------------------------

    def test_configured_fields_are_loaded_and_others_are_refused_with_the_nearest(self) -> None:
        fake = FakeCrm()
        key = custom_key(fake.world.custom("contact")[0])
        fake.world.apply([{"op": "create", "kind": "contact", "fields": {"email": "a@mail.example"}}])
        fake.world.apply([{"op": "create", "kind": "deal", "fields": {"stage": "closedwon"}}])
        more = {"persons": ["emails"], "deals": ["first_won_time"]}
        wanted = Settings(address=ORIGIN, properties=more, client_id="ga_client_id")
        assert not {"name", "emails", "phones", "field.emails"} & self.table(fake, "persons").columns.keys()
        [[person]] = self.read(fake, self.table(fake, "persons", wanted))
        assert '"value": "a@mail.example"' in person["field.emails"]
        deals = self.table(fake, "deals", wanted)
        assert deals.columns["field.first_won_time"] == "timestamp"
        assert next(iter(self.read(fake, deals)))[0]["field.first_won_time"] == fake.world.now
        assert self.tables(fake, Settings(address=ORIGIN, client_id=key, objects=["persons"]))
        with pytest.raises(CrmError, match="persons have no property 'email'; write emails"):
            self.tables(fake, Settings(address=ORIGIN, properties={"persons": ["email"]}))
        with pytest.raises(CrmError, match="has the client id 'ga_clientid'; write ga_client_id"):
            self.tables(fake, Settings(address=ORIGIN, client_id="ga_clientid"))

    def test_the_tables_are_those_declared(self) -> None:
        for objects in ([], ["persons"], ["leads", "deals"]):
            settings = Settings(address=ORIGIN, objects=objects)
            declared = find_crm("pipedrive")(settings).declared()
            assert [table.name for table in declared] == [t.name for t in self.tables(FakeCrm(), settings)]

    def test_a_spent_budget_is_not_tried_again_and_the_limit_of_bursts_is(self) -> None:
        fake = FakeCrm()
        fake.gate.faults = [Fault("pipedrive", "429", times=5)]
        self.tables(fake)
        assert sum(fake.gate.calls.values()) == 3 + 5
        fake = FakeCrm()
        fake.dialects["pipedrive"].settings.daily_budget = 20
        with pytest.raises(CrmBudgetError, match="next day"):
            self.tables(fake)
        assert sum(fake.gate.calls.values()) == 3
        # Without the header only time tells the one from the other.
        fake = FakeCrm()
        fake.gate.faults = [Fault("pipedrive", "429", times=None)]
        with pytest.raises(CrmBudgetError):
            self.tables(fake)

    def test_refusals_name_what_to_do(self) -> None:
        fake = FakeCrm()
        fake.dialects["pipedrive"].settings.forbidden = frozenset({"persons", "leads"})
        for name, scope in (("persons", "contacts:read"), ("leads", "leads:read")):
            with pytest.raises(CrmError, match=f"{name} need the scope {scope}"):
                list(self.read(fake, self.table(fake, name)))
        client = self.client(fake, self.secrets(fake))
        with pytest.raises(CrmError, match="check the address"):
            client.call("GET", "/api/v2/nothing")
        blocked = requests.Response()
        blocked.status_code, blocked.headers["Content-Type"] = 403, "text/html"
        blocked.request = requests.Request("GET", f"{ORIGIN}/api/v2/deals").prepare()
        assert "blocks this token" in str(client._explain(blocked))

    def test_a_token_that_ends_is_renewed_once_and_an_api_token_is_no_bearer(self) -> None:
        fake = FakeCrm()
        names = ("client_id", "client_secret", "refresh_token")
        client = self.client(fake, {name: Pipedrive.credentials[name] for name in names})
        client.call("GET", "/api/v1/users")
        fake.gate.faults = [Fault("pipedrive", "401", path="/api/")]
        client.call("GET", "/api/v1/users")
        assert fake.gate.calls["pipedrive", "POST", "/oauth/token"] == 2
        wrong = self.client(fake, {**{name: Pipedrive.credentials[name] for name in names}, "refresh_token": "x"})
        with pytest.raises(CrmError, match="environment"):
            wrong.call("GET", "/api/v1/users")

    @pytest.mark.parametrize(
        ("kind", "value", "read"),
        [
            ("double", "12.5", 12.5),
            ("double", "many", "many"),
            ("monetary", {"value": 500, "currency": "USD"}, 500.0),
            ("monetary", 500, 500.0),
            ("enum", 12, "Hot"),
            ("enum", "12", "Hot"),
            ("enum", 99, "99"),
            ("set", [12, 13], '["Hot", "Cold"]'),
            ("set", "12,13", '["Hot", "Cold"]'),
            ("people", {"value": 7, "name": "A person"}, "7"),
            ("user", 7, "7"),
            ("date", "2025-01-31", date(2025, 1, 31)),
            ("boolean", 1, True),
            ("boolean", "maybe", "maybe"),
            ("varchar", "007", "007"),
            ("varchar", "", None),
            ("time", {"value": "09:00:00"}, '{"value": "09:00:00"}'),
        ],
    )
    def test_values_of_both_versions_of_the_api(self, kind: str, value: Any, read: Any) -> None:
        options = {"12": "Hot", "13": "Cold"} if kind in ("enum", "set") else {}
        assert Field(["custom_fields", "key"], kind, options).value({"custom_fields": {"key": value}}) == read
        assert Field(["custom_fields", "key"], kind, options).value({"custom_fields": None}) is None

    # --- helpers ------------------------------------------------------------------------------------------------------

    def ids_of_lead_sql(self, tmp_path: Path) -> set[str]:
        text = (DOCS / self.crm / "lead.sql").read_text(encoding="utf-8")
        [sql] = sqlglot.transpile(text, read="bigquery", write="duckdb")
        with duckdb.connect(str(tmp_path / "crm.duckdb"), read_only=True) as connection:
            days = {"start_date": date(2025, 1, 1), "end_date": date(2025, 12, 31)}
            return {row[0] for row in connection.execute(sql, days).fetchall()}

    def table(self, fake: FakeCrm, name: str, settings: Settings | None = None) -> SourceTable:
        return next(table for table in self.tables(fake, settings) if table.name == name)

    def known(self, fake: FakeCrm) -> SimpleNamespace:
        return SimpleNamespace(compare=False, now=fake.world.now)

    def read(self, fake: FakeCrm, table: SourceTable) -> Sequence[list[Row]]:
        return [page for page in table.read({}, self.known(fake)) if page]

    def client(self, fake: FakeCrm, secrets: dict[str, str]) -> Client:
        return find_crm(self.crm)(self.settings).client(secrets, Patience(backoff=0), session(fake))
