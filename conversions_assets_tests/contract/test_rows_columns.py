"""R4, R11: columns without a value, ids behind warnings, figures of days; the suite comes from the table of columns."""

from dataclasses import replace
from typing import Any

import pytest

from conversions_assets.contract import columns, suite
from conversions_assets.contract.families import RULES
from conversions_assets.contract.materialise import Materialised
from conversions_assets.contract.suite import Outcome
from conversions_assets.project import Thresholds
from conversions_assets_tests.shop import Shop, day, order

TEN, ELEVENTH = "2026-01-10T10:00", "2026-01-11T10:00"
FULL: dict[str, Any] = {
    "value": 1.0,
    "currency": "EUR",
    "is_qualified": False,
    "params": [{"KEY": "city", "value": "Bonn"}],
    "user_id": "u",
}


def _outcome(result: Materialised, name: str = "empty_columns") -> Outcome:
    return next(outcome for outcome in result.outcomes if outcome.rule.name == name)


def _many(count: int, created: str = TEN, **values: Any) -> list[dict[str, Any]]:
    """`count` orders with every optional column, but for what is given."""
    return [order(f"{created[8:10]}-{n}", created, **(FULL | values)) for n in range(count)]


# --- R4: columns without a value ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", columns.OPTIONAL)
def test_r04_a_column_without_a_value_on_a_day_with_50_rows_is_a_warning(shop: Shop, name: str) -> None:
    shop.set_orders(_many(50, **{name: None}))
    outcome = _outcome(shop.convert(day("01-10"), day("01-11")))
    assert (outcome.rule.rules, outcome.rule.blocking) == ("R4", False)
    assert (outcome.names, outcome.failing_days) == ((name,), (day("01-10"),))
    assert outcome.sentence == f"{name}: no value on at least one day with 50 rows or more: omit the column"
    assert len(shop.stored()) == 50


def test_r04_a_day_with_fewer_rows_tells_nothing(shop: Shop) -> None:
    shop.set_orders(_many(49, value=None, user_id=None))
    assert _outcome(shop.convert(day("01-10"))).passed


def test_r04_one_value_is_enough(shop: Shop) -> None:
    shop.set_orders([*_many(49, user_id=None), order("one", TEN, **FULL)])
    assert _outcome(shop.convert(day("01-10"))).passed


def test_r04_each_day_is_judged_by_itself(shop: Shop) -> None:
    shop.set_orders([*_many(50, user_id=None), *_many(50, ELEVENTH)])
    assert _outcome(shop.convert(day("01-10"), day("01-11"))).failing_days == (day("01-10"),)


def test_r04_an_empty_currency_and_empty_params_are_no_values(shop: Shop) -> None:
    shop.set_orders(_many(50, currency=" ", params=[{"KEY": "city", "value": ""}]))
    assert _outcome(shop.convert(day("01-10"))).names == ("currency", "params")
    assert {row["currency"] for row in shop.stored()} == {"EUR"}


def test_r04_a_column_that_the_sql_does_not_return_is_no_warning(shop: Shop) -> None:
    shop.write_sql("SELECT id, client_id, created FROM shop.orders")
    shop.set_orders(_many(60, **dict.fromkeys(columns.OPTIONAL)))
    assert _outcome(shop.convert(day("01-10"))).passed


def test_r04_the_number_of_rows_is_a_setting(shop: Shop) -> None:
    thresholds = shop.conversion.project.thresholds.model_copy(update={"empty_column_rows": 3})
    shop.configure(project=shop.conversion.project.model_copy(update={"thresholds": thresholds}))
    shop.set_orders(_many(3, value=None))
    assert _outcome(shop.convert(day("01-10"))).names == ("value",)


# --- R11: the suite, and what a check tells -----------------------------------------------------------------------


def test_r11_every_column_of_the_contract_has_an_expectation_or_may_be_null() -> None:
    checked = {column for rule in RULES for column in rule.columns}
    for column in columns.COLUMNS:
        if column.null != columns.Presence.ALLOWED:
            assert f"nulls_{column.name}" in checked
        elif not column.required:
            assert f"empty_{column.name}" in checked


def test_r11_a_null_where_none_can_be_fails_its_day(shop: Shop) -> None:
    """rows.sql refuses such rows before; the suite does not rely on it."""
    shop.set_orders([order("a", TEN)])
    [row] = shop.convert(day("01-10")).profile
    for name in ("id", "created"):
        found = suite.validate([{**row, f"nulls_{name}": 1}], Thresholds())
        assert [o.rule.name for o in found.outcomes if not o.passed and o.rule.blocking] == ["columns"]


