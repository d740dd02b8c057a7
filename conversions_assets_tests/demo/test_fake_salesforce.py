"""The fake Salesforce hides and refuses what Salesforce does."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.salesforce_objects import salesforce_id
from conversions_assets_tests.demo.caller import ORIGIN, Caller

DATA = "/services/data/v62.0"
JOBS = DATA + "/jobs/query"


@pytest.fixture
def salesforce() -> Iterator[Caller]:
    caller = Caller(FakeCrm(), "salesforce")
    grant = {"grant_type": "client_credentials", **caller.credentials}
    granted = caller.call("POST", "/services/oauth2/token", data=grant).json()
    assert granted["instance_url"] == ORIGIN
    caller.token = granted["access_token"]
    yield caller
    caller.close()


def run(caller: Caller, query: str, resource: str = "query") -> list[dict[str, Any]]:
    page = caller.get(f"{DATA}/{resource}", q=query)
    rows: list[dict[str, Any]] = page["records"]
    while not page["done"]:
        page = caller.get(page["nextRecordsUrl"])
        rows += page["records"]
    assert page["totalSize"] == len(rows)
    return rows


def fails(caller: Caller, query: str) -> str:
    status, text = caller.refused("GET", f"{DATA}/query", params={"q": query})
    assert status == 400
    return str(json.loads(text)[0]["errorCode"])


def deleted(caller: Caller, start: str, end: str) -> httpx.Response:
    return caller.call("GET", f"{DATA}/sobjects/Lead/deleted/", params={"start": start, "end": end})


def test_query_hides_the_deleted_and_query_all_shows_them_for_15_days(salesforce: Caller) -> None:
    kept, gone, erased = (salesforce.create("lead", email=f"{n}@mail.example") for n in range(3))
    salesforce.events(
        {"op": "delete", "kind": "lead", "number": gone}, {"op": "erase", "kind": "lead", "number": erased}
    )
    query = "SELECT Id, IsDeleted FROM Lead ORDER BY SystemModstamp, Id"
    ids = {number: salesforce_id("lead", number) for number in (kept, gone)}
    assert [(row["Id"], row["IsDeleted"]) for row in run(salesforce, query)] == [(ids[kept], False)]
    everything = [(row["Id"], row["IsDeleted"]) for row in run(salesforce, query, "queryAll")]
    assert everything == [(ids[kept], False), (ids[gone], True)]
    salesforce.later(days=15)
    renew(salesforce)
    assert [row["Id"] for row in run(salesforce, query, "queryAll")] == [ids[kept]]


def renew(caller: Caller) -> None:
    grant = {"grant_type": "client_credentials", **caller.credentials}
    caller.token = caller.call("POST", "/services/oauth2/token", data=grant).json()["access_token"]


def test_merged_records_are_deleted_and_name_their_master(salesforce: Caller) -> None:
    winner, loser = salesforce.create("contact"), salesforce.create("contact")
    salesforce.events({"op": "merge", "kind": "contact", "number": winner, "other": loser})
    rows = run(salesforce, "SELECT Id, IsDeleted, MasterRecordId FROM Contact WHERE IsDeleted = TRUE", "queryAll")
    assert [(row["Id"], row["MasterRecordId"]) for row in rows] == [
        (salesforce_id("contact", loser), salesforce_id("contact", winner))
    ]
    # Opportunities cannot be merged: what another CRM merges is deleted here.
    winner, loser = salesforce.create("deal"), salesforce.create("deal")
    salesforce.events({"op": "merge", "kind": "deal", "number": winner, "other": loser})
    truth = salesforce.call("GET", "/fake/truth/salesforce/Opportunity").text.splitlines()
    found = [(row["_deleted"], row["_merged_into"]) for row in map(json.loads, truth)]
    assert found == [(False, None), (True, None)]
    salesforce.events(
        {"op": "merge", "kind": "deal", "number": winner, "other": salesforce.create("deal"), "new_record": True}
    )
    query = "SELECT Id, CloseDate FROM Opportunity"
    assert [(row["Id"], row["CloseDate"]) for row in run(salesforce, query)] == [
        (salesforce_id("deal", 4), "2025-01-01")
    ]
    # One row for each opportunity that was ever created.
    assert len(run(salesforce, "SELECT Id FROM OpportunityHistory")) == 4


def test_hard_deletes_are_in_the_deleted_list_within_its_limits(salesforce: Caller) -> None:
    lead = salesforce.create("lead")
    salesforce.later(minutes=5)
    salesforce.events({"op": "erase", "kind": "lead", "number": lead})
    salesforce.later(minutes=5)
    found = deleted(salesforce, "2025-01-01T00:00:00+00:00", "2025-01-01T00:10:00Z").json()
    assert [row["id"] for row in found["deletedRecords"]] == [salesforce_id("lead", lead)]
    assert found["latestDateCovered"].startswith("2025-01-01T00:10")
    assert deleted(salesforce, "2025-01-01T00:06:00Z", "2025-01-01T00:10:00Z").json()["deletedRecords"] == []
    for start, end in (
        ("2025-01-01T00:10:00Z", "2025-01-01T00:10:30Z"),
        ("2024-11-01T00:00:00Z", "2025-01-01T00:10:00Z"),
    ):
        assert "INVALID_REPLICATION_DATE" in deleted(salesforce, start, end).text
    salesforce.later(days=16)
    renew(salesforce)
    assert deleted(salesforce, "2025-01-01T00:00:00Z", "2025-01-17T00:00:00Z").json()["deletedRecords"] == []


def test_more_than_2000_rows_come_by_next_records_url(salesforce: Caller) -> None:
    salesforce.events(*({"op": "create", "kind": "contact"} for _ in range(2_001)))
    query = "SELECT Id FROM Contact WHERE SystemModstamp >= 2025-01-01T00:00:00Z ORDER BY SystemModstamp, Id"
    first = salesforce.get(DATA + "/query", q=query)
    assert (len(first["records"]), first["totalSize"], first["done"]) == (2000, 2001, False)
    # The cursor holds what the query found, whatever happens in between.
    salesforce.events({"op": "delete", "kind": "contact", "number": 2001}, {"op": "create", "kind": "contact"})
    rest = salesforce.get(first["nextRecordsUrl"])["records"]
    assert [row["Id"] for row in rest] == [salesforce_id("contact", 2001)]
    for resource, count in (("query", 2001), ("queryAll", 2002)):
        counted = salesforce.get(f"{DATA}/{resource}", q="SELECT COUNT() FROM Contact")
        assert counted == {"totalSize": count, "done": True, "records": []}
    assert (
        len(salesforce.get(DATA + "/query", headers={"Sforce-Query-Options": "batchSize=200"}, q=query)["records"])
        == 200
    )
    salesforce.later(days=2, seconds=1)
    renew(salesforce)
    status, text = salesforce.refused("GET", first["nextRecordsUrl"])
    assert (status, "INVALID_QUERY_LOCATOR" in text) == (400, True)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT * FROM Lead", "INVALID_FIELD"),
        ("SELECT Id, Wrong__c FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Leads", "INVALID_TYPE"),
        ("SELECT Id, Id FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE SystemModstamp >= '2025-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp >= 2025-01-01", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Email = ada", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Email = 'a' OR Email = 'b'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead ORDER BY Id SIDEWAYS", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM Lead ORDER BY Id", "MALFORMED_QUERY"),
        ("SELECT COUNT(), Id FROM Lead", "INVALID_FIELD"),
        ("DELETE FROM Lead", "MALFORMED_QUERY"),
    ],
)
def test_wrong_soql_is_refused(salesforce: Caller, query: str, code: str) -> None:
    assert fails(salesforce, query) == code


def test_conditions_order_and_limit(salesforce: Caller) -> None:
    for city in ("O'Brien", "Berlin", "Vienna"):
        salesforce.create("contact", city=city, lead_source="Web")
        salesforce.later(seconds=1)
    assert [
        row["MailingCity"] for row in run(salesforce, r"SELECT MailingCity FROM Contact WHERE MailingCity = 'O\'Brien'")
    ] == ["O'Brien"]
    query = (
        "select MailingCity from contact where MailingCity IN ('Berlin', 'Vienna') AND Title = NULL "
        "order by SystemModstamp DESC limit 1"
    )
    assert [row["MailingCity"] for row in run(salesforce, query)] == ["Vienna"]
    query = "SELECT MailingCity FROM Contact WHERE SystemModstamp > 2025-01-01T01:00:01+01:00"
    assert [row["MailingCity"] for row in run(salesforce, query)] == ["Vienna"]


def test_a_bulk_query_gives_csv_in_parts(salesforce: Caller) -> None:
    salesforce.events(
        *({"op": "create", "kind": "deal", "fields": {"name": 'A "B", C', "amount": 1.5}} for _ in range(5))
    )
    job = salesforce.post(JOBS, {"operation": "queryAll", "query": "SELECT Id, Name, Amount, IsWon FROM Opportunity"})[
        "id"
    ]
    assert salesforce.refused("GET", f"{JOBS}/{job}/results")[0] == 400
    states = [salesforce.get(f"{JOBS}/{job}")["state"] for _ in range(3)]
    assert states == ["InProgress", "JobComplete", "JobComplete"]
    rows, locator, parts = [], "", 0
    while locator != "null":
        parameters = {"maxRecords": "2"} | ({"locator": locator} if locator else {})
        part = salesforce.call("GET", f"{JOBS}/{job}/results", params=parameters)
        read = list(csv.DictReader(io.StringIO(part.text)))
        assert part.headers["Sforce-NumberOfRecords"] == str(len(read))
        rows, locator, parts = rows + read, part.headers["Sforce-Locator"], parts + 1
    assert (len(rows), parts) == (5, 3)
    assert rows[0] == {"Id": salesforce_id("deal", 1), "Name": 'A "B", C', "Amount": "1.5", "IsWon": "false"}
    assert salesforce.refused("GET", f"{JOBS}/{job}/results", params={"locator": "MQ"})[0] == 400
    for operation, query in (
        ("insert", "SELECT Id FROM Lead"),
        ("query", "SELECT Id FROM Lead ORDER BY Id"),
        ("query", "SELECT COUNT() FROM Lead"),
    ):
        assert salesforce.refused("POST", JOBS, json={"operation": operation, "query": query})[0] == 400
    assert salesforce.call("DELETE", f"{JOBS}/{job}").status_code == 204
    assert salesforce.refused("GET", f"{JOBS}/{job}")[0] == 404


def test_roles_history_and_conversion(salesforce: Caller) -> None:
    lead, contact = salesforce.create("lead", ga_client_id="1.2"), salesforce.create("contact")
    deal = salesforce.create("deal", stage="contractsent", amount=10.0)
    salesforce.later(hours=1)
    salesforce.events(
        {"op": "associate", "deal": deal, "contact": contact},
        {"op": "stage", "number": deal, "stage": "closedwon"},
        {
            "op": "update",
            "kind": "lead",
            "number": lead,
            "fields": {"converted_deal": deal, "converted_contact": contact},
        },
    )
    history = run(
        salesforce, "SELECT OpportunityId, StageName, CreatedDate FROM OpportunityHistory ORDER BY CreatedDate"
    )
    assert [(row["StageName"], row["CreatedDate"]) for row in history] == [
        ("Contract Sent", "2025-01-01T00:00:00.000+0000"),
        ("Closed Won", "2025-01-01T01:00:00.000+0000"),
    ]
    won = {row["ApiName"] for row in run(salesforce, "SELECT ApiName, IsWon FROM OpportunityStage") if row["IsWon"]}
    assert won == {"Closed Won", "Signed"}
    [row] = run(salesforce, "SELECT IsConverted, ConvertedOpportunityId, GA_Client_ID__c FROM Lead")
    assert (row["IsConverted"], row["ConvertedOpportunityId"], row["GA_Client_ID__c"]) == (
        True,
        salesforce_id("deal", deal),
        "1.2",
    )
    salesforce.events({"op": "dissociate", "deal": deal, "contact": contact})
    assert run(salesforce, "SELECT Id FROM OpportunityContactRole") == []
    [role] = run(salesforce, "SELECT ContactId, IsDeleted FROM OpportunityContactRole", "queryAll")
    assert (role["ContactId"], role["IsDeleted"]) == (salesforce_id("contact", contact), True)


def test_renaming_a_custom_field_changes_its_api_name(salesforce: Caller) -> None:
    salesforce.create("lead", ga_client_id="1.2")
    salesforce.events({"op": "rename_field", "kind": "lead", "name": "ga_client_id", "label": "Client ID of GA"})
    described = salesforce.get(f"{DATA}/sobjects/Lead/describe")["fields"]
    assert [field["name"] for field in described if field["custom"]] == ["Client_ID_of_GA__c"]
    assert fails(salesforce, "SELECT GA_Client_ID__c FROM Lead") == "INVALID_FIELD"
    assert run(salesforce, "SELECT Client_ID_of_GA__c FROM Lead")[0]["Client_ID_of_GA__c"] == "1.2"


def test_sessions_end_and_permissions_are_missed(salesforce: Caller) -> None:
    claims = (
        base64.urlsafe_b64encode(json.dumps({"iss": salesforce.credentials["client_id"]}).encode()).decode().rstrip("=")
    )
    bearer = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": f"e30.{claims}.x"}
    assert salesforce.call("POST", "/services/oauth2/token", data=bearer).status_code == 200
    for wrong in ({**bearer, "assertion": "x.y.z"}, {"grant_type": "client_credentials", "client_id": "x"}, {}):
        assert salesforce.refused("POST", "/services/oauth2/token", data=wrong)[0] == 400
    salesforce.post("/fake/settings", {"salesforce": {"forbidden": ["Lead"]}})
    assert fails(salesforce, "SELECT Id FROM Lead") == "INVALID_TYPE"
    salesforce.later(hours=2)
    status, text = salesforce.refused("GET", f"{DATA}/query", params={"q": "SELECT Id FROM Contact"})
    assert (status, "INVALID_SESSION_ID" in text) == (401, True)
    assert salesforce.refused("GET", "/services/data/v1.0/query", params={"q": "SELECT Id FROM Contact"})[0] in (
        401,
        404,
    )


def test_ids_of_18_characters_tell_case_apart() -> None:
    found = [salesforce_id("lead", number) for number in (1, 10, 36, 61, 62, 1_000_000)]
    assert all(len(text) == 18 for text in found)
    assert len({text.lower() for text in found}) == len(found)
    assert found == sorted(found)
