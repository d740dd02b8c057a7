"""The fake Dataverse hides and refuses what Dataverse does."""

from collections.abc import Iterator
from typing import Any

import pytest

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.dynamics_tables import guid
from conversions_assets_tests.demo.caller import ORIGIN, Caller

API = "/api/data/v9.2"
TRACKED = {"Prefer": "odata.maxpagesize=2, odata.track-changes"}


@pytest.fixture
def dynamics() -> Iterator[Caller]:
    caller = Caller(FakeCrm(), "dynamics")
    renew(caller)
    yield caller
    caller.close()


def grant(caller: Caller) -> dict[str, str]:
    known = {name: caller.credentials[name] for name in ("client_id", "client_secret")}
    return {"grant_type": "client_credentials", "scope": f"{ORIGIN}/.default", **known}


def renew(caller: Caller) -> None:
    url = f"/{caller.credentials['tenant_id']}/oauth2/v2.0/token"
    caller.token = caller.call("POST", url, data=grant(caller)).json()["access_token"]


def walk(caller: Caller, url: str) -> tuple[list[dict[str, Any]], str | None]:
    """All pages, links taken verbatim; rows and the deltaLink."""
    rows: list[dict[str, Any]] = []
    while True:
        page = caller.get(url, headers=TRACKED)
        rows += page["value"]
        if "@odata.nextLink" not in page:
            return rows, page.get("@odata.deltaLink")
        assert "@odata.deltaLink" not in page
        url = page["@odata.nextLink"]


def test_a_delta_gives_changed_rows_whole_and_of_deleted_ones_only_the_id(dynamics: Caller) -> None:
    numbers = [dynamics.create("lead", title=f"Enquiry {n}") for n in range(5)]
    rows, link = walk(dynamics, f"{API}/leads?$select=subject")
    assert [row["leadid"] for row in rows] == [guid("lead", number) for number in numbers]
    assert link is not None
    assert walk(dynamics, link)[0] == []
    dynamics.events(
        {"op": "update", "kind": "lead", "number": 1, "fields": {"title": "twice"}},
        {"op": "delete", "kind": "lead", "number": 2},
        {"op": "erase", "kind": "lead", "number": 3},
        {"op": "update", "kind": "lead", "number": 1, "fields": {"title": "once"}},
    )
    changes, later = walk(dynamics, link)
    assert changes == [
        {"@odata.context": f"{ORIGIN}{API}/$metadata#leads/$deletedEntity", "id": guid("lead", 2), "reason": "deleted"},
        {"@odata.context": f"{ORIGIN}{API}/$metadata#leads/$deletedEntity", "id": guid("lead", 3), "reason": "deleted"},
        {"@odata.etag": 'W/"9"', "subject": "once", "leadid": guid("lead", 1)},
    ]
    # The old link tells the same again: a client that lost its state repeats it.
    assert walk(dynamics, link)[0] == changes
    dynamics.events({"op": "restore", "kind": "lead", "number": 2})
    assert later is not None
    assert [row["leadid"] for row in walk(dynamics, later)[0]] == [guid("lead", 2)]


def test_what_happens_between_two_pages_is_in_the_next_delta(dynamics: Caller) -> None:
    for _ in range(4):
        dynamics.create("contact")
    page = dynamics.get(f"{API}/contacts?$select=firstname", headers=TRACKED)
    dynamics.events({"op": "update", "kind": "contact", "number": 1, "fields": {"first_name": "New"}})
    dynamics.create("contact")
    rows, link = walk(dynamics, page["@odata.nextLink"])
    assert link is not None
    assert {row["contactid"] for row in rows} >= {guid("contact", 3), guid("contact", 4)}
    changes, later = walk(dynamics, link)
    assert [(row["contactid"], row["firstname"]) for row in changes] == [
        (guid("contact", 1), "New"),
        (guid("contact", 5), None),
    ]
    assert later is not None
    # And between two pages of a delta.
    for number in (1, 2, 3):
        dynamics.events({"op": "update", "kind": "contact", "number": number, "fields": {"city": "Berlin"}})
    page = dynamics.get(later, headers=TRACKED)
    dynamics.events({"op": "delete", "kind": "contact", "number": 3})
    rest, last = walk(dynamics, page["@odata.nextLink"])
    assert last is not None
    assert rest == []
    assert [row["id"] for row in walk(dynamics, last)[0]] == [guid("contact", 3)]


