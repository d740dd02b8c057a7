"""R2, R3, R5: which rows of a result count, and which of two rows of one id."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from conversions_assets.contract.materialise import Materialised
from conversions_assets.contract.suite import Outcome
from conversions_assets_tests.shop import Shop, day, order

TEN = "2026-01-10T10:00"
EVERYTHING = "SELECT id, client_id, created, value FROM shop.orders"
BOUND = """
SELECT id, client_id, created,
  [STRUCT('start' AS key, CAST(@start_date AS STRING) AS value), STRUCT('end', CAST(@end_date AS STRING))] AS params
FROM shop.orders
WHERE created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""


def _outcome(result: Materialised, name: str) -> Outcome:
    return next(outcome for outcome in result.outcomes if outcome.rule.name == name)


def _winner(shop: Shop, *rows: dict[str, Any]) -> dict[str, Any]:
    """The one row that is stored, whichever way round the rows lie."""
    found = []
    for given in (rows, rows[::-1]):
        shop.set_orders(given)
        # With so few rows one conflicting id is more than 1 %.
        thresholds = shop.conversion.project.thresholds.model_copy(update={"conflicting_ids_share": 1.0})
        shop.configure(project=shop.conversion.project.model_copy(update={"thresholds": thresholds}))
        shop.convert(day("01-10"))
        [stored] = shop.stored()
        found.append({name: value for name, value in stored.items() if name != "run_id"})
    assert found[0] == found[1], "the order of the rows decides"
    return found[0]


def _ids(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def _params(**pairs: str) -> list[dict[str, str]]:
    # DuckDB takes a dictionary of the keys `key`, `value` for a MAP; names of a STRUCT know no case.
    return [{"KEY": key, "value": value} for key, value in pairs.items()]


def _add_orders(shop: Shop, count: int, created: str = TEN, prefix: str = "o") -> None:
    shop.query(
        f"INSERT INTO shop.orders BY NAME SELECT '{prefix}' || n::VARCHAR AS id, '1.2' AS client_id, "
        f"TIMESTAMPTZ '{created}:00+00' AS created, 10.0 AS value, 'confirmed' AS status FROM range({count}) AS t(n)"
    )


# --- R2, R3: binding and cutting ----------------------------------------------------------------------------------


def test_r02_the_parameters_are_one_day_wider_than_the_wanted_days(shop: Shop) -> None:
    shop.write_sql(BOUND)
    shop.set_orders([order("a", TEN)])
    shop.convert(day("01-10"), day("01-12"))
    [row] = shop.stored()
    assert {p["key"]: p["value"] for p in row["params"]} == {"start": "2026-01-09", "end": "2026-01-13"}


@pytest.mark.parametrize("sql", [None, EVERYTHING], ids=["the SQL cuts its days", "the SQL knows no days"])
def test_r02_rows_are_cut_by_created_exactly_half_open(shop: Shop, sql: str | None) -> None:
    if sql:
        shop.write_sql(sql)
    shop.set_orders(
        [
            order("just before", "2026-01-09T23:59:59.999999"),
            order("first instant", "2026-01-10T00:00:00"),
            order("last instant", "2026-01-11T23:59:59.999999"),
            order("just after", "2026-01-12T00:00:00"),
        ]
    )
    result = shop.convert(day("01-10"), day("01-11"))
    assert _ids(shop.stored()) == ["first instant", "last instant"]
    assert result.unwanted_rows == 2


@pytest.mark.parametrize("sql", [None, EVERYTHING], ids=["the SQL cuts its days", "the SQL knows no days"])
def test_r02_a_row_outside_the_wanted_days_touches_no_check_and_no_quarantine(shop: Shop, sql: str | None) -> None:
    if sql:
        shop.write_sql(sql)
    shop.set_orders(
        [order("a", TEN), order("", "2026-01-11T10:00", -5.0), order("x", "2026-01-09T10:00", float("nan"))]
    )
    result = shop.convert(day("01-10"))
    assert all(outcome.passed for outcome in result.outcomes)
    assert shop.quarantine() == []
    assert [row["returned_rows"] for row in result.profile] == [1]
    assert result.unwanted_rows == 2


def test_r02_only_the_wanted_days_are_replaced(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-09T10:00"), order("b", TEN), order("c", "2026-01-11T10:00")])
    shop.convert(day("01-09"), day("01-11"))
    shop.set_orders([])
    shop.convert(day("01-10"))
    assert _ids(shop.stored()) == ["a", "c"]


def test_r03_a_run_over_yesterday_stores_nothing_of_the_open_day(shop: Shop) -> None:
    yesterday, today = "2026-01-30T23:00", "2026-01-31T05:00"
    shop.set_orders([order("closed", yesterday), order("open", today)])
    shop.convert(day("01-30"))
    assert [(row["id"], row["day"]) for row in shop.stored()] == [("closed", day("01-30"))]


# --- R5: duplicate ids --------------------------------------------------------------------------------------------


def test_r05_identical_rows_collapse_and_are_counted_and_warn_of_nothing(shop: Shop) -> None:
    shop.set_orders([order("a", TEN), order("a", TEN), order("a", TEN), order("b", TEN)])
    result = shop.convert(day("01-10"))
    [profile] = result.profile
    assert _ids(shop.stored()) == ["a", "b"]
    assert (profile["returned_rows"], profile["ids"], profile["surplus_rows"]) == (4, 2, 2)
    assert all(outcome.passed for outcome in result.outcomes)


def test_r05_rows_are_compared_after_they_are_normalised(shop: Shop) -> None:
    params = _params(City="Bonn", a="1")
    shop.set_orders(
        [
            order("a", TEN, currency="EUR", client_id="1.2", params=params),
            order(" a ", TEN, currency=" eur", client_id="GA1.2.1.2", params=params[::-1]),
            order("a", TEN, currency=None, client_id=" 1.2", params=[*params, *_params(x="")]),
        ]
    )
    result = shop.convert(day("01-10"))
    assert len(shop.stored()) == 1
    assert result.profile[0]["conflicting_ids"] == 0


def test_r05_minus_zero_is_zero(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 0.0), order("a", TEN, -0.0)])
    assert shop.convert(day("01-10")).profile[0]["conflicting_ids"] == 0


