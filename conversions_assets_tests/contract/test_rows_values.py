"""R6-R9: what a value, an id, a client id and params may be, and what becomes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversions_assets.contract.source import QueryError
from conversions_assets_tests.shop import Shop, day, order

TEN = "2026-01-10T10:00"
EVERYTHING = "SELECT id, client_id, created, value FROM shop.orders"


def _stored(shop: Shop, *orders: dict[str, Any]) -> list[dict[str, Any]]:
    """What 2026-01-10 holds after a run, beside 1000 plain orders that keep every share small."""
    shop.set_orders(orders)
    shop.query(
        "INSERT INTO shop.orders BY NAME SELECT 'plain' || n::VARCHAR AS id, '1.2' AS client_id, 10.0 AS value, "
        f"TIMESTAMPTZ '{TEN}:00+00' AS created, 'confirmed' AS status FROM range(1000) AS t(n)"
    )
    shop.convert(day("01-10"))
    return [row for row in shop.stored() if not row["id"].startswith("plain")]


def _refused(shop: Shop) -> list[tuple[str | None, str]]:
    return [(row["id"], row["rule"]) for row in shop.quarantine()]


# --- R6: values ---------------------------------------------------------------------------------------------------


def test_r06_nan_and_infinities_are_quarantined(shop: Shop) -> None:
    values = {"nan": float("nan"), "inf": float("inf"), "minus inf": float("-inf"), "large": 1e300}
    stored = _stored(shop, *(order(id, TEN, value) for id, value in values.items()))
    assert [row["id"] for row in stored] == ["large"]
    assert _refused(shop) == [("inf", "R6"), ("minus inf", "R6"), ("nan", "R6")]


def test_r06_a_negative_value_is_kept_with_a_warning(shop: Shop) -> None:
    shop.set_orders([order("refund", TEN, -5.0), order("zero", TEN, 0.0)])
    result = shop.convert(day("01-10"))
    [warning] = [outcome for outcome in result.outcomes if not outcome.passed]
    assert [row["value"] for row in shop.stored()] == [-5.0, 0.0]
    assert (warning.rule.name, warning.rule.blocking, warning.observed) == ("negative_values", False, {day("01-10"): 1})


def test_r06_a_row_without_value_counts(shop: Shop) -> None:
    [row] = _stored(shop, order("a", TEN, None))
    assert row["value"] is None


def test_r06_a_currency_is_trimmed_and_upper_cased_and_the_projects_where_empty(shop: Shop) -> None:
    kept = {" usd ": "USD", "Chf": "CHF", "EUR": "EUR", None: "EUR", "": "EUR", "  ": "EUR"}
    stored = _stored(shop, *(order(repr(given), TEN, currency=given) for given in kept))
    assert {row["id"]: row["currency"] for row in stored} == {repr(given): code for given, code in kept.items()}


def test_r06_a_currency_is_trimmed_of_every_white_space(shop: Shop) -> None:
    stored = _stored(shop, order("a", TEN, currency="JPY\n"), order("b", TEN, currency="\tGBP\r\n"))
    assert [row["currency"] for row in stored] == ["JPY", "GBP"]


def test_r06_a_currency_that_is_no_iso_4217_code_is_quarantined(shop: Shop) -> None:
    codes = ["ABC", "E UR", "EURO", "US", "978", "€"]
    assert _stored(shop, *(order(code, TEN, currency=code) for code in codes)) == []
    assert sorted(_refused(shop)) == sorted((code, "R6") for code in codes)


def test_r06_created_later_than_the_run_plus_15_minutes_is_quarantined_on_its_day(shop: Shop) -> None:
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    at_the_limit, too_late = shop.now + timedelta(minutes=15), shop.now + timedelta(minutes=15, microseconds=1)
    shop.set_orders([order("limit", at_the_limit), order("late", too_late)])
    shop.convert(day("01-30"))
    assert [(row["id"], row["rule"], row["day"]) for row in shop.quarantine()] == [("late", "R6", day("01-31"))]


@pytest.mark.parametrize("sql", [None, EVERYTHING], ids=["the SQL cuts its days", "the SQL knows no days"])
def test_r06_a_conversion_of_the_future_comes_in_by_itself_when_its_day_closes(shop: Shop, sql: str | None) -> None:
    if sql:
        shop.write_sql(sql)
    shop.set_orders([order("deal", "2026-01-31T22:00")])
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    shop.convert(day("01-30"))
    assert _refused(shop) == [("deal", "R6")]

    shop.now = datetime(2026, 2, 1, 6, tzinfo=UTC)
    shop.convert(day("01-31"))
    assert [row["id"] for row in shop.stored()] == ["deal"]
    assert shop.quarantine() == []


def test_r06_a_conversion_of_the_future_does_not_fail_the_day_that_finds_it(shop: Shop) -> None:
    shop.set_orders([order("a", "2026-01-30T10:00"), order("deal", "2026-01-31T22:00")])
    assert shop.convert(day("01-30")).failing_days == frozenset()


def test_r06_a_null_in_created_refuses_the_whole_result_and_writes_nothing(shop: Shop) -> None:
    shop.set_orders([order("a", TEN)])
    shop.convert(day("01-10"))
    before = shop.stored(), shop.quarantine(), shop.query("FROM conversions._order_days")

    shop.write_sql("SELECT id, client_id, created FROM shop.orders")
    shop.set_orders([order("a", TEN, 99.0), order("", TEN), order("b", None), order("c", None)])
    with pytest.raises(QueryError, match=r"`created` is NULL in 2 rows") as refused:
        shop.convert(day("01-10"), day("01-11"))
    assert "order.sql:1:23:" in str(refused.value)
    assert (shop.stored(), shop.quarantine(), shop.query("FROM conversions._order_days")) == before


@pytest.mark.parametrize(
    ("expression", "kind"),
    [("DATETIME(created)", "DATETIME"), ("CAST(created AS STRING)", "STRING"), ("DATE(created)", "DATE")],
)
def test_r06_a_naive_created_refuses_the_result_with_the_cast_to_write(shop: Shop, expression: str, kind: str) -> None:
    shop.set_orders([order("a", TEN)])
    shop.write_sql(f"SELECT id, client_id,\n  {expression} AS created\nFROM shop.orders")
    with pytest.raises(QueryError) as refused:
        shop.convert(day("01-10"))
    message = str(refused.value)
    assert f"the column `created` is {kind}, not TIMESTAMP" in message
    assert "order.sql:2:" in message
    zone = "" if kind == "STRING" else ", 'UTC'"
    assert f"fix: TIMESTAMP({expression}{zone}) AS created" in message
    assert shop.stored() == []


@pytest.mark.parametrize(
    "expression",
    ["DATETIME(created), 'UTC'", "CAST(created AS STRING)", "CAST('2026-01-10 11:00:00' AS DATETIME), 'UTC'"],
)
def test_r06_the_cast_that_the_hint_writes_is_accepted(shop: Shop, expression: str) -> None:
    shop.set_orders([order("a", TEN)])
    shop.write_sql(f"SELECT id, client_id, TIMESTAMP({expression}) AS created FROM shop.orders")
    shop.convert(day("01-10"))
    assert [row["id"] for row in shop.stored()] == ["a"]


# --- R7: id -------------------------------------------------------------------------------------------------------


def test_r07_an_id_is_trimmed_and_has_up_to_64_characters(shop: Shop) -> None:
    given = [" a\t", "\nb c ", "x" * 64, "ö" * 64, "D", "d"]
    stored = _stored(shop, *(order(id, TEN) for id in given))
    assert sorted(row["id"] for row in stored) == sorted(["a", "b c", "x" * 64, "ö" * 64, "D", "d"])


def test_r07_an_empty_or_too_long_id_is_quarantined(shop: Shop) -> None:
    refused = [None, "", "  ", "\t\n", "x" * 65]
    assert _stored(shop, *(order(id, TEN, float(n)) for n, id in enumerate(refused))) == []
    assert [row["rule"] for row in shop.quarantine()] == ["R7"] * 5


def test_r07_the_length_counts_after_trimming(shop: Shop) -> None:
    assert len(_stored(shop, order("x" * 64 + "   ", TEN))) == 1


# --- R8: client_id ------------------------------------------------------------------------------------------------


def test_r08_prefixes_are_removed_and_other_client_ids_kept_as_they_are(shop: Shop) -> None:
    kept = {
        "1234567890.1700000000": "1234567890.1700000000",
        "  12.34\n": "12.34",
        "GA1.2.12.34": "12.34",
        "GA1.12.12.34": "12.34",
        "GA1.2-3.12.34": "12.34",
        " GA1.1.12.34 ": "12.34",
        "FPID2.2.abc-DEF_1": "abc-DEF_1",
        "f81d4fae-7dec": "f81d4fae-7dec",
        "xGA1.2.12.34": "xGA1.2.12.34",
        "ga1.2.12.34": "ga1.2.12.34",
        "NULL": "NULL",
        "Undefined": "Undefined",
        "0.0": "0.0",
    }
    stored = _stored(shop, *(order(f"<{given}>", TEN, client_id=given) for given in kept))
    assert {row["id"][1:-1]: row["client_id"] for row in stored} == kept
    assert {row["attribution"] for row in stored} == {"attributed"}


def test_r08_words_for_nothing_are_not_attributed_also_behind_a_prefix(shop: Shop) -> None:
    plain = [None, "", "  ", "null", " undefined ", "(not set)", "0"]
    prefixed = ["GA1.2.null", "GA1.2.", "FPID2.2.undefined", "GA1.1-2.0", "GA1.3.(not set)"]
    stored = _stored(shop, *(order(f"<{given}>", TEN, client_id=given) for given in [*plain, *prefixed]))
    assert {row["id"]: row["client_id"] for row in stored} == {f"<{given}>": None for given in [*plain, *prefixed]}
    assert {row["attribution"] for row in stored} == {"(not attributed)"}


def test_r08_a_client_id_in_exponent_form_is_an_error_of_its_day(shop: Shop) -> None:
    damaged = ["1.23E9", "1.23e+09", "2E10", "GA1.2.1.23E9", " 1.23E8 "]
    fine = ["1.23", "abc1E9", "1.23E9.5"]
    orders = [order(id, TEN, client_id=id) for id in damaged + fine]
    shop.set_orders([*orders, order("b", "2026-01-11T10:00")])
    result = shop.convert(day("01-10"), day("01-11"))
    assert result.failing_days == {day("01-10")}
    assert sorted(result.failing_ids["client_ids"]) == sorted(id.strip() for id in damaged)
    assert [row["id"] for row in shop.stored()] == ["b"]


def test_r08_the_share_of_not_attributed_is_reported_per_day(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, client_id=None), order("b", TEN), order("c", "2026-01-11T10:00")])
    result = shop.convert(day("01-10"), day("01-11"))
    assert [(row["not_attributed_rows"], row["ids"]) for row in result.profile] == [(1, 2), (0, 1)]


@pytest.mark.parametrize(("unattributed", "warns"), [(11, True), (10, False)])
def test_r08_a_rise_of_more_than_10_points_over_the_28_day_mean_is_a_warning(
    shop: Shop, unattributed: int, warns: bool
) -> None:
    before = [order(f"before-{n}", f"2026-01-{n:02}T10:00") for n in range(1, 29)]
    found = [order(f"o{n}", "2026-01-29T10:00", client_id=None if n < unattributed else "1.2") for n in range(100)]
    shop.set_orders(before + found)
    shop.convert(day("01-01"), day("01-28"))
    result = shop.convert(day("01-29"))
    r08 = [outcome for outcome in result.outcomes if "R8" in outcome.rule.rules and not outcome.rule.blocking]
    assert [outcome.failing_days for outcome in r08 if not outcome.passed] == ([(day("01-29"),)] if warns else [])
    assert len(shop.stored()) == 128


# --- R9: params ---------------------------------------------------------------------------------------------------


def _params(pairs: list[tuple[str, str | None]] | None) -> list[dict[str, str | None]] | None:
    # DuckDB takes a dictionary of the keys `key`, `value` for a MAP; names of a STRUCT know no case.
    return None if pairs is None else [{"KEY": key, "value": value} for key, value in pairs]


PARAMS: dict[str, tuple[list[tuple[str, str | None]] | None, list[tuple[str, str]] | None]] = {
    "clean": ([("city", "Bonn")], [("city", "Bonn")]),
    "spaces and hyphens": ([(" Lead Source-Type ", "Web")], [("lead_source_type", "Web")]),
    "white space": ([("\tCity\n", "Bonn")], [("city", "Bonn")]),
    "letters beyond ASCII": ([("GRÖSSE", "L")], [("grösse", "L")]),
    "sorted": ([("b", "1"), ("a", "2"), ("C", "3")], [("a", "2"), ("b", "1"), ("c", "3")]),
    "empty values": ([("city", ""), ("country", None), ("region", "NRW")], [("region", "NRW")]),
    "twice: the first that is not empty": ([("City", ""), ("city", "Bonn"), ("CITY", "Ulm")], [("city", "Bonn")]),
    "twice, not sorted": ([("city", "Ulm"), ("b", "x"), ("city", "Bonn")], [("b", "x"), ("city", "Ulm")]),
    "values are kept": ([("a", " Kept As It-Is ")], [("a", " Kept As It-Is ")]),
    "nothing left": ([("city", "")], None),
    "none": ([], None),
    "NULL": (None, None),
}


def test_r09_params_have_clean_keys_no_empty_values_and_one_order(shop: Shop) -> None:
    stored = _stored(shop, *(order(case, TEN, params=_params(given)) for case, (given, _) in PARAMS.items()))
    found = {row["id"]: row["params"] and [(p["key"], p["value"]) for p in row["params"]] for row in stored}
    assert found == {case: kept for case, (_, kept) in PARAMS.items()}


def test_r09_another_order_of_params_is_no_change(shop: Shop) -> None:
    pairs: list[tuple[str, str | None]] = [("a", "1"), ("b", "2")]
    first = _stored(shop, order("a", TEN, params=_params(pairs)))
    assert _stored(shop, order("a", TEN, params=_params(pairs[::-1]))) == first


def test_r09_a_key_twice_is_a_warning(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, params=_params([("City", "Bonn"), ("city", "Ulm")]))])
    warnings = [outcome.rule for outcome in shop.convert(day("01-10")).outcomes if not outcome.passed]
    assert [(rule.rules, rule.blocking) for rule in warnings] == [("R9", False)]
