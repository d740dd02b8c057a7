"""The fake Pipedrive hides and refuses what Pipedrive does."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets_tests.demo.caller import Caller

DEALS, PERSONS = "/api/v2/deals", "/api/v2/persons"


@pytest.fixture
def pipedrive() -> Iterator[Caller]:
    caller = Caller(FakeCrm(), "pipedrive")
    yield caller
    caller.close()


def listed(caller: Caller, url: str, **parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = caller.get(url, **parameters)
        rows += page["data"]
        cursor = page["additional_data"]["next_cursor"]
        if cursor is None:
            return rows
        parameters["cursor"] = cursor


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def test_deleted_deals_can_be_asked_for_during_30_days(pipedrive: Caller) -> None:
    kept, gone = pipedrive.create("deal"), pipedrive.create("deal")
    pipedrive.later(hours=1)
    pipedrive.events({"op": "delete", "kind": "deal", "number": gone})
    assert ids(listed(pipedrive, DEALS)) == [kept]
    [row] = listed(pipedrive, DEALS, status="deleted", updated_since="2025-01-01T01:00:00Z")
    assert (row["id"], row["is_deleted"], row["status"]) == (gone, True, "deleted")
    assert ids(listed(pipedrive, DEALS, status="open,deleted", limit=1)) == [kept, gone]
    pipedrive.later(days=30)
    assert listed(pipedrive, DEALS, status="deleted") == []


def test_merged_deals_are_deleted_and_deleted_persons_are_nowhere(pipedrive: Caller) -> None:
    for kind in ("deal", "contact"):
        pipedrive.create(kind)
        pipedrive.create(kind)
        pipedrive.events({"op": "merge", "kind": kind, "number": 1, "other": 2})
    assert ids(listed(pipedrive, DEALS, status="deleted")) == [2]
    assert ids(listed(pipedrive, PERSONS)) == [1]
    assert pipedrive.refused("GET", PERSONS, params={"status": "deleted"})[0] == 400


def test_archived_deals_and_leads_have_lists_of_their_own(pipedrive: Caller) -> None:
    for kind in ("deal", "lead"):
        pipedrive.create(kind)
        pipedrive.create(kind)
        pipedrive.events({"op": "archive", "kind": kind, "number": 1})
    assert ids(listed(pipedrive, DEALS)) == [2]
    assert [(row["id"], row["is_archived"]) for row in listed(pipedrive, DEALS + "/archived")] == [(1, True)]
    assert [row["is_archived"] for row in pipedrive.get("/api/v1/leads")["data"]] == [False]
    assert [row["is_archived"] for row in pipedrive.get("/api/v1/leads/archived")["data"]] == [True]
    pipedrive.events({"op": "unarchive", "kind": "deal", "number": 1})
    assert ids(listed(pipedrive, DEALS)) == [1, 2]


def test_updated_since_is_inclusive_and_a_pages_edge_within_a_second_loses_none(pipedrive: Caller) -> None:
    pipedrive.create("deal")
    pipedrive.later(seconds=10, milliseconds=250)
    for _ in range(5):
        pipedrive.create("deal")
        pipedrive.later(milliseconds=100)
    found = listed(pipedrive, DEALS, sort_by="update_time", updated_since="2025-01-01T00:00:10Z", limit=2)
    assert ids(found) == [2, 3, 4, 5, 6]
    assert {row["update_time"] for row in found} == {"2025-01-01T00:00:10Z"}
    assert listed(pipedrive, DEALS, updated_since="2025-01-01T01:00:11+01:00") == []
    assert ids(listed(pipedrive, DEALS, updated_until="2025-01-01T00:00:09Z")) == [1]
    pipedrive.later(seconds=1)
    pipedrive.events({"op": "update", "kind": "deal", "number": 1, "fields": {"amount": 2.0}})
    assert ids(listed(pipedrive, DEALS, sort_by="update_time", limit=4)) == [2, 3, 4, 5, 6, 1]


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "501"},
        {"start": "0"},
        {"status": "gone"},
        {"sort_by": "title"},
        {"updated_since": "2025-01-01 00:00:00"},
        {"updated_since": "yesterday"},
        {"custom_fields": ",".join("abcdefghijklmnop")},
        {"cursor": "eyJpZCI6MX0"},
    ],
)
def test_unknown_parameters_and_oversize_limits_are_refused(pipedrive: Caller, parameters: dict[str, str]) -> None:
    assert pipedrive.refused("GET", DEALS, params=parameters)[0] == 400


def test_a_cursor_belongs_to_its_query(pipedrive: Caller) -> None:
    for _ in range(3):
        pipedrive.create("deal")
    cursor = pipedrive.get(DEALS, limit=1)["additional_data"]["next_cursor"]
    assert pipedrive.get(DEALS, limit=2, cursor=cursor)["additional_data"]["next_cursor"] is None
    assert pipedrive.refused("GET", DEALS, params={"cursor": cursor, "status": "won"})[0] == 400
    assert pipedrive.refused("GET", DEALS + "/archived", params={"cursor": cursor})[0] == 400


def test_won_is_a_status_and_the_stage_stays(pipedrive: Caller) -> None:
    person, deal = pipedrive.create("contact", email="a@mail.example"), pipedrive.create("deal", stage="190002")
    pipedrive.events({"op": "associate", "deal": deal, "contact": person})
    pipedrive.later(hours=2)
    pipedrive.events({"op": "stage", "number": deal, "stage": "190003"})
    [row] = listed(pipedrive, DEALS, status="won")
    assert (row["status"], row["won_time"], row["lost_time"]) == ("won", "2025-01-01T02:00:00Z", None)
    assert (row["person_id"], row["pipeline_id"]) == (person, 2)
    stages = {stage["id"]: stage["name"] for stage in pipedrive.get("/api/v2/stages")["data"]}
    assert stages[row["stage_id"]] == "Proof of Concept"
    assert listed(pipedrive, PERSONS)[0]["emails"][0]["value"] == "a@mail.example"


def test_custom_fields_hide_behind_keys_of_40_characters(pipedrive: Caller) -> None:
    pipedrive.create("deal", ga_client_id="1.2")
    pipedrive.create("lead", title="Enquiry", ga_client_id="3.4")
    fields = {field["field_name"]: field["field_code"] for field in listed(pipedrive, "/api/v2/dealFields")}
    key = fields["GA Client ID"]
    assert len(key) == 40
    assert listed(pipedrive, DEALS)[0]["custom_fields"] == {key: "1.2"}
    assert listed(pipedrive, DEALS, custom_fields="other")[0]["custom_fields"] == {}
    # Leads carry the deals' key, and not in an object of its own.
    assert pipedrive.get("/api/v1/leads")["data"][0][key] == "3.4"
    pipedrive.events({"op": "rename_field", "kind": "deal", "name": "ga_client_id", "label": "Client"})
    fields = {field["field_name"]: field["field_code"] for field in listed(pipedrive, "/api/v2/dealFields")}
    assert fields["Client"] == key
    assert "GA Client ID" in {field["field_name"] for field in listed(pipedrive, "/api/v2/personFields")}


def test_a_choice_is_the_id_of_its_option(pipedrive: Caller) -> None:
    for kind in ("deal", "lead"):
        pipedrive.events({"op": "add_field", "kind": kind, "name": "urgent", "label": "Urgent", "type": "bool"})
        pipedrive.create(kind, urgent=False)
    field = listed(pipedrive, "/api/v2/dealFields")[-1]
    assert (field["field_type"], field["options"][1]) == ("enum", {"id": 2, "label": "No"})
    assert listed(pipedrive, DEALS)[0]["custom_fields"][field["field_code"]] == 2
    assert pipedrive.get("/api/v1/leads")["data"][0][field["field_code"]] == "2"


def test_a_lead_that_became_a_deal_is_in_no_list(pipedrive: Caller) -> None:
    deal, lead = pipedrive.create("deal"), pipedrive.create("lead", title="Enquiry")
    [row] = pipedrive.get("/api/v1/leads")["data"]
    pipedrive.events({"op": "update", "kind": "lead", "number": lead, "fields": {"converted_deal": deal}})
    assert pipedrive.get("/api/v1/leads")["data"] == pipedrive.get("/api/v1/leads/archived")["data"] == []
    assert listed(pipedrive, DEALS)[0]["source_lead_id"] == row["id"]
    assert pipedrive.truth("leads")[0]["_deleted"]


def test_optional_fields_are_shown_to_those_who_ask(pipedrive: Caller) -> None:
    deal = pipedrive.create("deal")
    pipedrive.events({"op": "stage", "number": deal, "stage": "closedwon"})
    assert "first_won_time" not in listed(pipedrive, DEALS)[0]
    assert listed(pipedrive, DEALS, include_fields="first_won_time")[0]["first_won_time"] == "2025-01-01T00:00:00Z"
    assert pipedrive.refused("GET", DEALS, params={"include_fields": "first_lost_time"})[0] == 400


def test_v1_pages_by_offset(pipedrive: Caller) -> None:
    for number in range(3):
        pipedrive.create("lead", title=f"Enquiry {number}", amount=1.0, currency="EUR")
    page = pipedrive.get("/api/v1/leads", limit=2)
    assert page["additional_data"]["pagination"] == {
        "start": 0,
        "limit": 2,
        "more_items_in_collection": True,
        "next_start": 2,
    }
    [last] = pipedrive.get("/api/v1/leads", start=2, limit=2)["data"]
    assert (last["title"], last["value"]) == ("Enquiry 2", {"amount": 1.0, "currency": "EUR"})
    assert pipedrive.refused("GET", "/api/v1/leads", params={"cursor": "x"})[0] == 400
    pipedrive.later(seconds=5)
    pipedrive.events({"op": "update", "kind": "lead", "number": 2, "fields": {"title": "Second"}})
    [changed] = pipedrive.get("/api/v1/leads", updated_since="2025-01-01T00:00:05Z")["data"]
    assert changed["title"] == "Second"
    for number in (1, 2):
        pipedrive.events({"op": "archive", "kind": "lead", "number": number})
        pipedrive.later(seconds=5)
    newest = pipedrive.get("/api/v1/leads/archived", sort="update_time DESC")["data"]
    assert [row["title"] for row in newest] == ["Second", "Enquiry 0"]
    assert (
        pipedrive.refused("GET", "/api/v1/leads/archived", params={"updated_since": "2025-01-01T00:00:05Z"})[0] == 400
    )


def test_tokens(pipedrive: Caller) -> None:
    """An API token has a header of its own, and is no Bearer."""
    static = pipedrive.token
    assert pipedrive.get(DEALS)["success"]
    for headers in ({"x-api-token": "wrong"}, {"Authorization": f"Bearer {static}"}):
        pipedrive.headers = headers
        assert pipedrive.refused("GET", DEALS)[0] == 401
    pair = f"{pipedrive.credentials['client_id']}:{pipedrive.credentials['client_secret']}"
    basic = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    grant = {"grant_type": "refresh_token", "refresh_token": pipedrive.credentials["refresh_token"]}
    assert pipedrive.refused("POST", "/oauth/token", data=grant)[0] == 401
    assert pipedrive.refused("POST", "/oauth/token", headers=basic, data=grant | {"refresh_token": "x"})[0] == 400
    granted = pipedrive.call("POST", "/oauth/token", headers=basic, data=grant).json()["access_token"]
    pipedrive.headers = {"Authorization": f"Bearer {granted}"}
    assert pipedrive.get(DEALS)["success"]
    pipedrive.later(hours=1)
    assert pipedrive.refused("GET", DEALS)[0] == 401


def test_the_daily_budget_counts_tokens(pipedrive: Caller) -> None:
    """A list of v2 costs 10, one of v1 20."""
    pipedrive.post("/fake/settings", {"pipedrive": {"daily_budget": 35}})
    assert pipedrive.get(DEALS)["success"]
    assert pipedrive.get("/api/v1/leads")["success"]
    refused = pipedrive.call("GET", DEALS)
    assert (refused.status_code, refused.headers["x-daily-ratelimit-token-remaining"]) == (429, "0")
    pipedrive.later(days=1)
    assert pipedrive.get(DEALS)["success"]
