"""R16: each run compares the ledger with what is published, on the days that it has touched."""

import pytest

from conversions_assets.adjustment import report
from conversions_assets_tests.shop import Shop, day, order

DAYS = day("01-28"), day("01-30")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE adjusted.\"order\" SET original_value = 11 WHERE id = 'b'", "different"),
        ("UPDATE adjusted.\"order\" SET adjustment_count = 5 WHERE id = 'b'", "different"),
        ("DELETE FROM adjusted.\"order\" WHERE id = 'gone'", "not_published"),
        ("DELETE FROM adjusted.order_changes WHERE id = 'b'", "not_in_ledger"),
        ('INSERT INTO adjusted."order" FROM adjusted."order" WHERE id = \'gone\'', "repeated"),
        ("UPDATE adjusted.\"order\" SET original_value = 11 WHERE id = 'far'", None),
    ],
)
def test_r16_what_others_wrote_into_a_touched_day_is_found(shop: Shop, damage: str, found: str | None) -> None:
    rows = [order(id, "2026-01-30T12:00") for id in ("a", "b", "gone")] + [order("far", "2026-01-28T12:00")]
    shop.set_orders(rows)
    assert shop.update(*DAYS).replay.holds
    shop.set_orders(rows[:2] + rows[3:])
    assert shop.update(*DAYS).replay.holds
    shop.query(damage)
    shop.set_orders([rows[0] | {"value": 20.0}, rows[1], rows[3]])
    replay = shop.update(*DAYS).replay
    assert replay.holds is (found is None)  # `far` lies on a day that the run does not touch
    if found:
        assert getattr(replay, found) == 1


def test_r16_a_run_that_touches_nothing_has_nothing_to_compare(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-30T12:00")])
    assert shop.update(*DAYS).replay.ids == 1
    assert shop.update(*DAYS).replay.ids == 0


def test_r16_of_very_many_rows_the_newest_days_are_compared(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 2)
    shop.set_orders([order(f"{d}-{n}", f"2026-01-{d}T12:00") for d in (26, 27, 28, 29, 30) for n in range(2)])
    shop.convert(day("01-26"), day("01-30"))
    replay = shop.adjust(day("01-26"), day("01-30")).replay
    assert (replay.touched_days, replay.compared_days, replay.ids) == (5, 1, 2)
    assert replay.holds