def test_r05_the_earliest_created_wins(shop: Shop) -> None:
    winner = _winner(shop, order("a", "2026-01-10T09:00", 1.0), order("a", TEN, 2.0, is_qualified=True, user_id="u"))
    assert winner["value"] == 1.0


def test_r05_with_dedup_latest_the_latest_created_wins(shop: Shop) -> None:
    shop.configure(dedup="latest")
    winner = _winner(shop, order("a", "2026-01-10T09:00", 1.0, is_qualified=True), order("a", TEN, 2.0))
    assert winner["value"] == 2.0


def test_r05_a_microsecond_decides(shop: Shop) -> None:
    winner = _winner(shop, order("a", "2026-01-10T10:00:00.000001", 1.0), order("a", "2026-01-10T10:00:00.000002", 2.0))
    assert winner["value"] == 1.0


@pytest.mark.parametrize("dedup", ["earliest", "latest"])
def test_r05_a_tie_is_won_by_true_before_null_before_false(shop: Shop, dedup: str) -> None:
    shop.configure(dedup=dedup)
    for better, worse in [(True, None), (None, False), (True, False)]:
        winning = order("a", TEN, 2.0, is_qualified=better)
        winner = _winner(shop, winning, order("a", TEN, 1.0, is_qualified=worse, user_id="u"))
        assert (winner["is_qualified"], winner["value"]) == (better, 2.0)


def test_r05_the_next_tie_is_won_by_more_filled_columns(shop: Shop) -> None:
    full = order("a", TEN, 2.0, client_id="9.9", user_id="u", params=_params(city="Bonn"))
    winner = _winner(shop, full, order("a", TEN, 1.0, client_id="1.1", user_id="t"))
    assert winner["value"] == 2.0


def test_r05_the_default_currency_counts_as_filled(shop: Shop) -> None:
    # Both rows have as many filled columns; so the JSON decides, in which client_id comes first.
    winner = _winner(shop, order("a", TEN, client_id="1.1"), order("a", TEN, client_id="9.9", currency="EUR"))
    assert winner["client_id"] == "1.1"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"client_id": "1.1", "value": 9.0}, {"client_id": "1.2", "value": 1.0}),
        ({"currency": "CHF", "user_id": "z"}, {"currency": "EUR", "user_id": "a"}),
        ({"client_id": "1.2", "user_id": None}, {"client_id": None, "user_id": "u"}),
        ({"value": 10.0}, {"value": 9.0}),
    ],
    ids=["keys sorted: client_id before value", "currency before user_id", "text before null", "text, not numbers"],
)
def test_r05_the_last_tie_is_won_by_the_smallest_canonical_json(
    shop: Shop, first: dict[str, Any], second: dict[str, Any]
) -> None:
    winner = _winner(shop, order("a", TEN, **first), order("a", TEN, **second))
    assert {name: winner[name] for name in first} == first


