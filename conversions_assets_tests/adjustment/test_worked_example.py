"""The worked example of README: three orders of 2026-03-02, W = 30."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from conversions_assets_tests.adjustment.model import as_text
from conversions_assets_tests.shop import Shop, day, order

ORDERED = day("03-02")


def test_readme_three_orders_under_a_window_of_30_days(shop: Shop) -> None:
    shop.configure(window_days=30)
    crm = {
        "early": order("early", "2026-03-02T12:00", 100.0),
        "late": order("late", "2026-03-02T12:00", 200.0),
        "moving": order("moving", "2026-03-02T12:00", 300.0),
    }

    def run(days_later: int, **changes: dict[str, Any]) -> None:
        """The run in the morning so many days after the order, over all days from it to the day before."""
        for id, change in changes.items():
            crm[id] |= change
        today = ORDERED + timedelta(days=days_later)
        shop.now = datetime.combine(today, time(6), UTC)
        shop.set_orders(crm.values())
        shop.update(ORDERED, today - timedelta(days=1))

    run(1)
    run(12, early={"status": "cancelled"})
    row = shop.published()["early"]
    assert (row["status"], row["value"], row["previous_value"]) == ("RETRACTED", 0.0, 100.0)
    assert [(e["reason"], e["value_delta"]) for e in shop.ledger("early")] == [
        ("PUBLISHED", 100.0),
        ("VANISHED", -100.0),
    ]

    # On day 45 the window is 03-17 … 04-15: March 2nd is frozen.
    run(45, late={"status": "cancelled"}, moving={"created": datetime(2026, 3, 27, 12, tzinfo=UTC)})
    assert {id: (row["status"], row["value"], row["day"]) for id, row in shop.published().items()} == {
        "early": ("RETRACTED", 0.0, ORDERED),
        "late": ("ACTIVE", 200.0, ORDERED),
        "moving": ("ACTIVE", 300.0, ORDERED),
    }
    assert [
        (d["id"], d["kind"], as_text(d["frozen_value"]), d["crm_value"], d["value_delta"]) for d in shop.drift()
    ] == [
        ("late", "VANISHED", "200.0", None, -200.0),
        ("moving", "MOVED", "2026-03-02", "2026-03-27", 0.0),
    ]
    assert {id: len(shop.ledger(id)) for id in crm} == {"early": 2, "late": 1, "moving": 1}