def test_a_delta_token_expires_after_7_days(dynamics: Caller) -> None:
    _, link = walk(dynamics, f"{API}/leads?$select=subject")
    assert link is not None
    dynamics.later(days=7)
    renew(dynamics)
    assert walk(dynamics, link)[0] == []
    dynamics.later(seconds=1)
    status, text = dynamics.refused("GET", link)
    assert (status, "0x80044352" in text, "full sync" in text) == (400, True, True)


def test_without_track_changes_there_is_no_delta(dynamics: Caller) -> None:
    dynamics.create("company", name="A")
    page = dynamics.get(f"{API}/accounts?$select=name")
    assert [row["name"] for row in page["value"]] == ["A"]
    assert "@odata.deltaLink" not in page


def test_merged_rows_stay_deactivated(dynamics: Caller) -> None:
    for _ in range(3):
        dynamics.create("contact")
    _, link = walk(dynamics, f"{API}/contacts?$select=merged,statecode,_masterid_value")
    dynamics.events({"op": "merge", "kind": "contact", "number": 1, "other": 2})
    assert link is not None
    [merged] = [row for row in walk(dynamics, link)[0] if row["contactid"] == guid("contact", 2)]
    assert (merged["merged"], merged["statecode"], merged["_masterid_value"]) == (True, 1, guid("contact", 1))
    assert len(walk(dynamics, f"{API}/contacts")[0]) == 3


def test_opportunities_cannot_be_merged_and_are_deleted_instead(dynamics: Caller) -> None:
    deals = [dynamics.create("deal") for _ in range(2)]
    _, link = walk(dynamics, f"{API}/opportunities?$select=name")
    dynamics.events({"op": "merge", "kind": "deal", "number": deals[0], "other": deals[1]})
    assert link is not None
    changes = {row.get("id"): row.get("reason") for row in walk(dynamics, link)[0]}
    assert changes == {guid("deal", deals[1]): "deleted", None: None}
    assert len(walk(dynamics, f"{API}/opportunities")[0]) == 1


@pytest.mark.parametrize(
    ("url", "prefer", "status"),
    [
        (f"{API}/leads?$filter=statecode eq 0", "", 400),
        (f"{API}/leads?$orderby=createdon", "odata.track-changes", 400),
        (f"{API}/leads?$select=emailaddress9", "", 400),
        (f"{API}/leads", "odata.maxpagesize=5001", 400),
        (f"{API}/leads", "odata.everything", 400),
        (f"{API}/leads?$skiptoken=1", "", 400),
        (f"{API}/lead", "", 404),
    ],
)
def test_unknown_options_and_oversize_pages_are_refused(dynamics: Caller, url: str, prefer: str, status: int) -> None:
    assert dynamics.refused("GET", url, headers={"Prefer": prefer})[0] == status


def test_a_link_that_was_changed_is_refused(dynamics: Caller) -> None:
    for _ in range(3):
        dynamics.create("lead")
    page = dynamics.get(f"{API}/leads?$select=subject", headers=TRACKED)
    changed = page["@odata.nextLink"].replace("subject", "jobtitle")
    assert dynamics.refused("GET", changed)[0] == 400
    assert dynamics.refused("GET", page["@odata.nextLink"].replace("/leads", "/contacts"))[0] == 400
    assert dynamics.refused("GET", page["@odata.nextLink"].replace("$skiptoken", "$deltatoken"))[0] == 400