@pytest.mark.both_engines
def test_r04_r05_an_empty_array_is_no_params(shop: Shop) -> None:
    """BigQuery keeps an empty array where DuckDB keeps NULL: the same row wins, and as many rows count as filled."""
    thresholds = shop.conversion.project.thresholds.model_copy(update={"conflicting_ids_share": 1.0})
    shop.configure(project=shop.conversion.project.model_copy(update={"thresholds": thresholds}))
    city = [{"key": "city", "value": "Bonn"}]
    shop.set_orders(
        [
            # as many filled columns: in the JSON an array lies before null
            order("a", TEN, 1.0, params=city),
            order("a", TEN, 2.0, params=[], user_id="u"),
            # a filled column more wins
            order("b", TEN, 1.0, params=[]),
            order("b", TEN, 2.0, params=[], user_id="u"),
            order("c", TEN, 1.0, params=city, client_id=None),
            order("c", TEN, 2.0, params=[], user_id="u"),
        ]
    )
    result = shop.convert(day("01-10"))
    assert {row["id"]: row["value"] for row in shop.stored()} == {"a": 1.0, "b": 2.0, "c": 2.0}
    assert (result.profile[0]["ids"], result.profile[0]["filled_params"]) == (3, 1)


def test_r05_a_quarantined_row_wins_nothing(shop: Shop) -> None:
    refused = [order(id, "2026-01-10T08:00", float("inf")) for id in "ab"]
    shop.set_orders([*refused, order("a", TEN, 2.0), order("b", TEN, 3.0), order("b", "2026-01-10T11:00", 4.0)])
    _add_orders(shop, 150)
    result = shop.convert(day("01-10"))
    assert result.failing_days == frozenset()
    assert {row["id"]: row["value"] for row in shop.stored() if row["id"] in "ab"} == {"a": 2.0, "b": 3.0}
    assert result.profile[0]["conflicting_ids"] == 1


def test_r05_the_rule_works_within_a_day_only(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("a", "2026-01-11T10:00", 2.0)])
    result = shop.convert(day("01-10"), day("01-11"))
    assert [(row["day"], row["value"]) for row in shop.stored()] == [(day("01-10"), 1.0), (day("01-11"), 2.0)]
    assert all(outcome.passed for outcome in result.outcomes)


def test_r05_ids_differ_by_case(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("A", TEN, 2.0)])
    shop.convert(day("01-10"))
    assert _ids(shop.stored()) == ["A", "a"]


def test_r05_up_to_one_percent_of_conflicting_ids_is_a_warning(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("a", TEN, 2.0)])
    _add_orders(shop, 99)
    result = shop.convert(day("01-10"))
    assert _outcome(result, "conflicting_ids").passed
    assert _outcome(result, "duplicate_ids").failing_days == (day("01-10"),)
    assert not _outcome(result, "duplicate_ids").rule.blocking
    assert len(shop.stored()) == 100


def test_r05_more_than_one_percent_of_conflicting_ids_is_an_error(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("a", TEN, 2.0)])
    _add_orders(shop, 98)
    result = shop.convert(day("01-10"))
    outcome = _outcome(result, "conflicting_ids")
    assert outcome.rule.blocking
    assert outcome.failing_days == (day("01-10"),)
    assert shop.stored() == []
    assert result.failing_ids["conflicting_ids"] == ["a"]


def test_r05_the_share_is_of_the_whole_result_and_days_without_a_conflict_commit(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("a", TEN, 2.0), order("b", "2026-01-11T10:00")])
    result = shop.convert(day("01-10"), day("01-11"))
    assert result.failing_days == {day("01-10")}
    assert _ids(shop.stored()) == ["b"]

    _add_orders(shop, 98, "2026-01-11T10:00")
    result = shop.convert(day("01-10"), day("01-11"))
    assert result.failing_days == frozenset(), "one of 100 ids is not more than 1 %"


def test_r05_an_id_on_two_days_is_one_of_the_distinct_ids(shop: Shop) -> None:
    conflicts = [order(id, TEN, value) for id in ("a", "b") for value in (1.0, 2.0)]
    shop.set_orders(conflicts)
    for moment in (TEN, "2026-01-11T10:00"):
        _add_orders(shop, 148, moment)
    result = shop.convert(day("01-10"), day("01-11"))
    # 2 of 150 distinct ids are 1.3 %; of 298 ids and days they would be 0.7 %.
    assert _outcome(result, "conflicting_ids").failing_days == (day("01-10"),)


def test_r05_the_share_is_a_setting(shop: Shop) -> None:
    thresholds = shop.conversion.project.thresholds.model_copy(update={"conflicting_ids_share": 0.5})
    shop.configure(project=shop.conversion.project.model_copy(update={"thresholds": thresholds}))
    shop.set_orders([order("a", TEN, 1.0), order("a", TEN, 2.0), order("b", TEN)])
    assert _outcome(shop.convert(date(2026, 1, 10)), "conflicting_ids").passed
