"""R21: the window that would have caught 99 % of what changed after freezing."""

from datetime import UTC, datetime

import pytest

from conversions_assets.adjustment.suggestion import suggested_window, suggestion
from conversions_assets_tests.shop import Shop, day, order


def row(age: int, changed: float, currency: str = "EUR") -> dict[str, object]:
    return {"currency": currency, "age": age, "changed": changed}


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([], None),
        ([row(40, 5.0)], 40),
        ([row(80, 1.0), row(40, 99.0)], 40),
        ([row(80, 1.01), row(40, 98.99)], 80),
        ([row(40, 1000.0), row(60, 1.0, "USD")], 60),
    ],
)
def test_r21_the_smallest_window_that_catches_99_percent_in_every_currency(
    ages: list[dict[str, object]], expected: int | None
) -> None:
    assert suggested_window(ages) == expected


def test_r21_the_suggested_window_is_a_sentence() -> None:
    assert suggestion([]) == "no value has changed after freezing"
    assert suggestion([row(47, 1.0)]) == (
        "a window of 47 days would have caught 99% of the value that changed after freezing"
    )
    assert suggestion([row(400, 1.0)]).endswith("; the largest window has 365 days")


def test_r21_the_suggested_window_would_have_caught_the_change(shop: Shop) -> None:
    rows = [order("a", "2026-01-05T12:00"), order("usd", "2026-01-09T12:00", currency="USD")]
    shop.set_orders(rows)
    shop.now = datetime(2026, 1, 11, 6, tzinfo=UTC)
    shop.update(day("01-01"), day("01-10"))
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    shop.set_orders([rows[0] | {"value": 12.0}])
    done = shop.update(day("01-01"), day("01-10"))
    assert [tuple(r.values()) for r in done.drift_report.days] == [
        (day("01-05"), "EUR", 1, 1, 2.0),
        (day("01-09"), "USD", 1, 1, -10.0),
    ]
    window = suggested_window(done.drift_report.ages)
    assert window == 26  # 01-31 less 26 days is 01-05
