"""R1, the column contract: what the warehouse says of a query, shown at the word of the SQL that is wrong."""

import re

import pytest

from conversions_assets.contract.source import QueryError
from conversions_assets_tests.shop import Shop, day, order

TEN = "2026-01-10T10:00"


@pytest.fixture(autouse=True)
def _an_order(shop: Shop) -> None:
    shop.set_orders([order("a", TEN)])
    shop.query("CREATE TABLE shop.log AS SELECT 1 AS number, 1.5 AS amount, TIMESTAMP '2026-01-10' AS logged_at")


def _refusal(shop: Shop, sql: str) -> tuple[int, str, str]:
    """Line, underlined text and message of the refusal; nothing is stored."""
    shop.write_sql(sql)
    with pytest.raises(QueryError) as refused:
        shop.convert(day("01-10"))
    message = str(refused.value)
    file = shop.conversion.query.path
    place = re.match(rf"{re.escape(str(file))}:(\d+):(\d+): ", message)
    assert place, message
    line, column = int(place[1]), int(place[2])
    marks = next(text for text in message.splitlines() if "^" in text).split("| ", 1)[1]
    assert f"{line:>5} | {sql.splitlines()[line - 1]}\n" in message, "the excerpt is the line of the SQL"
    assert marks.index("^") == column - 1
    assert shop.stored() == []
    return line, sql.splitlines()[line - 1][column - 1 : marks.rindex("^") + 1], message


def _columns(shop: Shop, **changes: str) -> str:
    columns = {"id": "id", "client_id": "client_id", "created": "created"} | changes
    listed = ",\n  ".join(f"{expression} AS {name}" for name, expression in columns.items())
    return f"SELECT\n  {listed}\nFROM shop.orders CROSS JOIN shop.log"


# --- tables and columns that are not there ------------------------------------------------------------------------
# On DuckDB: the emulator has words of its own for them. test_bigquery_faults.py has BigQuery's.


@pytest.mark.parametrize("comment", ["", "-- orderz of the shop\n"])
@pytest.mark.duckdb_only
def test_r01_a_missing_table_is_shown_with_the_nearest(shop: Shop, comment: str) -> None:
    line, word, message = _refusal(shop, f"{comment}SELECT id, client_id, created\nFROM shop.orderz")
    assert "orderz` does not exist" in message
    assert "near: orders" in message or "shop.orders" in message
    assert (line, "orderz" in word) == (2 + bool(comment), True)


@pytest.mark.duckdb_only
def test_r01_a_missing_dataset_is_named(shop: Shop) -> None:
    line, word, message = _refusal(shop, "SELECT id, client_id, created\nFROM crm.orders")
    assert "crm" in message.splitlines()[0]
    assert "does not exist" in message
    assert "fix: " in message
    assert line == 2
    assert word in ("crm", "crm.orders", "orders")


@pytest.mark.parametrize("comment", ["", "-- their mail is needed\n"])
@pytest.mark.duckdb_only
def test_r01_a_missing_column_is_shown_where_it_is_used(shop: Shop, comment: str) -> None:
    sql = f"{comment}SELECT id, client_id, created\nFROM shop.orders\nWHERE mail IS NOT NULL"
    line, word, message = _refusal(shop, sql)
    assert "the column `mail` does not exist" in message
    assert (line, word) == (3 + bool(comment), "mail")


@pytest.mark.duckdb_only
def test_r01_a_missing_column_comes_with_the_nearest_one(shop: Shop) -> None:
    line, word, message = _refusal(shop, "SELECT o.id, o.client_id,\n  o.creatd AS created\nFROM shop.orders AS o")
    assert "the column `creatd` does not exist" in message
    assert "creatd" in word
    assert line == 2
    assert re.search(r"fix: .*near: created$", message, re.MULTILINE)


@pytest.mark.parametrize("function", ["NORMALIZE_AND_CASEFOLD", "SOUNDEX"])
@pytest.mark.duckdb_only
def test_r01_a_function_without_an_equal_on_duckdb_is_shown_at_its_place(shop: Shop, function: str) -> None:
    sql = f"SELECT id, client_id,\n  created,\n  {function}(user_id) AS user_id\nFROM shop.orders"
    line, word, message = _refusal(shop, sql)
    assert "fix: " in message
    assert (line, word) == (3, function)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["id", "client_id", "created"])
def test_r01_a_missing_column_of_the_contract_is_named(shop: Shop, missing: str) -> None:
    names = [name for name in ("id", "client_id", "created") if name != missing]
    line, word, message = _refusal(shop, f"-- select them\nSELECT {', '.join(names)}\nFROM shop.orders")
    assert f"the column `{missing}` is missing" in message
    assert f"fix: add `… AS {missing}`" in message
    assert (line, word) == (2, "SELECT")


