"""R24: value_project by the rate of the day; without a rate NULL, never 1:1."""

import math
from datetime import date
from typing import Any

import pytest

from conversions_assets.adjustment.rates import RATES, fill_rates
from conversions_assets.project import Project
from conversions_assets.warehouse.base import WarehouseError
from conversions_assets_tests.adjustment.model import replayed
from conversions_assets_tests.shop import UNGUARDED, Shop, day, order

NOON = "2026-01-30T12:00"
DAY = day("01-30")


def set_rates(shop: Shop, *rows: tuple[str, str, float]) -> None:
    shop.query("CREATE SCHEMA IF NOT EXISTS fx")
    shop.query("CREATE OR REPLACE TABLE fx.rates (date DATE, currency VARCHAR, rate DOUBLE)")
    for day_of_rate, currency, rate in rows:
        shop.query(f"INSERT INTO fx.rates VALUES ('2026-{day_of_rate}', '{currency}', {rate})")


def worth(shop: Shop, id: str) -> tuple[Any, Any, Any]:
    row = shop.published()[id]
    return row["value_project"], row["fx_rate"], row["fx_date"]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([("01-30", "USD", 1.25), ("01-29", "USD", 2.0), ("01-31", "USD", 4.0)], (80.0, 0.8, day("01-30"))),
        ([("01-28", "USD", 1.25), ("01-23", "USD", 2.0)], (80.0, 0.8, day("01-28"))),
        ([("01-23", "USD", 1.25)], (80.0, 0.8, day("01-23"))),
        ([("01-22", "USD", 1.25)], (None, None, None)),
        ([("01-31", "USD", 1.25)], (None, None, None)),
        ([("01-30", "GBP", 1.25)], (None, None, None)),
        ([("01-30", "USD", 0.0)], (None, None, None)),
        ([], (None, None, None)),
    ],
)
def test_r24_the_rate_of_the_day_or_the_last_one_of_seven_days(
    shop: Shop, rates: list[tuple[str, str, float]], expected: tuple[Any, Any, Any]
) -> None:
    set_rates(shop, *rates)
    shop.set_orders(
        [order("usd", NOON, 100.0, currency="USD"), order("eur", NOON, 5.0), order("none", NOON, None, currency="USD")]
    )
    done = shop.update(DAY)
    assert worth(shop, "usd") == expected
    assert worth(shop, "eur") == (5.0, 1.0, DAY)
    assert worth(shop, "none") == (None, *expected[1:])
    assert {row["currency"]: row["without_rate"] for row in done.totals} == {"EUR": 0, "USD": int(expected[0] is None)}
    row = shop.published()["usd"]
    assert (row["value"], row["currency"]) == (100.0, "USD")  # what was reported is kept


def test_r24_without_a_table_of_rates_nothing_is_taken_one_to_one(shop: Shop) -> None:
    shop.set_orders([order("usd", NOON, 100.0, currency="USD")])
    assert [row["without_rate"] for row in shop.update(DAY).totals] == [1]
    assert worth(shop, "usd") == (None, None, None)


def test_r24_another_project_currency_crosses_over_the_euro(shop: Shop) -> None:
    shop.configure(project=Project(timezone="UTC", currency="USD", thresholds=UNGUARDED))
    set_rates(shop, ("01-30", "USD", 1.5), ("01-29", "USD", 9.0), ("01-29", "GBP", 9.0), ("01-28", "GBP", 0.75))
    shop.set_orders([order("eur", NOON, 10.0, currency="EUR"), order("gbp", NOON, 10.0, currency="GBP")])
    shop.update(DAY)
    assert worth(shop, "eur") == (15.0, 1.5, DAY)
    assert worth(shop, "gbp") == (10.0, 1.0, day("01-29"))  # the newest day on which both have a rate


def test_r24_a_changed_rate_makes_no_version_and_the_next_version_takes_it(shop: Shop) -> None:
    set_rates(shop, ("01-30", "USD", 1.25))
    shop.set_orders([order("usd", NOON, 100.0, currency="USD")])
    shop.update(DAY)
    before = shop.published(), shop.ledger()
    set_rates(shop, ("01-30", "USD", 2.0))
    shop.update(DAY)
    assert (shop.published(), shop.ledger()) == before
    shop.set_orders([order("usd", NOON, 50.0, currency="USD")])
    shop.update(DAY)
    assert worth(shop, "usd") == (25.0, 0.5, DAY)
    shop.set_orders([])
    shop.update(DAY)
    assert worth(shop, "usd") == (0.0, 0.5, DAY)
    assert replayed(shop.ledger()) == shop.published()


def test_r24_a_table_of_rates_of_another_form_is_refused(shop: Shop) -> None:
    shop.query("CREATE SCHEMA fx")
    shop.query("CREATE TABLE fx.rates (date VARCHAR, currency VARCHAR)")
    with pytest.raises(WarehouseError, match=r"R24: the table fx\.rates needs .*: date, rate"):
        shop.update(DAY)


def test_r24_the_history_of_the_package_fills_the_table_and_changes_no_rate(shop: Shop) -> None:
    set_rates(shop, ("01-30", "USD", 7.0))
    with shop.open() as warehouse:
        history = fill_rates(warehouse)
        fill_rates(warehouse)
    [found] = shop.query(
        f"SELECT count(*) AS n, count(DISTINCT (date, currency)) AS pairs, max(date) AS newest FROM {RATES}"
    )
    assert (found["n"], found["newest"]) == (found["pairs"], date.fromisoformat(history.newest))
    assert history.rows > 200_000
    rates = {
        str(r["date"]): r["rate"] for r in shop.query("FROM fx.rates WHERE currency = 'USD' AND date >= '1999-01-04'")
    }
    assert rates["2026-01-30"] == 7.0
    assert math.isclose(rates["1999-01-04"], 1.1789)