def test_r11_every_limit_is_held_by_great_expectations(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, **FULL)])
    [row] = shop.convert(day("01-10")).profile
    for rule in RULES:
        for column in rule.columns:
            limit = rule.limit(Thresholds())
            for value, passes in ((limit, True), (limit + 0.001, False)):
                [outcome] = [
                    o for o in suite.validate([{**row, column: value}], Thresholds()).outcomes if o.rule is rule
                ]
                assert outcome.passed == passes, column


def test_r11_a_failed_rule_names_up_to_20_ids_of_its_days(shop: Shop) -> None:
    shop.set_orders(
        [order(f"n{n:02}", TEN, -1.0) for n in range(30)]
        + [order("twice", TEN, params=[{"KEY": "a", "value": "1"}, {"KEY": "A", "value": "2"}])]
        + [order("x", ELEVENTH)]
    )
    result = shop.convert(day("01-10"), day("01-11"))
    assert result.failing_ids == {"negative_values": [f"n{n:02}" for n in range(20)], "params": ["twice"]}


def test_r11_ids_behind_each_rule_are_found(shop: Shop) -> None:
    """Each rule that judges rows has its branch in failing_ids.sql."""
    shop.set_orders(
        [
            *(order(f"fine{n}", "2026-01-09T10:00") for n in range(9)),
            order("bad", TEN, float("nan")),
            order(None, TEN, float("nan")),
            order("two", TEN, 1.0),
            order("two", TEN, -2.0, client_id="1.23E9"),
            order("damaged", TEN, client_id="1.23E9"),
            order(
                "mail", TEN, -2.0, client_id=None, params=[{"KEY": "a", "value": "a@b.de"}, {"KEY": "A", "value": "2"}]
            ),
        ]
    )
    shop.convert(day("01-09"))
    assert shop.convert(day("01-10")).failing_ids == {
        "quarantine": ["(no id)", "bad"],
        "conflicting_ids": ["two"],
        "duplicate_ids": ["two"],
        "client_ids": ["damaged"],
        "personal_data": ["mail"],
        "attribution": ["mail"],
        "params": ["mail"],
        "negative_values": ["mail"],
    }


def test_r10_reasons_are_counted_with_those_that_lie_after_the_run(shop: Shop) -> None:
    shop.set_orders(
        [order("a", TEN, float("nan")), order("b", TEN, float("inf")), order("", TEN), order("c", "2026-02-02T10:00")]
    )
    result = shop.convert(day("01-10"))
    assert [(row["day"], row["rule"], row["reason"], row["row_count"]) for row in result.refusals] == [
        (day("01-10"), "R6", "the value is not a finite number", 2),
        (day("01-10"), "R7", "the id is empty", 1),
    ]
    shop.write_sql("SELECT id, client_id, created, value FROM shop.orders")
    assert shop.convert(day("01-10")).refusals[-1]["reason"] == "created lies in the future of the run"


def test_r09_geo_coverage_is_counted_per_day(shop: Shop) -> None:
    city, country = {"KEY": "City", "value": "Bonn"}, {"KEY": "country", "value": "DE"}
    shop.set_orders(
        [
            order("a", TEN, params=[city, country]),
            order("b", TEN, params=[city, {"KEY": "country", "value": ""}]),
            order("c", TEN),
            order("d", TEN, float("nan"), params=[city]),
            order("e", ELEVENTH, params=[country, {"KEY": "plan", "value": "pro"}]),
        ]
    )
    profile = shop.convert(day("01-10"), day("01-11")).profile
    assert [[row[f"geo_{key}"] for key in columns.GEO_KEYS] for row in profile] == [[2, 1, 0], [0, 1, 0]]


def test_r08_the_days_of_the_mean_are_a_setting(shop: Shop) -> None:
    unattributed = [order(f"u{n}", "2026-01-08T10:00", client_id=None) for n in range(2)]
    shop.set_orders([*unattributed, order("a", "2026-01-09T10:00"), order("b", TEN, client_id=None)])
    shop.convert(day("01-08"), day("01-09"))
    for days, rise in ((28, 0.5), (1, 1.0)):
        thresholds = Thresholds(not_attributed_days=days)
        project = shop.conversion.project.model_copy(update={"thresholds": thresholds})
        shop.conversion = replace(shop.conversion, project=project)
        assert shop.convert(day("01-10")).profile[0]["not_attributed_rise"] == rise
