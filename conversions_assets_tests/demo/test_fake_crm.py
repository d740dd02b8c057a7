"""What the dialects of the fake CRM share: the log, the clock, faults, limits, and pages of 25,000 objects."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.cursors import seal, unseal
from conversions_assets.demo.fake_crm.hubspot_search import Search
from conversions_assets.demo.fake_crm.populate import populate
from conversions_assets.demo.fake_crm.world import World
from conversions_assets_tests.demo.caller import Caller
from conversions_assets_tests.demo.test_fake_dynamics import renew
from conversions_assets_tests.demo.test_fake_hubspot import CONTACTS, DEALS, ids, listed, searched
from conversions_assets_tests.demo.test_fake_pipedrive import listed as listed_by_pipedrive

GET_DEALS = {"hubspot": DEALS, "pipedrive": "/api/v2/deals"}
OBJECTS = 25_000


@pytest.fixture
def hubspot() -> Iterator[Caller]:
    caller = Caller(FakeCrm(), "hubspot")
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def full() -> World:
    """25,000 objects, for tests that only read."""
    world = World()
    populate(world, OBJECTS)
    return world


def of(world: World, crm: str) -> Caller:
    return Caller(FakeCrm(world), crm)


# --- the log and the clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"op": "explode"}, "there is no event"),
        ({"op": "create"}, "lacks 'kind'"),
        ({"op": "create", "kind": "role"}, "there is no kind"),
        ({"op": "create", "kind": "contact", "number": 1}, "exists already"),
        ({"op": "create", "kind": "contact", "fields": {"colour": "red"}}, "has no field 'colour'"),
        ({"op": "create", "kind": "deal", "fields": {"stage": "won"}}, "there is no stage"),
        ({"op": "update", "kind": "contact", "number": 9, "fields": {}}, "there is no contact 9"),
        ({"op": "update", "kind": "deal", "number": 1, "fields": {"stage": "closedwon"}}, "event 'stage'"),
        ({"op": "update", "kind": "contact", "number": 1, "fields": 7}, "malformed"),
        ({"op": "restore", "kind": "contact", "number": 1}, "not in the recycle bin"),
        ({"op": "merge", "kind": "contact", "number": 1, "other": 1}, "itself"),
        ({"op": "archive", "kind": "contact", "number": 1}, "only deals and leads"),
        ({"op": "associate", "deal": 1, "contact": 1}, "already"),
        ({"op": "dissociate", "deal": 1, "contact": 2}, "does not belong"),
        ({"op": "add_field", "kind": "contact", "name": "email"}, "already"),
        ({"op": "remove_field", "kind": "contact", "name": "email"}, "no custom field"),
        ({"op": "retype_field", "kind": "contact", "name": "ga_client_id", "type": "blob"}, "there is no type"),
        ({"op": "create", "kind": "contact", "at": "2024-12-31T00:00:00Z"}, "does not go back"),
        ({"op": "create", "kind": "contact", "at": "2025-01-01T00:00:00"}, "no time zone"),
    ],
)
def test_an_event_that_cannot_happen_writes_nothing(hubspot: Caller, event: dict[str, Any], reason: str) -> None:
    hubspot.create("contact")
    hubspot.create("deal")
    hubspot.events({"op": "associate", "deal": 1, "contact": 1})
    before = hubspot.truth("contacts"), hubspot.truth("deals"), hubspot.get("/fake/events")
    status, text = hubspot.refused("POST", "/fake/events", json=[event])
    assert status == 400
    assert reason in json.loads(text)["error"]
    assert (hubspot.truth("contacts"), hubspot.truth("deals"), hubspot.get("/fake/events")) == before


def test_events_and_the_clock_over_http(hubspot: Caller) -> None:
    made = hubspot.post(
        "/fake/events", [{"op": "create", "kind": "deal", "at": "2025-03-01T12:00:00.5+01:00", "number": 77}]
    )
    assert made == [77]
    assert hubspot.get("/fake/clock") == {"now": "2025-03-01T11:00:00.500000+00:00"}
    assert hubspot.post("/fake/clock", {"advance": 3600})["now"] == "2025-03-01T12:00:00.500000+00:00"
    assert hubspot.refused("POST", "/fake/clock", json={"now": "2025-01-01T00:00:00+00:00"})[0] == 400
    assert hubspot.create("deal") == 78
    assert [event["op"] for event in hubspot.get("/fake/events", after=1)] == ["create"]


def test_every_crm_shows_the_same_history(hubspot: Caller) -> None:
    hubspot.create("contact")
    hubspot.events({"op": "delete", "kind": "contact", "number": 1})
    for crm, name in (("salesforce", "Contact"), ("dynamics", "contacts"), ("pipedrive", "persons")):
        [row] = [json.loads(line) for line in hubspot.call("GET", f"/fake/truth/{crm}/{name}").text.splitlines()]
        assert row["_deleted"]
    assert hubspot.refused("GET", "/fake/truth/hubspot/tickets")[0] == 400
    assert hubspot.refused("GET", "/fake/truth/siebel/contacts")[0] == 400


def test_a_cursor_that_was_changed_is_none() -> None:
    assert unseal(seal("deals", 7)) == ["deals", 7]
    forged = base64.urlsafe_b64encode(b"123456" + json.dumps(["deals", 8]).encode()).decode()
    for text in (forged, forged.rstrip("="), "", "=", "7"):
        with pytest.raises(ValueError):  # noqa: PT011
            unseal(text)


# --- faults and limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crm", ["hubspot", "pipedrive"])
@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500), ("502", 502), ("403", 403), ("budget", 429)])
def test_a_fault_hits_the_call_it_was_made_for(crm: str, fault: str, status: int) -> None:
    caller = of(World(), crm)
    caller.fault(fault, path="deals", after=1, times=2, retry_after=7)
    answers = [caller.call("GET", GET_DEALS[crm]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, status, status, 200]
    assert answers[1].headers["Retry-After"] == "7"
    [counted] = [row for row in caller.get("/fake/requests") if row["path"] == GET_DEALS[crm]]
    assert counted["calls"] == 4
    caller.close()


def test_429_without_retry_after_every_third_call_for_ever(hubspot: Caller) -> None:
    hubspot.fault("429", every=3, times=None)
    answers = [hubspot.call("GET", DEALS) for _ in range(9)]
    assert [answer.status_code for answer in answers] == [200, 200, 429] * 3
    assert "Retry-After" not in answers[2].headers
    hubspot.call("DELETE", "/fake/faults")
    assert hubspot.get(DEALS)["results"] == []


def test_a_body_can_be_cut(hubspot: Caller) -> None:
    hubspot.create("deal")
    hubspot.fault("cut")
    cut = hubspot.call("GET", DEALS)
    assert cut.status_code == 200
    assert len(cut.content) == int(cut.headers["Content-Length"]) // 2
    assert len(hubspot.get(DEALS)["results"]) == 1


def test_401_in_the_middle_needs_a_new_token(hubspot: Caller) -> None:
    known = {name: hubspot.credentials[name] for name in ("client_id", "client_secret", "refresh_token")}
    grant = {"grant_type": "refresh_token", **known}
    hubspot.token = hubspot.call("POST", "/oauth/v1/token", data=grant).json()["access_token"]
    hubspot.fault("401", after=1)
    assert [hubspot.call("GET", DEALS).status_code for _ in range(3)] == [200, 401, 401]
    hubspot.token = hubspot.call("POST", "/oauth/v1/token", data=grant).json()["access_token"]
    assert hubspot.call("GET", DEALS).status_code == 200
    hubspot.post("/fake/settings", {"hubspot": {"token_calls": 3}})
    assert [hubspot.call("GET", DEALS).status_code for _ in range(3)] == [200, 200, 401]


def test_limits_of_the_day_and_of_the_second(hubspot: Caller) -> None:
    hubspot.post("/fake/settings", {"hubspot": {"per_second": 5, "daily_budget": 12}})
    answers = [hubspot.call("POST", DEALS + "/search", json={}) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert answers[-1].headers["Retry-After"] == "1"
    # Lists are not paced, but count for the day.
    assert [hubspot.call("GET", DEALS).status_code for _ in range(7)] == [200] * 6 + [429]
    assert hubspot.call("GET", DEALS).json()["policyName"] == "DAILY"
    hubspot.later(days=1)
    assert hubspot.call("GET", DEALS).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fake/faults", [{"crm": "hubspot", "fault": "flood"}]),
        ("/fake/faults", [{"crm": "siebel", "fault": "500"}]),
        ("/fake/faults", [{"crm": "hubspot", "fault": "500", "often": True}]),
        ("/fake/faults", [{"crm": "hubspot", "fault": "500", "every": 0}]),
        ("/fake/settings", {"hubspot": {"speed": 1}}),
        ("/fake/settings", {"siebel": {}}),
        ("/fake/clock", {}),
    ],
)
def test_a_wrong_control_is_refused(hubspot: Caller, path: str, body: Any) -> None:
    assert hubspot.refused("POST", path, json=body)[0] == 400


def test_no_control_tells_a_token_that_was_sent(hubspot: Caller) -> None:
    hubspot.call("GET", "/api/v2/deals", params={"api_token": "a-secret"})
    assert "a-secret" not in json.dumps(hubspot.get("/fake/requests"))


# --- size -------------------------------------------------------------------------------------------------------------


def test_hubspot_searches_25000_objects_with_one_pass(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    real = Search.matches
    monkeypatch.setattr(Search, "matches", lambda self, index: passes.append(1) or real(self, index))
    caller = of(full, "hubspot")
    found: list[int] = []
    while page := ids(searched(caller, CONTACTS, above=found[-1] if found else 0)["results"]):
        found += page
    assert found == full.tables["contact"].live.numbers
    assert len(passes) == 1
    assert ids(listed(caller, DEALS, limit=100)) == full.tables["deal"].live.numbers
    caller.close()


def test_a_page_touches_only_its_own_rows(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of the middle cost what pages of the beginning cost: rows are shown, not scanned."""
    caller = of(full, "pipedrive")
    shown = []
    table = full.tables["contact"].live
    monkeypatch.setattr(table, "rows", _Counting(table.rows, shown))
    persons = listed_by_pipedrive(caller, "/api/v2/persons", sort_by="update_time", limit=500)
    assert len(persons) == len(table.numbers)
    # One row more a page, to know whether there is another.
    assert len(shown) <= len(persons) + len(persons) // 500 + 1
    caller.close()


def test_dynamics_pages_hold_up_to_5000_rows(full: World) -> None:
    caller = of(full, "dynamics")
    renew(caller)
    sizes, url = [], "/api/data/v9.2/contacts?$select=firstname"
    while url:
        page = caller.get(url, headers={"Prefer": "odata.track-changes"})
        sizes.append(len(page["value"]))
        url = page.get("@odata.nextLink")
    assert sizes == [5000, 5000, 2500]
    assert caller.get(page["@odata.deltaLink"])["value"] == []
    caller.close()


class _Counting(dict[int, Any]):
    """A dict that tells what is asked of it."""

    def __init__(self, rows: dict[int, Any], seen: list[int]) -> None:
        super().__init__(rows)
        self._seen = seen

    def __getitem__(self, number: int) -> Any:
        self._seen.append(number)
        return super().__getitem__(number)