@pytest.mark.parametrize(
    ("name", "near"), [("clientid", "client_id"), ("createds", "created"), ("param", "params"), ("userid", "user_id")]
)
def test_r01_an_unknown_column_is_shown_with_the_nearest_name(shop: Shop, name: str, near: str) -> None:
    line, word, message = _refusal(shop, _columns(shop, **{name: "status"}))
    assert f"the column `{name}` is not part of the contract" in message
    assert f"fix: write AS {near}" in message
    assert (line, word) == (5, "status")


def test_r01_an_unknown_column_like_no_other_lists_the_contract(shop: Shop) -> None:
    line, word, message = _refusal(shop, _columns(shop, zip="status"))
    assert "the column `zip` is not part of the contract" in message
    assert "params" in message
    assert "id, client_id, created, value, currency, is_qualified, params, user_id" in message
    assert (line, word) == (5, "status")


def test_r01_a_star_that_brings_an_unknown_column_names_it(shop: Shop) -> None:
    line, word, message = _refusal(shop, "SELECT *\nFROM shop.orders")
    assert "the column `status` is not part of the contract" in message
    assert (line, word) in [(1, "SELECT"), (1, "*")]


def test_r01_a_column_twice_is_refused_at_the_second(shop: Shop) -> None:
    sql = "SELECT\n  id,\n  client_id,\n  created,\n  user_id AS id\nFROM shop.orders"
    line, word, message = _refusal(shop, sql)
    assert "the column `id` is there twice" in message
    assert "fix: keep one of them" in message
    assert (line, word) == (5, "user_id")


def test_r01_the_order_of_the_columns_does_not_matter(shop: Shop) -> None:
    shop.write_sql("SELECT value, created, 'CHF' AS currency, client_id, id FROM shop.orders")
    shop.convert(day("01-10"))
    [row] = shop.stored()
    assert (row["id"], row["client_id"], row["value"], row["currency"]) == ("a", "1.2", 10.0, "CHF")


# --- types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expression", "kind"), [("number", "INT64"), ("CAST(amount AS FLOAT64)", "FLOAT64")])
def test_r07_an_id_that_is_a_number_is_refused_with_the_cast_to_write(shop: Shop, expression: str, kind: str) -> None:
    line, word, message = _refusal(shop, _columns(shop, id=expression))
    assert f"the column `id` is {kind}, not STRING" in message
    assert f"fix: CAST({expression} AS STRING) AS id" in message
    assert line == 2
    assert word in expression


def test_r06_a_created_without_a_zone_is_refused_with_the_cast_to_write(shop: Shop) -> None:
    line, word, message = _refusal(shop, _columns(shop, created="logged_at"))
    assert "the column `created` is DATETIME, not TIMESTAMP" in message
    assert "fix: TIMESTAMP(logged_at, 'UTC') AS created" in message
    assert "AS created" in message
    assert (line, word) == (4, "logged_at")


def test_r06_the_result_of_parse_timestamp_is_aware(shop: Shop) -> None:
    shop.write_sql(
        "SELECT id, client_id, PARSE_TIMESTAMP('%Y-%m-%d %H:%M', '2026-01-10 09:30') AS created FROM shop.orders"
    )
    shop.convert(day("01-10"))
    assert [row["created"].isoformat() for row in shop.stored()] == ["2026-01-10T09:30:00+00:00"]


@pytest.mark.parametrize("expression", ["number", "CAST(amount AS FLOAT64)"])
def test_r08_a_client_id_that_is_a_number_is_refused(shop: Shop, expression: str) -> None:
    line, _, message = _refusal(shop, _columns(shop, client_id=expression))
    assert "the column `client_id` is" in message
    assert "digits" in message
    assert line == 3


@pytest.mark.parametrize(
    ("column", "expression", "kind", "fix"),
    [
        ("value", "status", "STRING, not FLOAT64", "SAFE_CAST(status AS FLOAT64) AS value"),
        ("value", "TRUE", "BOOL, not FLOAT64", "SAFE_CAST(TRUE AS FLOAT64) AS value"),
        ("currency", "number", "INT64, not STRING", "CAST(number AS STRING) AS currency"),
        ("is_qualified", "status", "STRING, not BOOL", "SAFE_CAST(status AS BOOL) AS is_qualified"),
        ("user_id", "number", "INT64, not STRING", "CAST(number AS STRING) AS user_id"),
        (
            "params",
            "status",
            "STRING, not ARRAY<STRUCT<key STRING, value STRING>>",
            "STRUCT('city' AS key, city AS value)",
        ),
    ],
)
def test_r01_a_column_of_another_type_is_refused_with_the_cast_to_write(
    shop: Shop, column: str, expression: str, kind: str, fix: str
) -> None:
    line, _, message = _refusal(shop, _columns(shop, **{column: expression}))
    assert f"the column `{column}` is {kind}" in message
    assert fix in message.split("fix: ")[1]
    assert line == 5


def test_r01_types_that_lose_nothing_are_accepted_as_value(shop: Shop) -> None:
    for expression in ("number", "CAST(amount AS NUMERIC)", "NULL"):
        shop.write_sql(_columns(shop, value=expression))
        shop.convert(day("01-10"))
    assert [row["value"] for row in shop.stored()] == [None]
