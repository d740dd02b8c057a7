"""The demo's company: deterministic, with every deliberate fault in it, and with a truth that its HubSpot and its
orders agree with.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from conversions_assets.demo.history import FIRST_DAY, LOAD_DAYS, Load, apply_load, history
from conversions_assets.demo.truth import ORDER_COLUMNS
from conversions_assets_tests.demo.conftest import Row, Tables

BERLIN = ZoneInfo("Europe/Berlin")
WON = ("closedwon", "190003")


def _local(moment: datetime) -> datetime:
    return moment.astimezone(BERLIN)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=BERLIN)


def _conflicts(rows: list[Row]) -> dict[object, list[Row]]:
    by_id = defaultdict(list)
    for row in rows:
        by_id[row["id"]].append(row)
    return {id_: found for id_, found in by_id.items() if any(row != found[0] for row in found)}


# --- the loads ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_history(loads: list[Load]) -> None:
    assert history() == loads
    assert history(2)[0].events != loads[0].events
    assert history(2)[0].orders != loads[0].orders


def test_four_loads_ten_minutes_after_local_midnight(loads: list[Load]) -> None:
    assert [load.load_id for load in loads] == [f"2026010{day}T001000" for day in (1, 2, 3, 4)]
    assert loads[0].at == datetime(2025, 12, 31, 23, 10, tzinfo=UTC)
    assert {later.at - load.at for load, later in pairwise(loads)} == {timedelta(days=1)}


def test_row_counts_are_those_of_a_small_company(loads: list[Load], states: list[Tables]) -> None:
    assert 7_300 < len(states[0]["contacts"]) < 8_000
    assert 750 < len(states[0]["deals"]) < 1_050
    assert 12_500 < len(loads[0].orders) < 13_500
    assert 300 < len(loads[0].truth["deal_closed"]) < 420
    for load in loads[1:]:
        assert {event["kind"] for event in load.events if "kind" in event} == {"contact", "deal"}
        assert 0 < len(load.events) < 100
        assert 0 < len(load.orders) < 100


def test_rows_have_exactly_the_columns_of_their_table(loads: list[Load]) -> None:
    types = {"STRING": str, "FLOAT64": float, "BOOL": bool, "TIMESTAMP": datetime}
    for load in loads:
        for row in load.orders:
            assert row.keys() == ORDER_COLUMNS.keys()
            assert row["_load_id"] == load.load_id
            wrong = {c: v for c, v in row.items() if v is not None and not isinstance(v, types[ORDER_COLUMNS[c]])}
            assert not wrong


def test_a_load_carries_what_changed_since_the_last_one(loads: list[Load], states: list[Tables]) -> None:
    for before, load in pairwise([None, *loads]):
        assert load is not None
        for row in load.orders:
            assert row["ordered_at"] <= row["updated_at"] <= load.at
            assert before is None or row["updated_at"] > before.at
        times = [event["at"] for event in load.events]
        assert times == sorted(times)
        assert (before.at if before else _midnight(FIRST_DAY)) <= times[0]
        assert times[-1] <= load.at


def test_hubspot_sees_every_kind_of_change(loads: list[Load]) -> None:
    kinds = Counter(f"{event['op']} {event.get('kind', '')}".strip() for load in loads for event in load.events)
    assert kinds.keys() == {
        *("create contact", "update contact", "delete contact", "merge contact"),
        *("create deal", "update deal", "stage deal", "delete deal", "associate"),
    }
    assert kinds["create deal"] == kinds["associate"]


# --- the deliberate rows ------------------------------------------------------------------------------------------

# HubSpot keeps milliseconds.
LAST = {"lead": 999_000, "deal_closed": 999_000, "order_confirmed": 999_999}
SPECIAL = [
    datetime(2025, 1, 1, tzinfo=BERLIN),
    datetime(2025, 6, 14, 23, 59, 59, 999_999, tzinfo=BERLIN),
    datetime(2025, 6, 15, tzinfo=BERLIN),
    datetime(2025, 3, 30, 1, 59, 59, 999_999, tzinfo=BERLIN),
    datetime(2025, 3, 30, 3, tzinfo=BERLIN),
    datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN),
    datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=BERLIN),
    datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=BERLIN),
]


INSTANTS = [(name, moment) for name in ("lead", "order_confirmed", "deal_closed") for moment in SPECIAL]
INSTANTS.remove(("deal_closed", SPECIAL[0]))  # nothing to win in the first instant


@pytest.mark.parametrize(("conversion", "moment"), INSTANTS, ids=str)
def test_special_instants_are_conversions_of_their_day(loads: list[Load], conversion: str, moment: datetime) -> None:
    moment = moment.replace(microsecond=min(moment.microsecond, LAST[conversion]))
    found = [row for row in loads[0].truth[conversion].values() if row.created == moment.astimezone(UTC)]
    assert [row.day for row in found] == [moment.date()]


def test_the_clock_changes_are_instants_of_their_own() -> None:
    utc = [moment.astimezone(UTC) for moment in SPECIAL]
    assert utc[4] - utc[3] == timedelta(microseconds=1)
    assert utc[6] - utc[5] == timedelta(hours=1)


def test_each_load_carries_rows_of_the_open_day(loads: list[Load], states: list[Tables]) -> None:
    for load, tables in zip(loads, states, strict=True):
        today = _local(load.at).date()
        assert sum(_local(row["ordered_at"]).date() == today for row in load.orders) >= 2
        assert sum(_local(row["createdate"]).date() == today for row in tables["contacts"]) >= 2
        assert not any(row.day >= today for rows in load.truth.values() for row in rows.values())


def test_identical_copies_are_few(loads: list[Load]) -> None:
    rows = loads[0].orders
    copies = sum(count > 1 for count in Counter(tuple(row.values()) for row in rows).values())
    assert 0.002 < copies / len(rows) < 0.004
    for load in loads[1:]:
        ids = [row["id"] for row in load.orders]
        assert len(ids) == len(set(ids)) + 1


def test_conflicting_versions_are_few_and_the_earliest_that_counts_wins(loads: list[Load]) -> None:
    rows = loads[0].orders
    conflicts = _conflicts(rows)
    assert 10 <= len(conflicts) < 0.005 * len({row["id"] for row in rows})
    statuses: Counter[int] = Counter()
    for id_, versions in conflicts.items():
        one, two = versions
        assert one["ordered_at"] != two["ordered_at"]
        assert _local(one["ordered_at"]).date() == _local(two["ordered_at"]).date()
        counting = [row for row in versions if row["status"] != "new"]
        statuses[len(counting)] += 1
        truth = loads[0].truth["order_confirmed"][str(id_)]
        winner = min(counting, key=lambda row: _local(row["ordered_at"]))
        assert (truth.created, truth.value) == (winner["ordered_at"], winner["total"])
    assert statuses == {1: 4, 2: 8}


def test_refused_rows_are_three_and_never_more_than_five_percent_of_a_day(
    loads: list[Load], states: list[Tables]
) -> None:
    rows = [row for row in loads[0].orders if row["status"] in ("confirmed", "paid")]
    refused = [row for row in rows if _refused(row)]
    assert [(row["currency"] == "EURO", row["id"] == "", row["total"] != row["total"]) for row in refused] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    per_day = Counter(_local(row["ordered_at"]).date() for row in rows)
    for row in refused:
        assert per_day[_local(row["ordered_at"]).date()] >= 25
        assert row["id"] not in loads[0].truth["order_confirmed"]
    assert {row["deal_currency_code"] for row in states[-1]["deals"]} == {None, "EUR", "GBP", "USD"}
    assert all(float(row["amount"]) > 0 for row in states[-1]["deals"])


def test_one_deal_is_won_in_the_future_and_is_not_true(loads: list[Load], states: list[Tables]) -> None:
    won = [row for row in states[0]["deals"] if row["dealstage"] in WON]
    (typo,) = (row for row in won if row["closedate"] > loads[0].at)
    assert typo["closedate"].year == 2052
    assert not any(typo["id"] in load.truth["deal_closed"] for load in loads)


def test_client_ids_come_in_all_forms(states: list[Tables]) -> None:
    # HubSpot has no empty text.
    for name, empty in (("contacts", {None, "(not set)"}), ("orders", {"", None, "(not set)"})):
        raw = [row["ga_client_id"] for row in states[0][name]]
        for form in ("GA1.2.", "GA1.1-2.", "FPID2.2."):
            assert sum(str(value).startswith(form) for value in raw) > 100
        assert empty <= set(raw)
        assert 0.06 < sum(value in ("", None, "(not set)") for value in raw) / len(raw) < 0.10


# --- the truth ----------------------------------------------------------------------------------------------------


def test_truth_is_of_closed_days_and_keyed_by_id(loads: list[Load]) -> None:
    for load, day in zip(loads, LOAD_DAYS, strict=True):
        for rows in load.truth.values():
            assert all(id_ == row.id and FIRST_DAY <= row.day < day for id_, row in rows.items())
            assert all(_local(row.created).date() == row.day for row in rows.values())


def _refused(order: Row) -> bool:
    return math.isnan(order["total"]) or order["currency"] == "EURO" or not order["id"]


def _canonical(raw: object) -> str | None:
    text = str(raw or "").strip()
    for prefix in ("GA1.2.", "GA1.3.", "GA1.1-2.", "FPID2.2."):
        text = text.removeprefix(prefix)
    return None if text in ("", "(not set)") else text


def _currency(raw: object) -> str:
    return str(raw or "EUR").strip().upper()


def _params(row: Row, *keys: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(row[key])) for key in keys if row[key])


def _lead(tables: Tables) -> Iterator[Row]:
    for row in tables["contacts"]:
        if row["lifecyclestage"] != "other" and not row["_deleted"]:
            params = {
                "country": row["country"],
                "job_title": row["jobtitle"],
                "lead_source": row["hs_analytics_source"],
            }
            yield {
                "id": row["id"],
                "created": row["createdate"],
                "value": None,
                "currency": "EUR",
                "client_id": _canonical(row["ga_client_id"]),
                "is_qualified": row["lifecyclestage"] == "customer",
                "user_id": row["id"],
                "params": _params(params, *params),
            }


def _deal_closed(tables: Tables) -> Iterator[Row]:
    contacts = {row["id"]: row for row in tables["contacts"]}
    contact_of = {row["deal_id"]: contacts[row["contact_id"]] for row in tables["deals_contacts"]}
    assert len(contact_of) == len(tables["deals_contacts"])
    for row in tables["deals"]:
        if row["dealstage"] in WON and not row["_deleted"]:
            yield {
                "id": row["id"],
                "created": row["closedate"],
                "value": float(row["amount"]),
                "currency": _currency(row["deal_currency_code"]),
                "client_id": _canonical(contact_of[row["id"]]["ga_client_id"]),
                "is_qualified": None,
                "user_id": contact_of[row["id"]]["id"],
                "params": (),
            }


def _order_confirmed(tables: Tables) -> Iterator[Row]:
    for row in sorted(tables["orders"], key=lambda row: _local(row["ordered_at"]).astimezone(UTC), reverse=True):
        if row["status"] in ("confirmed", "paid") and not row["is_deleted"] and not _refused(row):
            yield {
                "id": row["id"],
                "created": row["ordered_at"],
                "value": row["total"],
                "currency": _currency(row["currency"]),
                "client_id": _canonical(row["ga_client_id"]),
                "is_qualified": None,
                "user_id": row["contact_id"],
                "params": _params(row, "city", "country", "region"),
            }


QUERIES: dict[str, Callable[[Tables], Iterator[Row]]] = {
    "lead": _lead,
    "deal_closed": _deal_closed,
    "order_confirmed": _order_confirmed,
}


@pytest.mark.parametrize("conversion", QUERIES)
def test_raw_rows_agree_with_the_truth(loads: list[Load], states: list[Tables], conversion: str) -> None:
    """What the demo's SQL stands for, over HubSpot and the orders: the earliest row of an id comes last and wins."""
    for load, tables in zip(loads, states, strict=True):
        today = _local(load.at).date()
        rows = {row["id"]: row for row in QUERIES[conversion](tables) if _local(row["created"]).date() < today}
        truth = load.truth[conversion]
        assert rows.keys() == truth.keys()
        for id_, row in rows.items():
            assert row | {"day": _local(row["created"]).date()} == vars(truth[str(id_)])


# --- loads over one another ---------------------------------------------------------------------------------------


def test_apply_load_replaces_ids_and_changes_nothing_in_place(loads: list[Load], states: list[Tables]) -> None:
    orders = states[0]["orders"]
    before = list(orders)
    after = apply_load(orders, loads[1])
    assert orders == before
    assert apply_load(after, loads[1]) == after
    loaded = {row["id"] for row in loads[1].orders}
    assert [row for row in after if row["id"] in loaded] == loads[1].orders


def test_one_version_of_an_id_stays_but_for_the_deliberate_duplicates(loads: list[Load], states: list[Tables]) -> None:
    orders = states[-1]["orders"]
    newest = {row["id"]: load.orders for load in loads for row in load.orders}
    doubled = {id_: count for id_, count in Counter(row["id"] for row in orders).items() if count > 1}
    assert set(doubled.values()) == {2}
    for id_ in doubled:
        assert sum(row["id"] == id_ for row in newest[id_]) == 2
    assert len(_conflicts(orders)) == len(_conflicts(loads[0].orders))
