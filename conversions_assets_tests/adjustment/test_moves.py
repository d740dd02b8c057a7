"""Ids that change their day, vanish from a part of the days, or stand on several (R5, R17, R18, R20)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from conversions_assets.project import Project, Thresholds
from conversions_assets_tests.adjustment.model import as_text
from conversions_assets_tests.shop import SQL, Shop, day, order

R = datetime(2026, 1, 31, 6, tzinfo=UTC)  # W = 10: the window is 01-21 … 01-30
LENIENT = Project(
    timezone="UTC", currency="EUR", thresholds=Thresholds(quarantined_share=1, conflicting_ids_share=1, raw_rows_fall=1)
)


def at(text: str, value: float | None = 10.0, **columns: Any) -> dict[str, Any]:
    """A sighting of the order `a` at noon of MM-DD."""
    return order("a", f"2026-{text}T12:00", value, **columns)


def publish_at_home(shop: Shop, home: str, **columns: Any) -> None:
    """`a` is published on its home day while that is in the window; then it is the 31st of January."""
    shop.set_orders([at(home, **columns)])
    shop.now = min(R, datetime.combine(day(home), R.timetz()).replace(day=day(home).day + 1))
    shop.update(day(home))
    shop.now = R


def load(shop: Shop, *sightings: Mapping[str, Any]) -> None:
    shop.set_orders(sightings)


def reasons(shop: Shop) -> list[str]:
    return [entry["reason"] for entry in shop.ledger("a")]


def home(shop: Shop) -> str:
    return f"{shop.published()['a']['day']:%m-%d}"


def listed(shop: Shop) -> list[tuple[str, str, str | None]]:
    """The drift report: kind, field, what the CRM says."""
    return [(row["kind"], row["field"], as_text(row["crm_value"])) for row in shop.drift()]


# --- R17 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", ["01-25", "01-29"])
def test_r17_both_days_adjustable_the_row_moves_and_one_remains(shop: Shop, new: str) -> None:
    publish_at_home(shop, "01-27")
    load(shop, at(new))
    shop.update(day("01-21"), day("01-30"))
    assert reasons(shop) == ["PUBLISHED", "MOVED"]
    assert home(shop) == new
    assert (shop.published()["a"]["created"].date(), shop.published()["a"]["fx_date"]) == (day(new), day(new))
    assert (shop.published()["a"]["adjustment_type"], shop.published()["a"]["adjustment_count"]) == ("NONE", 0)
    assert len(shop.query('SELECT id FROM adjusted."order"')) == 1
    assert shop.drift() == []


def test_r17_home_day_frozen_the_row_stays_and_the_new_sighting_is_listed(shop: Shop) -> None:
    publish_at_home(shop, "01-10")
    load(shop, at("01-25", 25.0, is_qualified=True))
    shop.update(day("01-10"), day("01-30"))
    assert reasons(shop) == ["PUBLISHED"]
    assert (home(shop), shop.published()["a"]["value"]) == ("01-10", 10.0)
    assert listed(shop) == [
        ("MOVED", "day", "2026-01-25"),
        ("VALUE", "is_qualified", "true"),
        ("VALUE", "value", "25.0"),
    ]
    assert {row["day"] for row in shop.drift()} == {day("01-10")}  # the home day


def test_r17_an_id_that_moves_into_a_frozen_day_stays_home(shop: Shop) -> None:
    shop.now = R.replace(day=11)
    shop.update(day("01-10"))
    publish_at_home(shop, "01-25")
    load(shop, at("01-10", 25.0))
    shop.update(day("01-10"), day("01-30"))
    assert reasons(shop) == ["PUBLISHED", "VALUE_CHANGED"]  # its value still follows
    assert (home(shop), shop.published()["a"]["value"]) == ("01-25", 25.0)
    assert (shop.published()["a"]["created"].date(), shop.published()["a"]["fx_date"]) == (day("01-25"), day("01-25"))
    assert listed(shop) == [("MOVED", "day", "2026-01-10")]
    assert (shop.drift()[0]["day"], shop.drift()[0]["frozen_value"]) == (day("01-25"), "2026-01-25")


def test_r17_a_row_whose_crm_day_is_frozen_follows_on_and_on(shop: Shop) -> None:
    shop.now = R.replace(day=11)
    shop.update(day("01-10"))
    publish_at_home(shop, "01-25")
    for value in (25.0, 26.0, 26.0):
        load(shop, at("01-10", value, client_id=None))
        shop.update(day("01-10"), day("01-30"))
    assert reasons(shop) == ["PUBLISHED", "VALUE_CHANGED", "VALUE_CHANGED"]
    assert len(shop.drift()) == 1


def test_r17_a_run_over_the_frozen_new_day_alone_does_not_touch_the_row(shop: Shop) -> None:
    shop.now = R.replace(day=11)
    shop.update(day("01-10"))
    publish_at_home(shop, "01-25")
    load(shop, at("01-10", 25.0))
    shop.update(day("01-10"))
    assert reasons(shop) == ["PUBLISHED"]
    assert listed(shop) == [("MOVED", "day", "2026-01-10")]  # the day where the query sees it was covered


def test_r17_between_two_frozen_days_the_row_stays_and_is_listed(shop: Shop) -> None:
    shop.now = R.replace(day=11)
    shop.update(day("01-10"))
    publish_at_home(shop, "01-12")
    load(shop, at("01-10"))
    shop.update(day("01-10"), day("01-12"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED"], "01-12")
    assert listed(shop) == [("MOVED", "day", "2026-01-10")]


def test_r17_a_day_never_published_receives_a_moved_row_like_a_day_of_the_window(shop: Shop) -> None:
    publish_at_home(shop, "01-25")
    load(shop, at("01-10"))
    shop.update(day("01-10"), day("01-30"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "MOVED"], "01-10")
    load(shop, at("01-25"))  # now it is frozen there
    shop.update(day("01-10"), day("01-30"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "MOVED"], "01-10")


# --- R18 -------------------------------------------------------------------------------------------------------------


def test_r18_a_run_over_part_of_the_window_does_not_retract_what_moved_to_a_day_beside_it(shop: Shop) -> None:
    publish_at_home(shop, "01-25")
    load(shop, at("01-29", 25.0))
    shop.update(day("01-25"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED"], "01-25")
    assert shop.published()["a"]["value"] == 10.0  # a row that waits changes in nothing meanwhile
    assert shop.drift() == []
    shop.update(day("01-29"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "VALUE_CHANGED"], "01-29")


def test_r18_a_row_that_waits_for_the_open_day_moves_when_that_day_closes(shop: Shop) -> None:
    publish_at_home(shop, "01-25")
    load(shop, at("01-31") | {"created": R.replace(hour=3)})
    shop.update(day("01-21"), day("01-30"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED"], "01-25")
    shop.now = R.replace(month=2, day=1)
    shop.update(day("01-22"), day("01-31"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "MOVED"], "01-31")


def test_r18_what_the_query_does_not_return_at_all_vanishes_also_in_a_run_over_one_day(shop: Shop) -> None:
    publish_at_home(shop, "01-25")
    load(shop, at("01-25", status="cancelled"))
    shop.update(day("01-24"))
    assert reasons(shop) == ["PUBLISHED"]  # its day was not covered
    shop.update(day("01-25"))
    assert reasons(shop) == ["PUBLISHED", "VANISHED"]


def test_r18_a_frozen_row_that_vanishes_is_only_listed(shop: Shop) -> None:
    publish_at_home(shop, "01-10")
    load(shop, at("01-10", status="cancelled"))
    shop.update(day("01-10"), day("01-30"))
    assert (reasons(shop), shop.published()["a"]["status"]) == (["PUBLISHED"], "ACTIVE")
    assert listed(shop) == [("VANISHED", "value", None)]


@pytest.mark.parametrize(
    ("refused", "on"),
    [({"currency": "XYZ"}, "01-25"), ({"value": float("nan")}, "01-29"), ({"value": float("inf")}, "01-31")],
)
def test_r18_a_quarantined_row_counts_as_returned(shop: Shop, refused: dict[str, Any], on: str) -> None:
    shop.configure(project=LENIENT)
    publish_at_home(shop, "01-25")
    load(shop, at(on) | refused)
    shop.update(day("01-25"))
    assert (reasons(shop), shop.published()["a"]["status"], shop.drift()) == (["PUBLISHED"], "ACTIVE", [])


def test_r18_a_frozen_row_that_is_quarantined_now_is_no_drift(shop: Shop) -> None:
    shop.configure(project=LENIENT)
    publish_at_home(shop, "01-10")
    load(shop, at("01-10", currency="XYZ"))
    shop.update(day("01-10"))
    shop.audit()
    assert (reasons(shop), shop.drift()) == (["PUBLISHED"], [])


WITHOUT_END = SQL[: SQL.index(" AND created < ")]


@pytest.mark.parametrize("sql", [SQL, WITHOUT_END], ids=["both parameters", "without an end"])
@pytest.mark.parametrize("later", ["2026-01-31T23:00", "2026-02-01T12:00", "2062-01-25T12:00"])
def test_r18_a_date_after_the_open_day_retracts_nothing(shop: Shop, later: str, sql: str) -> None:
    shop.write_sql(sql)
    publish_at_home(shop, "01-25")
    load(shop, order("a", later))
    shop.update(day("01-21"), day("01-30"))
    assert (reasons(shop), home(shop), shop.drift()) == (["PUBLISHED"], "01-25", [])


# --- R5, R17: an id on several days ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dedup", "wins"), [("earliest", "01-25"), ("latest", "01-28")])
def test_r17_of_several_days_the_earliest_wins_and_with_dedup_latest_the_latest(
    shop: Shop, dedup: str, wins: str
) -> None:
    shop.configure(dedup=dedup)
    load(shop, at("01-28", 28.0), at("01-25", 25.0), at("01-27", 27.0))
    shop.update(day("01-21"), day("01-30"))
    assert reasons(shop) == ["PUBLISHED"]
    assert (home(shop), shop.published()["a"]["value"]) == (wins, float(wins[-2:]))
    assert len(shop.stored()) == 3


@pytest.mark.parametrize(("dedup", "wins"), [("earliest", "01-25"), ("latest", "01-28")])
def test_r17_the_winner_is_the_same_whichever_days_a_run_holds(shop: Shop, dedup: str, wins: str) -> None:
    shop.configure(dedup=dedup)
    load(shop, at("01-25", 25.0), at("01-28", 28.0))
    loser = {"01-25": "01-28", "01-28": "01-25"}[wins]
    shop.update(day(loser))
    assert shop.published() == {}
    shop.update(day(wins))
    shop.update(day(loser))
    assert (reasons(shop), home(shop)) == (["PUBLISHED"], wins)


def test_r17_an_earlier_sighting_takes_the_row_over_and_gives_it_back(shop: Shop) -> None:
    publish_at_home(shop, "01-27")
    load(shop, at("01-24"), at("01-27"))
    shop.update(day("01-21"), day("01-30"))
    assert home(shop) == "01-24"
    load(shop, at("01-27"))
    shop.update(day("01-21"), day("01-30"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "MOVED", "MOVED"], "01-27")


def test_r17_the_winner_is_sought_after_quarantine(shop: Shop) -> None:
    shop.configure(project=LENIENT)
    load(shop, at("01-24", currency="XYZ"), at("01-27", 27.0))
    shop.update(day("01-21"), day("01-30"))
    assert (home(shop), shop.published()["a"]["value"]) == ("01-27", 27.0)


def test_r17_with_dedup_latest_a_sighting_on_the_open_day_wins_and_is_waited_for(shop: Shop) -> None:
    shop.configure(dedup="latest")
    publish_at_home(shop, "01-25")
    load(shop, at("01-25", 25.0), at("01-31", 31.0) | {"created": R.replace(hour=3)})
    shop.update(day("01-21"), day("01-30"))
    assert (reasons(shop), home(shop), shop.published()["a"]["value"]) == (["PUBLISHED"], "01-25", 10.0)


# --- R20 -------------------------------------------------------------------------------------------------------------


def test_r20_a_retracted_row_that_returns_on_another_day_of_the_window_moves_there(shop: Shop) -> None:
    publish_at_home(shop, "01-25")
    load(shop)
    shop.update(day("01-25"))
    load(shop, at("01-28", 28.0))
    shop.update(day("01-28"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "VANISHED", "REAPPEARED"], "01-28")
    assert (shop.published()["a"]["value"], shop.published()["a"]["previous_value"]) == (28.0, 0.0)


def test_r20_a_retracted_row_that_returns_on_a_frozen_day_reappears_at_home_and_is_listed(shop: Shop) -> None:
    shop.now = R.replace(day=11)
    shop.update(day("01-10"))
    publish_at_home(shop, "01-25")
    load(shop)
    shop.update(day("01-25"))
    load(shop, at("01-10"))
    shop.update(day("01-10"), day("01-30"))
    assert (reasons(shop), home(shop)) == (["PUBLISHED", "VANISHED", "REAPPEARED"], "01-25")
    assert listed(shop) == [("MOVED", "day", "2026-01-10")]


def test_r20_a_frozen_retracted_row_that_returns_goes_to_the_drift_report_only(shop: Shop) -> None:
    publish_at_home(shop, "01-10")
    shop.now = R.replace(day=12)
    load(shop)
    shop.update(day("01-10"))
    shop.now = R
    load(shop, at("01-10"))
    shop.update(day("01-10"), day("01-30"))
    assert (reasons(shop), shop.published()["a"]["status"]) == (["PUBLISHED", "VANISHED"], "RETRACTED")
    assert listed(shop) == [("VALUE", "value", "10.0")]
    assert shop.drift()[0]["value_delta"] == 10.0
