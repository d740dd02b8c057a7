"""Which days may change: the window, the freeze, and what a changed configuration does (R14, R21, R31, R33)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from conversions_assets.adjustment.window import Window
from conversions_assets.contract.materialise import NotComputedError
from conversions_assets.project import ConfigurationError, Project
from conversions_assets_tests.shop import Shop, day, make_shop, order


def run_on(shop: Shop, r: str, first: str, last: str | None = None) -> None:
    """Both assets over the days, at six in the morning of day r."""
    shop.now = datetime.combine(day(r), datetime.min.time(), UTC) + timedelta(hours=6)
    shop.update(day(first), day(last or first))


def values(shop: Shop) -> dict[str, float | None]:
    return {id: row["value"] for id, row in shop.published().items()}


def test_r14_the_window_is_the_w_days_before_the_run() -> None:
    window = Window(date(2026, 1, 31), 10)
    assert (window.first, window.last) == (date(2026, 1, 21), date(2026, 1, 30))


@pytest.mark.parametrize(("created", "becomes"), [("01-30", 20.0), ("01-21", 20.0), ("01-20", 10.0)])
def test_r14_a_value_follows_on_the_oldest_day_of_the_window_and_not_a_day_before(
    shop: Shop, created: str, becomes: float
) -> None:
    shop.set_orders([order("a", f"2026-{created}T12:00", 10.0)])
    run_on(shop, "01-31", "01-15", "01-30")
    shop.set_orders([order("a", f"2026-{created}T12:00", 20.0)])
    run_on(shop, "01-31", "01-15", "01-30")
    assert values(shop) == {"a": becomes}


def test_r14_the_window_moves_with_the_day_of_the_run(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-30T12:00", 1.0)])
    run_on(shop, "01-31", "01-30")
    for value, r, published in ((2.0, "02-01", 2.0), (3.0, "02-09", 3.0), (4.0, "02-10", 3.0)):
        shop.set_orders([order("a", "2026-01-30T12:00", value)])
        run_on(shop, r, "01-30")
        assert values(shop) == {"a": published}, r


def test_r14_the_day_of_the_run_is_the_local_one(tmp_path) -> None:
    shop = make_shop(tmp_path, window_days=1, project=Project(timezone="Europe/Berlin", currency="EUR"))
    shop.set_orders([order("a", "2026-01-29T12:00", 1.0)])
    shop.now = datetime(2026, 1, 30, 22, 59, tzinfo=UTC)  # 23:59 in Berlin
    shop.update(day("01-29"))
    shop.set_orders([order("a", "2026-01-29T12:00", 2.0)])
    shop.update(day("01-29"))
    assert values(shop) == {"a": 2.0}
    shop.now = datetime(2026, 1, 30, 23, 1, tzinfo=UTC)  # the 31st in Berlin
    shop.set_orders([order("a", "2026-01-29T12:00", 3.0)])
    shop.update(day("01-29"))
    assert values(shop) == {"a": 2.0}


def test_r14_without_a_window_each_day_is_published_once_and_then_frozen(shop: Shop) -> None:
    shop.configure(window_days=0)
    shop.set_orders([order("a", "2026-01-30T12:00", 10.0)])
    run_on(shop, "01-31", "01-30")
    assert values(shop) == {"a": 10.0}
    shop.set_orders([order("a", "2026-01-30T12:00", 20.0), order("late", "2026-01-30T13:00")])
    run_on(shop, "01-31", "01-30")
    assert values(shop) == {"a": 10.0}
    assert [(row["id"], row["kind"]) for row in shop.drift()] == [("a", "VALUE"), ("late", "NEW_LATE")]
    shop.set_orders([])
    run_on(shop, "01-31", "01-30")
    assert shop.published()["a"]["status"] == "ACTIVE"


def test_r21_a_frozen_day_does_not_change_under_a_backfill_by_hand(shop: Shop) -> None:
    before = [order("edited", "2026-01-02T12:00"), order("gone", "2026-01-02T12:00")]
    shop.set_orders(before)
    run_on(shop, "01-03", "01-02")
    published, ledger = shop.published(), shop.ledger()
    shop.set_orders([order("edited", "2026-01-02T12:00", 99.0, is_qualified=True), order("late", "2026-01-02T12:00")])
    run_on(shop, "01-31", "01-01", "01-30")
    assert (shop.published(), shop.ledger()) == (published, ledger)
    # conversions/order is never frozen: it holds what the SQL says now
    assert {row["id"]: row["value"] for row in shop.stored()} == {"edited": 99.0, "late": 10.0}


def test_r21_attributes_of_a_frozen_row_do_not_change_either(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-02T12:00", client_id="1.2")])
    run_on(shop, "01-03", "01-02")
    shop.set_orders([order("a", "2026-01-02T12:00", client_id="3.4", user_id="u")])
    run_on(shop, "01-31", "01-02")
    assert shop.published()["a"]["client_id"] == "1.2"
    assert shop.drift() == []  # attribute differences are not listed


def test_r21_an_old_day_that_was_never_published_may_be_published(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-02T12:00"), order("b", "2026-01-30T12:00")])
    run_on(shop, "01-31", "01-30")
    assert values(shop) == {"b": 10.0}
    run_on(shop, "01-31", "01-02")
    assert values(shop) == {"a": 10.0, "b": 10.0}
    assert shop.published()["a"]["adjustment_type"] == "NONE"
    shop.set_orders([order("a", "2026-01-02T12:00", 20.0), order("b", "2026-01-30T12:00")])
    run_on(shop, "01-31", "01-02")
    assert values(shop)["a"] == 10.0  # once published it is frozen


def test_r21_a_day_without_a_row_counts_as_published(shop: Shop) -> None:
    run_on(shop, "01-03", "01-02")
    shop.set_orders([order("late", "2026-01-02T12:00"), order("other", "2026-01-04T12:00")])
    run_on(shop, "01-31", "01-02", "01-04")
    assert set(values(shop)) == {"other"}
    assert [(row["id"], row["kind"], row["day"]) for row in shop.drift()] == [("late", "NEW_LATE", day("01-02"))]


def test_r14_a_late_row_of_a_day_in_the_window_is_published(shop: Shop) -> None:
    run_on(shop, "01-23", "01-22")
    shop.set_orders([order("late", "2026-01-22T12:00")])
    run_on(shop, "01-31", "01-22")
    assert [entry["reason"] for entry in shop.ledger("late")] == ["PUBLISHED"]
    assert shop.drift() == []


def test_r31_raising_w_thaws_nothing(shop: Shop) -> None:
    shop.configure(window_days=3)
    shop.set_orders([order("frozen", "2026-01-27T12:00"), order("open", "2026-01-28T12:00")])
    run_on(shop, "01-31", "01-25", "01-30")
    shop.configure(window_days=30)
    shop.set_orders([order("frozen", "2026-01-27T12:00", 20.0), order("open", "2026-01-28T12:00", 20.0)])
    run_on(shop, "01-31", "01-25", "01-30")
    assert values(shop) == {"frozen": 10.0, "open": 20.0}
    # the larger window grows from there: what was open stays open
    shop.set_orders([order("frozen", "2026-01-27T12:00", 30.0), order("open", "2026-01-28T12:00", 30.0)])
    run_on(shop, "02-20", "01-25", "01-30")
    assert values(shop) == {"frozen": 10.0, "open": 30.0}


def test_r31_raising_w_from_none_thaws_nothing(shop: Shop) -> None:
    shop.configure(window_days=0)
    shop.set_orders([order("a", "2026-01-30T12:00")])
    run_on(shop, "01-31", "01-30")
    shop.configure(window_days=10)
    shop.set_orders([order("a", "2026-01-30T12:00", 20.0), order("b", "2026-01-31T12:00", 1.0)])
    run_on(shop, "02-01", "01-30", "01-31")
    shop.set_orders([order("a", "2026-01-30T12:00", 30.0), order("b", "2026-01-31T12:00", 2.0)])
    run_on(shop, "02-02", "01-30", "01-31")
    assert values(shop) == {"a": 10.0, "b": 2.0}


def test_r31_lowering_w_freezes_at_once(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-25T12:00"), order("b", "2026-01-30T12:00")])
    run_on(shop, "01-31", "01-21", "01-30")
    shop.configure(window_days=3)
    shop.set_orders([order("a", "2026-01-25T12:00", 20.0), order("b", "2026-01-30T12:00", 20.0)])
    run_on(shop, "01-31", "01-21", "01-30")
    assert values(shop) == {"a": 10.0, "b": 20.0}
    shop.configure(window_days=10)
    run_on(shop, "01-31", "01-21", "01-30")
    assert values(shop) == {"a": 10.0, "b": 20.0}


def test_r31_a_start_date_moved_back_adds_days_and_forward_hides_none(shop: Shop) -> None:
    shop.configure(start_date=day("01-25"))
    shop.set_orders([order("old", "2026-01-10T12:00"), order("a", "2026-01-26T12:00")])
    run_on(shop, "01-31", "01-25", "01-30")
    shop.configure(start_date=day("01-10"))
    run_on(shop, "01-31", "01-10", "01-30")
    assert set(values(shop)) == {"old", "a"}
    shop.configure(start_date=day("01-28"))
    run_on(shop, "01-31", "01-28", "01-30")
    assert {id: row["status"] for id, row in shop.published().items()} == {"old": "ACTIVE", "a": "ACTIVE"}


def test_r31_another_time_zone_after_the_first_publication_is_refused(shop: Shop) -> None:
    run_on(shop, "01-31", "01-30")
    shop.configure(project=replace_zone(shop, "Europe/Berlin"))
    for station in (shop.convert, shop.adjust):
        with pytest.raises(ConfigurationError, match=r"R31.*UTC.*Europe/Berlin"):
            station(day("01-30"))
    shop.configure(project=replace_zone(shop, "UTC"))
    shop.update(day("01-30"))


def replace_zone(shop: Shop, zone: str) -> Project:
    return replace(shop.conversion).project.model_copy(update={"timezone": zone})


def test_r33_a_late_run_of_an_older_local_date_thaws_nothing(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-20T12:00")])
    run_on(shop, "01-31", "01-20", "01-30")
    shop.set_orders([order("a", "2026-01-20T12:00", 20.0)])
    run_on(shop, "01-30", "01-20", "01-29")
    assert values(shop) == {"a": 10.0}


def test_r21_only_days_that_were_computed_are_published(shop: Shop) -> None:
    shop.convert(day("01-29"))
    with pytest.raises(NotComputedError, match="first 2026-01-28, last 2026-01-30"):
        shop.adjust(day("01-28"), day("01-30"))
    assert shop.ledger() == []
