"""The fake HubSpot hides and refuses what HubSpot does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets_tests.demo.caller import Caller

DEALS, CONTACTS = "/crm/v3/objects/deals", "/crm/v3/objects/contacts"


@pytest.fixture
def hubspot() -> Iterator[Caller]:
    caller = Caller(FakeCrm(), "hubspot")
    yield caller
    caller.close()


def listed(caller: Caller, url: str, **parameters: Any) -> list[dict[str, Any]]:
    found, after = [], {}
    while True:
        page = caller.get(url, **parameters, **after)
        found += page["results"]
        if "paging" not in page:
            return found
        after = {"after": page["paging"]["next"]["after"]}


def searched(caller: Caller, url: str, above: int = 0, since: str = "0", **body: Any) -> dict[str, Any]:
    modified = "lastmodifieddate" if url == CONTACTS else "hs_lastmodifieddate"
    filters = [
        {"propertyName": modified, "operator": "GTE", "value": since},
        {"propertyName": "hs_object_id", "operator": "GT", "value": str(above)},
    ]
    sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    found: dict[str, Any] = caller.post(
        url + "/search", {"filterGroups": [{"filters": filters}], "sorts": sorts, "limit": 200, **body}
    )
    return found


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["id"]) for row in rows]


def test_a_list_pages_by_opaque_cursors_and_its_values_are_text(hubspot: Caller) -> None:
    for number in range(5):
        hubspot.create("contact", city=f"City {number}", company=3, ga_client_id="1.2")
    page = hubspot.get(CONTACTS, limit=2, properties="city,ga_client_id,unknown")
    assert page["results"][0]["properties"] == {"city": "City 0", "ga_client_id": "1.2", "hs_object_id": "1"}
    assert ids(listed(hubspot, CONTACTS, limit=2)) == [1, 2, 3, 4, 5]
    assert hubspot.refused("GET", CONTACTS, params={"after": "2"})[0] == 400
    cursor = page["paging"]["next"]["after"]
    assert hubspot.refused("GET", DEALS, params={"after": cursor})[0] == 400
    assert hubspot.refused("GET", CONTACTS, params={"after": cursor, "archived": "true"})[0] == 400


@pytest.mark.parametrize(
    ("parameter", "value"), [("limit", "101"), ("limit", "0"), ("pagesize", "10"), ("archived", "yes")]
)
def test_oversize_limits_and_unknown_parameters_are_refused(hubspot: Caller, parameter: str, value: str) -> None:
    status, text = hubspot.refused("GET", CONTACTS, params={parameter: value})
    assert status == 400
    assert parameter in text


def test_the_archived_are_in_their_own_list_and_in_no_search(hubspot: Caller) -> None:
    kept, gone = hubspot.create("deal", name="kept"), hubspot.create("deal", name="gone")
    hubspot.events({"op": "delete", "kind": "deal", "number": gone})
    assert ids(listed(hubspot, DEALS)) == [kept]
    [archived] = listed(hubspot, DEALS, archived="true")
    assert (archived["id"], archived["archived"]) == (str(gone), True)
    assert archived["archivedAt"]
    assert ids(searched(hubspot, DEALS)["results"]) == [kept]
    hubspot.events({"op": "restore", "kind": "deal", "number": gone})
    assert ids(listed(hubspot, DEALS)) == [kept, gone]
    assert listed(hubspot, DEALS, archived="true") == []


def test_the_archived_are_forgotten_after_90_days(hubspot: Caller) -> None:
    gone = hubspot.create("deal")
    hubspot.events({"op": "delete", "kind": "deal", "number": gone})
    hubspot.later(days=89)
    assert ids(listed(hubspot, DEALS, archived="true")) == [gone]
    hubspot.later(days=2)
    assert listed(hubspot, DEALS, archived="true") == []


def test_erased_and_merged_records_are_in_no_list(hubspot: Caller) -> None:
    numbers = [hubspot.create("contact", email=f"{n}@mail.example") for n in range(4)]
    hubspot.events(
        {"op": "erase", "kind": "contact", "number": 1}, {"op": "merge", "kind": "contact", "number": 2, "other": 3}
    )
    assert ids(listed(hubspot, CONTACTS)) == [2, 4]
    assert listed(hubspot, CONTACTS, archived="true") == []
    merged = hubspot.get(f"{CONTACTS}/3", properties="hs_merged_object_ids")
    assert (merged["id"], merged["properties"]["hs_merged_object_ids"]) == ("2", "3")
    assert hubspot.refused("GET", f"{CONTACTS}/1")[0] == 404
    truth = {row["id"]: (row["_deleted"], row["_merged_into"]) for row in hubspot.truth("contacts")}
    assert truth == {"1": (True, None), "2": (False, None), "3": (True, "2"), "4": (False, None)}
    assert len(numbers) == 4


def test_a_close_date_has_a_time_of_day(hubspot: Caller) -> None:
    hubspot.create("deal", close_date="2025-03-01")
    hubspot.create("deal", close_date="2025-03-01", close_time="2025-03-01T23:59:59.999+01:00")
    hubspot.create("deal")
    closes = [row["properties"]["closedate"] for row in listed(hubspot, DEALS, properties="closedate")]
    assert closes == ["2025-03-01T00:00:00.000Z", "2025-03-01T22:59:59.999Z", None]
    [_, opportunity, _] = hubspot.fake.dialects["salesforce"].truth("Opportunity")
    assert opportunity["CloseDate"] == "2025-03-01"


def test_merged_deals_are_taken_over_by_a_third(hubspot: Caller) -> None:
    first, second, contact = (
        hubspot.create("deal", amount=1.0),
        hubspot.create("deal", name="b"),
        hubspot.create("contact"),
    )
    hubspot.events({"op": "associate", "deal": second, "contact": contact})
    [third] = hubspot.events({"op": "merge", "kind": "deal", "number": first, "other": second, "new_record": True})
    [deal] = listed(hubspot, DEALS, properties="amount,dealname,hs_merged_object_ids", associations="contacts")
    assert deal["properties"] == {
        "amount": "1",
        "dealname": "b",
        "hs_merged_object_ids": f"{first};{second}",
        "hs_object_id": str(third),
    }
    assert deal["associations"]["contacts"]["results"] == [{"id": str(contact), "type": "deal_to_contact"}]


def test_a_search_ends_at_the_10000th_result(hubspot: Caller) -> None:
    hubspot.events(*({"op": "create", "kind": "contact"} for _ in range(10_001)))
    last = searched(hubspot, CONTACTS, after="9800", properties=["email"])
    assert last["total"] == 10_001
    assert ids(last["results"])[-1] == 10_000
    assert last["paging"]["next"]["after"] == "10000"
    body = {"limit": 200, "after": "10000"}
    status, text = hubspot.refused("POST", CONTACTS + "/search", json=body)
    assert (status, "10000" in text) == (400, True)
    # The way past the cap: the same search above the last id.
    assert ids(searched(hubspot, CONTACTS, above=10_000)["results"]) == [10_001]


def test_a_search_of_many_rows_of_one_moment_loses_none(hubspot: Caller) -> None:
    hubspot.events(*({"op": "create", "kind": "deal"} for _ in range(450)))
    moment = hubspot.world.now.isoformat()
    found: list[int] = []
    while page := ids(searched(hubspot, DEALS, above=found[-1] if found else 0, since=moment)["results"]):
        found += page
    assert found == list(range(1, 451))


def test_the_search_index_is_behind(hubspot: Caller) -> None:
    hubspot.post("/fake/settings", {"search_lag": 300})
    deal = hubspot.create("deal", name="old")
    assert searched(hubspot, DEALS)["total"] == 0
    assert ids(listed(hubspot, DEALS)) == [deal]
    hubspot.events(*({"op": "create", "kind": "contact"} for _ in range(3)))
    # Some are there at once.
    assert ids(searched(hubspot, CONTACTS)["results"]) == [3]
    hubspot.later(minutes=6)
    assert searched(hubspot, DEALS)["total"] == 1
    assert ids(searched(hubspot, CONTACTS)["results"]) == [1, 2, 3]
    hubspot.events({"op": "update", "kind": "deal", "number": deal, "fields": {"name": "new"}})
    [row] = searched(hubspot, DEALS, properties=["dealname"])["results"]
    assert row["properties"]["dealname"] == "old"
    hubspot.later(minutes=5)
    [row] = searched(hubspot, DEALS, properties=["dealname"])["results"]
    assert row["properties"]["dealname"] == "new"


def test_filters_compare_by_the_propertys_type(hubspot: Caller) -> None:
    for amount in (5.0, 10.0, 100.0):
        hubspot.create("deal", amount=amount, name=f"of {amount:.0f}")
        hubspot.later(milliseconds=1)
    first = hubspot.world.tables["deal"].latest[2].updated_at

    def matching(name: str, operator: str, **value: Any) -> list[int]:
        entry = {"propertyName": name, "operator": operator, **value}
        body = {"filterGroups": [{"filters": [entry]}], "sorts": [{"propertyName": "hs_object_id"}], "limit": 10}
        return ids(hubspot.post(DEALS + "/search", body)["results"])

    assert matching("amount", "GT", value="9") == [2, 3]
    assert matching("amount", "BETWEEN", value="5", highValue="10") == [1, 2]
    assert matching("dealname", "IN", values=["Of 5", "of 100"]) == [1, 3]
    assert matching("closedate", "NOT_HAS_PROPERTY") == [1, 2, 3]
    # Milliseconds count, as a number since 1970 and as ISO 8601.
    assert matching("hs_lastmodifieddate", "GTE", value=str(int(first.timestamp() * 1000))) == [2, 3]
    assert matching("hs_lastmodifieddate", "GTE", value=(first + timedelta(milliseconds=1)).isoformat()) == [3]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"limit": 201}, "200"),
        (
            {"filterGroups": [{"filters": [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "0"}]}]},
            "exist",
        ),
        ({"filterGroups": [{"filters": []}]}, "filters"),
        ({"filterGroups": [{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}] * 7}]}, "6"),
        ({"filterGroups": [{"filters": [{"propertyName": "email", "operator": "LIKE", "value": "a"}]}]}, "LIKE"),
        ({"filterGroups": [{"filters": [{"propertyName": "createdate", "operator": "GT", "value": "soon"}]}]}, "soon"),
        ({"sorts": [{"propertyName": "email"}, {"propertyName": "city"}]}, "one sort"),
        ({"after": "abc"}, "after"),
        ({"archived": True}, "no others"),
        ({"properties": ["x" * 3000]}, "3,000"),
    ],
)
def test_a_wrong_search_is_refused(hubspot: Caller, body: dict[str, Any], reason: str) -> None:
    """Contacts have lastmodifieddate, and no hs_lastmodifieddate."""
    status, text = hubspot.refused("POST", CONTACTS + "/search", json=body)
    assert status == 400
    assert reason in text


def test_associations_are_read_in_batches_and_no_search_has_them(hubspot: Caller) -> None:
    alone, deal = hubspot.create("deal"), hubspot.create("deal")
    contacts = [hubspot.create("contact"), hubspot.create("contact")]
    hubspot.events(*({"op": "associate", "deal": deal, "contact": contact} for contact in contacts))
    url = "/crm/v4/associations/deals/contacts/batch/read"
    response = hubspot.call("POST", url, json={"inputs": [{"id": str(alone)}, {"id": str(deal)}]})
    assert response.status_code == 207
    [row] = response.json()["results"]
    assert [end["toObjectId"] for end in row["to"]] == contacts
    assert response.json()["errors"][0]["subCategory"].endswith("NO_ASSOCIATIONS_FOUND")
    assert "associations" not in searched(hubspot, DEALS)["results"][0]
    hubspot.events(
        {"op": "dissociate", "deal": deal, "contact": contacts[0]},
        {"op": "delete", "kind": "contact", "number": contacts[1]},
    )
    assert hubspot.post(url, {"inputs": [{"id": str(deal)}]})["results"] == []
    hubspot.events({"op": "restore", "kind": "contact", "number": contacts[1]})
    [row] = hubspot.post(url, {"inputs": [{"id": str(deal)}]})["results"]
    assert [end["toObjectId"] for end in row["to"]] == contacts[1:]
    assert hubspot.refused("POST", url, json={"inputs": [{"id": "1"}] * 1001})[0] == 400


def test_the_stages_history_and_the_time_of_entry(hubspot: Caller) -> None:
    deal = hubspot.create("deal", stage="190001")
    entered = []
    for stage in ("190003", "190001", "190003"):
        hubspot.later(hours=1)
        hubspot.events({"op": "stage", "number": deal, "stage": stage})
        entered.append(hubspot.world.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    names = "hs_v2_date_entered_190003,hs_v2_date_exited_190003,hs_is_closed_won,pipeline"
    shown = hubspot.get(f"{DEALS}/{deal}", properties=names)["properties"]
    assert shown["hs_v2_date_entered_190003"] == entered[2]
    assert shown["hs_v2_date_exited_190003"] is None
    assert (shown["hs_is_closed_won"], shown["pipeline"]) == ("true", "enterprise")
    [row] = hubspot.get(DEALS, propertiesWithHistory="dealstage", limit=50)["results"]
    history = [entry["value"] for entry in row["propertiesWithHistory"]["dealstage"]]
    assert history == ["190003", "190001", "190003", "190001"]
    assert hubspot.refused("GET", DEALS, params={"propertiesWithHistory": "dealstage", "limit": 51})[0] == 400
    stages = {
        stage["id"]: stage["metadata"]
        for p in hubspot.get("/crm/v3/pipelines/deals")["results"]
        for stage in p["stages"]
    }
    assert stages["190003"] == {"isClosed": "true", "probability": "1.0"}


def test_custom_properties_come_and_go(hubspot: Caller) -> None:
    hubspot.events({"op": "add_field", "kind": "deal", "name": "margin", "label": "Margin", "type": "number"})
    deal = hubspot.create("deal", margin="12.50")
    described = {row["name"]: row for row in hubspot.get("/crm/v3/properties/deals")["results"]}
    assert (described["margin"]["label"], described["margin"]["type"]) == ("Margin", "number")
    assert hubspot.get(f"{DEALS}/{deal}", properties="margin")["properties"]["margin"] == "12.5"
    hubspot.events({"op": "retype_field", "kind": "deal", "name": "margin", "type": "string"})
    assert hubspot.get(f"{DEALS}/{deal}", properties="margin")["properties"]["margin"] == "12.50"
    hubspot.events({"op": "remove_field", "kind": "deal", "name": "margin"})
    assert "margin" not in hubspot.get(f"{DEALS}/{deal}", properties="margin")["properties"]


def test_tokens_expire_and_scopes_are_missed(hubspot: Caller) -> None:
    known = {name: hubspot.credentials[name] for name in ("client_id", "client_secret", "refresh_token")}
    grant = {"grant_type": "refresh_token", **known}
    for wrong in ({**grant, "client_secret": "no"}, {**grant, "grant_type": "password"}, {}):
        assert hubspot.refused("POST", "/oauth/v1/token", data=wrong)[0] == 400
    granted = hubspot.call("POST", "/oauth/v1/token", data=grant).json()
    assert granted["expires_in"] == 1800
    hubspot.token = granted["access_token"]
    assert hubspot.get(DEALS)["results"] == []
    hubspot.later(minutes=30)
    status, text = hubspot.refused("GET", DEALS)
    assert (status, "EXPIRED_AUTHENTICATION" in text) == (401, True)
    hubspot.token = "wrong"
    status, text = hubspot.refused("GET", DEALS)
    assert (status, "INVALID_AUTHENTICATION" in text) == (401, True)
    hubspot.token = hubspot.credentials["token"]
    hubspot.post("/fake/settings", {"hubspot": {"forbidden": ["deals"]}})
    status, text = hubspot.refused("GET", DEALS)
    assert (status, "crm.objects.deals.read" in text) == (403, True)
    assert hubspot.get(CONTACTS)["results"] == []