def test_won_opportunities_and_their_references(dynamics: Caller) -> None:
    contact, deal = dynamics.create("contact"), dynamics.create("deal", amount=12.5, currency="USD", stage="190001")
    dynamics.events({"op": "associate", "deal": deal, "contact": contact})
    columns = "statecode,actualvalue,actualclosedate,_parentcontactid_value,_transactioncurrencyid_value,stepname"
    [row] = dynamics.get(f"{API}/opportunities?$select={columns}")["value"]
    assert (row["statecode"], row["actualvalue"], row["_parentcontactid_value"]) == (0, None, guid("contact", contact))
    dynamics.later(days=1)
    renew(dynamics)
    dynamics.events({"op": "stage", "number": deal, "stage": "190003"})
    [row] = dynamics.get(f"{API}/opportunities?$select={columns}")["value"]
    assert (row["statecode"], row["actualvalue"], row["actualclosedate"]) == (1, 12.5, "2025-01-02")
    codes = {
        r["transactioncurrencyid"]: r["isocurrencycode"] for r in dynamics.get(f"{API}/transactioncurrencies")["value"]
    }
    assert codes[row["_transactioncurrencyid_value"]] == "USD"


def test_custom_columns_keep_their_logical_name(dynamics: Caller) -> None:
    dynamics.create("lead", ga_client_id="1.2")
    dynamics.events({"op": "rename_field", "kind": "lead", "name": "ga_client_id", "label": "Client"})
    attributes = dynamics.get(f"{API}/EntityDefinitions(LogicalName='lead')/Attributes")["value"]
    [custom] = [attribute for attribute in attributes if attribute["IsCustomAttribute"]]
    assert custom["LogicalName"] == "new_gaclientid"
    assert custom["DisplayName"]["UserLocalizedLabel"]["Label"] == "Client"
    assert dynamics.get(f"{API}/leads?$select=new_gaclientid")["value"][0]["new_gaclientid"] == "1.2"


def test_columns_are_described_with_their_types(dynamics: Caller) -> None:
    url = f"{API}/EntityDefinitions(LogicalName='opportunity')/Attributes"
    kinds = {row["LogicalName"]: row["AttributeType"] for row in dynamics.get(url)["value"]}
    assert (kinds["opportunityid"], kinds["actualvalue"], kinds["ownerid"]) == ("Uniqueidentifier", "Money", "Owner")
    assert {kind for name, kind in kinds.items() if name in ("owneridname", "stepname")} == {"String"}
    times = dynamics.get(f"{url}/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=DateTimeBehavior")["value"]
    behaviours = {row["LogicalName"]: row["DateTimeBehavior"]["Value"] for row in times}
    assert (behaviours["actualclosedate"], behaviours["createdon"]) == ("DateOnly", "UserLocal")
    assert dynamics.refused("GET", f"{url}?$select=Nothing")[0] == 400
    tracked = f"{API}/EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true"
    assert {"LogicalName": "opportunity"} in dynamics.get(tracked)["value"]


def test_the_token_endpoint_checks_tenant_scope_and_secret(dynamics: Caller) -> None:
    url = f"/{dynamics.credentials['tenant_id']}/oauth2/v2.0/token"
    for changed, code in (({"scope": "https://graph.example/.default"}, "70011"), ({"client_secret": "no"}, "7000215")):
        assert code in dynamics.refused("POST", url, data=grant(dynamics) | changed)[1]
    assert "90002" in dynamics.refused("POST", "/other/oauth2/v2.0/token", data=grant(dynamics))[1]
    dynamics.post("/fake/settings", {"dynamics": {"forbidden": ["leads"]}})
    status, text = dynamics.refused("GET", f"{API}/leads")
    assert (status, "prvReadLead" in text) == (403, True)
    dynamics.later(hours=1)
    assert dynamics.refused("GET", f"{API}/contacts")[0] == 401
