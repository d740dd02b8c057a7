"""R21: a person may thaw frozen days that a run covers, with a reason; nothing else thaws."""

from datetime import UTC, datetime

from conversions_assets_tests.adjustment.model import replayed
from conversions_assets_tests.shop import Shop, day, order

FROZEN = "2026-01-05T12:00"
REASON = "the shop had booked gross instead of net"


def freeze(shop: Shop) -> None:
    """Four orders of 01-05 and 01-07 published, then frozen: r is 01-31, W = 10."""
    shop.set_orders([order(id, FROZEN) for id in ("value", "gone", "moved")] + [order("other", "2026-01-07T12:00")])
    shop.now = datetime(2026, 1, 11, 6, tzinfo=UTC)
    shop.update(day("01-01"), day("01-10"))
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    shop.set_orders(
        [
            order("value", FROZEN, 8.0),
            order("moved", "2026-01-06T12:00"),
            order("new", FROZEN, 3.0),
            order("other", "2026-01-07T12:00", 7.0),
            order("open", "2026-01-25T12:00", 1.0),
        ]
    )


def test_r21_thawed_days_follow_the_crm_and_every_version_says_why(shop: Shop) -> None:
    freeze(shop)
    shop.update(day("01-05"), day("01-06"), thaw=REASON)
    written = {e["id"]: (e["version"], e["reason"], e["note"]) for e in shop.ledger() if e["note"]}
    assert written == {
        "value": (2, "THAWED", REASON),
        "gone": (2, "THAWED", REASON),
        "moved": (2, "THAWED", REASON),
        "new": (1, "THAWED", REASON),
    }
    table = shop.published()
    assert {id: (row["value"], row["status"], row["day"]) for id, row in table.items()} == {
        "value": (8.0, "ACTIVE", day("01-05")),
        "gone": (0.0, "RETRACTED", day("01-05")),
        "moved": (10.0, "ACTIVE", day("01-06")),
        "new": (3.0, "ACTIVE", day("01-05")),
        "other": (10.0, "ACTIVE", day("01-07")),  # its day was not covered
    }
    assert (table["value"]["adjustment_type"], table["value"]["adjustment_reason"]) == ("RESTATEMENT", "THAWED")
    assert shop.drift() == []
    assert replayed(shop.ledger()) == table


def test_r21_without_a_reason_nothing_thaws_and_after_the_run_the_days_are_frozen_again(shop: Shop) -> None:
    freeze(shop)
    shop.update(day("01-05"))
    assert shop.published()["value"]["value"] == 10.0
    shop.update(day("01-05"), thaw=REASON)
    shop.set_orders([order("value", FROZEN, 1.0)])
    shop.update(day("01-05"))
    assert shop.published()["value"]["value"] == 8.0


def test_r21_a_thaw_changes_no_reason_inside_the_window(shop: Shop) -> None:
    freeze(shop)
    shop.update(day("01-05"), day("01-30"), thaw=REASON)
    assert [(e["reason"], e["note"]) for e in shop.ledger("open")] == [("PUBLISHED", None)]
    assert [(e["reason"], e["note"]) for e in shop.ledger("other")] == [("PUBLISHED", None), ("THAWED", REASON)]


def test_r21_a_thawed_row_that_moved_to_a_frozen_day_beside_is_not_taken_for_vanished(shop: Shop) -> None:
    freeze(shop)
    shop.update(day("01-05"), thaw=REASON)  # `moved` is on 01-06 now, which the run does not cover
    assert shop.published()["moved"]["status"] == "ACTIVE"


def test_r21_a_row_whose_frozen_home_is_not_covered_stays_there(shop: Shop) -> None:
    freeze(shop)
    shop.set_orders([order("other", FROZEN, 7.0)])
    shop.update(day("01-05"), thaw=REASON)  # at home on 01-07
    row = shop.published()["other"]
    assert (row["day"], row["value"]) == (day("01-07"), 10.0)


def test_r21_a_thaw_twice_adds_nothing(shop: Shop) -> None:
    freeze(shop)
    shop.update(day("01-05"), day("01-06"), thaw=REASON)
    before = shop.published(), shop.ledger()
    shop.update(day("01-05"), day("01-06"), thaw=REASON)
    assert (shop.published(), shop.ledger()) == before
