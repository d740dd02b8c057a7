"""What a change is, and what is written of it beside the row (R15, R20, R22, R31)."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conversions_assets_tests.shop import SQL, Shop, day, order

DAY = date(2026, 1, 30)
NOON = "2026-01-30T12:00"
MICROSECOND = timedelta(microseconds=1)


State = Mapping[str, Any] | None
"""What the CRM says of an order beside its id; None: cancelled."""


def follow_all(shop: Shop, *loads: Mapping[str, State]) -> dict[str, list[str]]:
    """One run after each load. Returns the reasons of the versions of each id."""
    for load in loads:
        shop.set_orders([order(id, NOON) | ({"status": "cancelled"} if s is None else s) for id, s in load.items()])
        shop.update(DAY)
        shop.now += timedelta(hours=1)
    return {id: [entry["reason"] for entry in shop.ledger(id)] for id in loads[-1]}


def follow(shop: Shop, *states: State) -> list[str]:
    """The same for the order `a` alone."""
    return follow_all(shop, *({"a": state} for state in states))["a"]


def a(shop: Shop) -> dict[str, Any]:
    return shop.published()["a"]


# --- R15: what is a change -------------------------------------------------------------------------------------------


ADJUSTMENTS: dict[str, tuple[State, str]] = {
    "value": ({"value": 12.5}, "VALUE_CHANGED"),
    "no value": ({"value": None}, "VALUE_CHANGED"),
    "0": ({"value": 0.0}, "VALUE_CHANGED"),
    "negative": ({"value": -10.0}, "VALUE_CHANGED"),
    "currency": ({"currency": "USD"}, "CURRENCY_CHANGED"),
    "true": ({"is_qualified": True}, "QUALIFICATION_CHANGED"),
    "false": ({"is_qualified": False}, "QUALIFICATION_CHANGED"),
    "cancelled": (None, "VANISHED"),
}


def test_r15_value_currency_qualification_and_presence_are_adjustments(shop: Shop) -> None:
    changes = {id: change for id, (change, _) in ADJUSTMENTS.items()}
    reasons = follow_all(shop, {key: {} for key in ADJUSTMENTS}, changes)
    rows = shop.published()
    for id, (change, reason) in ADJUSTMENTS.items():
        assert reasons[id] == ["PUBLISHED", reason], id
        assert (rows[id]["adjustment_count"], rows[id]["adjustment_reason"]) == (1, reason), id
        assert rows[id]["adjustment_type"] == ("RETRACTION" if change is None else "RESTATEMENT"), id


ATTRIBUTES: dict[str, dict[str, Any]] = {
    "client": {"client_id": "3.4"},
    "no client": {"client_id": None},
    "user": {"user_id": "u1"},
    "params": {"params": [{"key": "city", "value": "Bonn"}]},
}


def test_r15_an_attribute_updates_the_row_and_is_no_adjustment(shop: Shop) -> None:
    reasons = follow_all(shop, {key: {} for key in ATTRIBUTES}, ATTRIBUTES)
    rows = shop.published()
    for id, change in ATTRIBUTES.items():
        assert reasons[id] == ["PUBLISHED", "ATTRIBUTE_CHANGED"], id
        assert {name: rows[id][name] for name in change} == change, id
        assert (rows[id]["adjustment_type"], rows[id]["adjustment_count"]) == ("NONE", 0), id
        untouched = ("adjustment_reason", "adjusted_at", "previous_value")
        assert [rows[id][name] for name in untouched] == [None] * 3, id


def test_r15_an_attribute_after_an_adjustment_leaves_what_is_said_of_the_adjustment(shop: Shop) -> None:
    follow(shop, {}, {"value": 20.0})
    adjusted = a(shop)
    assert follow(shop, {"value": 20.0, "client_id": "3.4"})[-1] == "ATTRIBUTE_CHANGED"
    kept = ("adjustment_type", "adjustment_reason", "previous_value", "adjusted_at", "adjustment_count")
    assert {name: a(shop)[name] for name in kept} == {name: adjusted[name] for name in kept}


SAME_PARAMS: dict[str, list[tuple[str, str]]] = {
    "case": [("City", "Bonn"), ("b", "1")],
    "order": [("b", "1"), ("city", "Bonn")],
    "empty": [("b", "1"), ("city", "Bonn"), ("empty", "")],
}


def test_r15_params_that_say_the_same_are_no_change(shop: Shop) -> None:
    def stated(pairs: list[tuple[str, str]]) -> State:
        return {"params": [{"key": key, "value": value} for key, value in pairs]}

    before = dict.fromkeys(SAME_PARAMS, stated([("city", "Bonn"), ("b", "1")]))
    reasons = follow_all(shop, before, {id: stated(pairs) for id, pairs in SAME_PARAMS.items()})
    assert reasons == {key: ["PUBLISHED"] for key in SAME_PARAMS}


# Id -> currency, value, a value that differs by too little, and one that differs by enough.
HALF_UNITS = {
    "more": ("EUR", 10.0, 10.0049, 10.005),
    "less": ("EUR", 10.0, 9.9951, 9.995),
    "yen": ("JPY", 100.0, 100.49, 100.5),
    "dinar": ("KWD", 1.0, 1.00049, 1.0005),
    "fomento": ("CLF", 1.0, 1.000049, 1.00005),
}


def test_r15_half_a_minor_unit_of_the_currency_is_a_change(shop: Shop) -> None:
    first, small, large = (
        {id: {"currency": case[0], "value": case[n]} for id, case in HALF_UNITS.items()} for n in (1, 2, 3)
    )
    assert follow_all(shop, first, small) == {key: ["PUBLISHED"] for key in HALF_UNITS}
    assert {id: row["value"] for id, row in shop.published().items()} == {id: c[1] for id, c in HALF_UNITS.items()}
    assert follow_all(shop, large) == {key: ["PUBLISHED", "VALUE_CHANGED"] for key in HALF_UNITS}
    assert {id: row["value"] for id, row in shop.published().items()} == {id: c[3] for id, c in HALF_UNITS.items()}


def test_r15_small_steps_add_up_against_the_published_value(shop: Shop) -> None:
    assert follow(shop, {"value": 10.0}, {"value": 10.003}, {"value": 10.006}) == ["PUBLISHED", "VALUE_CHANGED"]
    assert (a(shop)["value"], a(shop)["previous_value"]) == (10.006, 10.0)


def test_r15_the_minor_unit_is_that_of_the_new_currency(shop: Shop) -> None:
    yen = follow(shop, {"value": 10.0, "currency": "EUR"}, {"value": 10.4, "currency": "JPY"})
    assert yen == ["PUBLISHED", "CURRENCY_CHANGED"]
    assert follow(shop, {"value": 10.41, "currency": "EUR"})[-1] == "VALUE_CHANGED"


def test_r15_null_and_a_number_differ(shop: Shop) -> None:
    states = [{"value": None}, {"value": None}, {"value": 0.0}, {"value": None}]
    assert follow(shop, *states) == ["PUBLISHED", "VALUE_CHANGED", "VALUE_CHANGED"]
    assert (a(shop)["original_value"], a(shop)["previous_value"], a(shop)["value"]) == (None, 0.0, None)


def test_r15_a_missing_currency_is_the_projects(shop: Shop) -> None:
    assert follow(shop, {"currency": None}, {"currency": " eur "}, {"currency": ""}) == ["PUBLISHED"]


def test_r15_created_within_the_day_is_no_version_and_the_next_one_carries_it(shop: Shop) -> None:
    earlier = {"created": datetime(2026, 1, 30, 8, tzinfo=UTC)}
    assert follow(shop, {}, earlier) == ["PUBLISHED"]
    assert a(shop)["created"].hour == 12
    assert follow(shop, earlier | {"value": 20.0}) == ["PUBLISHED", "VALUE_CHANGED"]
    assert a(shop)["created"].hour == 8


SEVERAL: dict[str, tuple[State, dict[str, Any], str]] = {
    "value": ({}, {"value": 1.0, "currency": "USD", "is_qualified": True, "client_id": "9.9"}, "VALUE_CHANGED"),
    "currency": ({}, {"currency": "USD", "is_qualified": True, "client_id": "9.9"}, "CURRENCY_CHANGED"),
    "qualified": ({}, {"is_qualified": True, "client_id": "9.9"}, "QUALIFICATION_CHANGED"),
    "back": (None, {"value": 1.0, "currency": "USD", "client_id": "9.9"}, "REAPPEARED"),
}


def test_r15_several_changes_are_one_version_with_the_first_reason(shop: Shop) -> None:
    before, after = ({id: case[n] for id, case in SEVERAL.items()} for n in (0, 1))
    reasons = follow_all(shop, {key: {} for key in SEVERAL}, before, after)
    rows = shop.published()
    for id, (_, change, reason) in SEVERAL.items():
        last = shop.ledger(id)[-1]
        assert (reasons[id][-1], len(reasons[id])) == (reason, 3 if reason == "REAPPEARED" else 2), id
        assert {name: json.loads(last["after"])[name] for name in change} == change, id
        assert json.loads(last["before"])["client_id"] == "1.2", id
        assert rows[id]["adjustment_count"] == last["version"] - 1, id


MOVES: dict[str, tuple[dict[str, Any], str]] = {
    "value": ({"value": 1.0}, "VALUE_CHANGED"),
    "qualified": ({"is_qualified": True}, "QUALIFICATION_CHANGED"),
    "user": ({"user_id": "u"}, "MOVED"),
}


def test_r15_a_move_is_named_after_a_changed_value_and_before_an_attribute(shop: Shop) -> None:
    shop.set_orders([order(id, "2026-01-28T12:00") for id in MOVES])
    shop.update(day("01-28"), day("01-30"))
    shop.set_orders([order(id, "2026-01-29T12:00") | change for id, (change, _) in MOVES.items()])
    shop.update(day("01-28"), day("01-30"))
    for id, (_, reason) in MOVES.items():
        [_, moved] = shop.ledger(id)
        assert (moved["reason"], moved["day_before"], moved["day_after"]) == (reason, day("01-28"), day("01-29")), id
        assert shop.published()[id]["adjustment_count"] == (reason != "MOVED"), id


# --- R18, R20, R22: the row ------------------------------------------------------------------------------------------


def test_r18_a_cancelled_order_is_retracted_and_stays(shop: Shop) -> None:
    follow(shop, {"value": 80.0, "currency": "USD", "is_qualified": True, "user_id": "u"}, None)
    row = a(shop)
    assert (row["status"], row["adjustment_type"], row["value"]) == ("RETRACTED", "RETRACTION", 0.0)
    assert (row["previous_value"], row["previous_currency"], row["currency"]) == (80.0, "USD", "USD")
    assert (row["is_qualified"], row["user_id"], row["client_id"], row["day"]) == (True, "u", "1.2", DAY)


def test_r18_a_retracted_row_is_not_retracted_again(shop: Shop) -> None:
    assert follow(shop, {}, None, None) == ["PUBLISHED", "VANISHED"]
    assert a(shop)["adjustment_count"] == 1


def test_r20_a_row_that_comes_back_is_active_and_a_restatement(shop: Shop) -> None:
    assert follow(shop, {"value": 80.0}, None, {"value": 80.0}) == ["PUBLISHED", "VANISHED", "REAPPEARED"]
    row = a(shop)
    assert (row["status"], row["adjustment_type"], row["adjustment_reason"]) == ("ACTIVE", "RESTATEMENT", "REAPPEARED")
    assert (row["value"], row["previous_value"], row["original_value"], row["adjustment_count"]) == (80.0, 0.0, 80.0, 2)


def test_r20_a_row_that_comes_back_without_a_value_reappears_too(shop: Shop) -> None:
    assert follow(shop, {"value": 0.0}, None, {"value": 0.0})[-1] == "REAPPEARED"
    assert follow(shop, None, {"value": None})[-1] == "REAPPEARED"
    assert (a(shop)["status"], a(shop)["value"], a(shop)["value_source"]) == ("ACTIVE", None, "NONE")


def test_r22_the_first_publication(shop: Shop) -> None:
    first = shop.now
    follow(shop, {"value": 80.0})
    row = a(shop)
    assert (row["status"], row["adjustment_type"], row["adjustment_count"]) == ("ACTIVE", "NONE", 0)
    empty = ("adjustment_reason", "previous_value", "previous_currency", "adjusted_at")
    assert [row[name] for name in empty] == [None] * 4
    assert (row["original_value"], row["first_published_at"], row["day"]) == (80.0, first, DAY)
    assert (row["crm_load_id"], row["run_id"]) == (f"load-{shop.load}", f"run-{shop.runs}")


def test_r22_original_stays_and_previous_follows(shop: Shop) -> None:
    first = shop.now
    follow(
        shop, {"value": 10.0}, {"value": 20.0}, {"value": 30.0, "currency": "USD"}, {"value": 30.0, "currency": "JPY"}
    )
    row = a(shop)
    assert (row["original_value"], row["previous_value"], row["previous_currency"]) == (10.0, 30.0, "USD")
    assert (row["adjustment_count"], row["first_published_at"]) == (3, first)
    follow(shop, {"value": 30.0, "currency": "JPY", "is_qualified": True})
    assert (a(shop)["previous_value"], a(shop)["previous_currency"]) == (30.0, "JPY")


def test_r22_the_type_does_not_go_back_to_none(shop: Shop) -> None:
    assert follow(shop, {"value": 10.0}, {"value": 20.0}, {"value": 10.0})[1:] == ["VALUE_CHANGED"] * 2
    assert (a(shop)["adjustment_type"], a(shop)["value"], a(shop)["original_value"]) == ("RESTATEMENT", 10.0, 10.0)


def test_r22_adjusted_at_is_the_run_and_rises_strictly(shop: Shop) -> None:
    seen = []
    for value in (10.0, 11.0, 12.0, None):
        seen.append(shop.now)
        follow(shop, {"value": value})
        assert a(shop)["adjusted_at"] == (None if value == 10.0 else seen[-1])
    shop.now = seen[-1]  # the clock stands still, then goes back
    follow(shop, {"value": 13.0})
    assert a(shop)["adjusted_at"] == seen[-1] + MICROSECOND
    shop.now = seen[-1] - timedelta(hours=9)
    follow(shop, None)
    assert a(shop)["adjusted_at"] == seen[-1] + 2 * MICROSECOND


def test_r22_adjusted_at_lies_after_created_also_when_an_adjusted_row_moves_on(shop: Shop) -> None:
    shop.now = datetime(2026, 1, 26, 6, tzinfo=UTC)
    for value in (10.0, 20.0):
        shop.set_orders([order("a", "2026-01-25T12:00", value)])
        shop.update(day("01-25"))
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    shop.set_orders([order("a", NOON, 20.0)])
    shop.update(day("01-25"), day("01-30"))
    assert a(shop)["day"] == DAY
    assert a(shop)["adjusted_at"] > a(shop)["created"]


def test_r22_value_source_and_attribution_are_those_of_the_row_as_it_is(shop: Shop) -> None:
    def source_and_attribution() -> tuple[str, str]:
        return a(shop)["value_source"], a(shop)["attribution"]

    follow(shop, {"value": 10.0, "client_id": None})
    assert source_and_attribution() == ("REPORTED", "(not attributed)")
    follow(shop, {"value": None, "client_id": "1.2"})
    assert source_and_attribution() == ("NONE", "attributed")
    follow(shop, {"value": 0.0, "client_id": "(not set)"})
    assert source_and_attribution() == ("REPORTED", "(not attributed)")


def test_r24_value_project_is_the_value_in_the_projects_currency_only(shop: Shop) -> None:
    follow(shop, {"value": 10.0})
    assert (a(shop)["value_project"], a(shop)["fx_rate"], a(shop)["fx_date"]) == (10.0, 1.0, DAY)
    follow(shop, {"value": 12.0, "currency": "USD"})  # no rate: NULL, never 1:1
    assert (a(shop)["value_project"], a(shop)["fx_rate"], a(shop)["fx_date"]) == (None, None, None)
    follow(shop, {"value": 14.0}, None)
    assert (a(shop)["value"], a(shop)["value_project"]) == (0.0, 0.0)


# --- R31: another SQL ------------------------------------------------------------------------------------------------

NET = SQL.replace("created, value,", "created, value / 1.25 AS value,")


def test_r31_a_changed_sql_restates_the_window_and_leaves_frozen_days_alone(shop: Shop) -> None:
    shop.set_orders([order("old", "2026-01-10T12:00"), order("a", NOON), order("empty", NOON, None)])
    shop.now -= timedelta(days=20)
    shop.update(day("01-10"))
    shop.now += timedelta(days=20)
    shop.update(day("01-10"), DAY)
    shop.write_sql(NET)
    shop.update(day("01-10"), DAY)
    assert {id: row["value"] for id, row in shop.published().items()} == {"old": 10.0, "a": 8.0, "empty": None}
    assert [(e["id"], e["reason"]) for e in shop.ledger() if e["version"] > 1] == [("a", "QUERY_CHANGED")]
    assert (a(shop)["adjustment_type"], a(shop)["adjustment_reason"]) == ("RESTATEMENT", "QUERY_CHANGED")
    assert (a(shop)["previous_value"], a(shop)["adjustment_count"]) == (10.0, 1)
    assert [(row["id"], row["kind"], row["value_delta"]) for row in shop.drift()] == [("old", "VALUE", -2.0)]


def test_r31_after_the_restatement_the_reasons_are_the_crms_again(shop: Shop) -> None:
    follow(shop, {})
    shop.write_sql(NET)
    assert follow(shop, {}, {"value": 20.0}) == ["PUBLISHED", "QUERY_CHANGED", "VALUE_CHANGED"]


def test_r31_a_sql_that_returns_fewer_rows_retracts_with_its_own_reason(shop: Shop) -> None:
    follow(shop, {})
    shop.write_sql(SQL.replace("'confirmed'", "'paid'"))
    assert follow(shop, {}) == ["PUBLISHED", "QUERY_CHANGED"]
    assert (a(shop)["status"], a(shop)["adjustment_type"]) == ("RETRACTED", "RETRACTION")


def test_r31_another_client_id_by_a_changed_sql_is_no_adjustment(shop: Shop) -> None:
    follow(shop, {})
    shop.write_sql(SQL.replace("client_id,", "'9.9' AS client_id,"))
    assert follow(shop, {}) == ["PUBLISHED", "QUERY_CHANGED"]
    assert (a(shop)["client_id"], a(shop)["adjustment_type"], a(shop)["adjustment_count"]) == ("9.9", "NONE", 0)


@pytest.mark.parametrize(
    "same",
    [
        "-- net of returns\n" + SQL,
        SQL.replace("\n", "\n\n   "),
        SQL.replace("SELECT", "select /* all */"),
        SQL.rstrip() + ";\n",
    ],
)
def test_r31_a_comment_or_another_layout_is_no_changed_sql(shop: Shop, same: str) -> None:
    follow(shop, {})
    shop.write_sql(same)
    assert follow(shop, {}, {"value": 20.0}) == ["PUBLISHED", "VALUE_CHANGED"]


def test_r31_each_day_knows_the_sql_it_was_published_with(shop: Shop) -> None:
    shop.set_orders([order("a", NOON), order("b", "2026-01-29T12:00")])
    shop.update(day("01-29"), DAY)
    shop.write_sql(NET)
    shop.update(DAY)
    shop.set_orders([order("a", NOON, 20.0), order("b", "2026-01-29T12:00", 20.0)])
    shop.update(day("01-29"), DAY)
    assert [entry["reason"] for entry in shop.ledger("a")] == ["PUBLISHED", "QUERY_CHANGED", "VALUE_CHANGED"]
    assert [entry["reason"] for entry in shop.ledger("b")] == ["PUBLISHED", "QUERY_CHANGED"]
