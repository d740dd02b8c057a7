"""BigQuery SQL keeps its meaning on DuckDB, or is refused."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlglot.errors import SqlglotError

from conversions_assets.warehouse.base import Statement
from conversions_assets.warehouse.dialect import DialectError, parse_bigquery, to_duckdb
from conversions_assets.warehouse.duckdb import DuckDBWarehouse


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> DuckDBWarehouse:
    file: Path = tmp_path_factory.mktemp("dialect") / "warehouse.duckdb"
    return DuckDBWarehouse(file)


def _value(warehouse: DuckDBWarehouse, expression: str, **params: Any) -> Any:
    [tree] = parse_bigquery(f"SELECT {expression} AS x")
    return warehouse.query(Statement(tree, params))[0]["x"]


def _sql(bigquery: str) -> str:
    [tree] = parse_bigquery(bigquery)
    return to_duckdb(tree)


def test_countif_of_no_row_is_zero(warehouse: DuckDBWarehouse) -> None:
    count = "(SELECT COUNTIF(n > 1) FROM UNNEST({}) AS n)"
    assert _value(warehouse, count.format("CAST([] AS ARRAY<INT64>)")) == 0
    assert _value(warehouse, count.format("[1, 1]")) == 0
    assert _value(warehouse, count.format("[1, NULL, 2, 3]")) == 2


def test_countif_counts_per_group_and_beside_other_aggregates(warehouse: DuckDBWarehouse) -> None:
    [tree] = parse_bigquery(
        "SELECT n, COUNT(*) AS c, COUNTIF(n = 2) AS two FROM UNNEST([1, 2, 2]) AS n GROUP BY n ORDER BY n"
    )
    assert warehouse.query(Statement(tree)) == [{"n": 1, "c": 1, "two": 0}, {"n": 2, "c": 2, "two": 2}]


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2025-03-29 22:59:59.999999+00", date(2025, 3, 29)),
        ("2025-03-29 23:00:00+00", date(2025, 3, 30)),
        ("2025-03-30 00:59:59+00", date(2025, 3, 30)),
        ("2025-03-30 01:00:00+00", date(2025, 3, 30)),
        ("2025-03-30 21:59:59.999999+00", date(2025, 3, 30)),
        ("2025-03-30 22:00:00+00", date(2025, 3, 31)),
        ("2025-10-25 21:59:59.999999+00", date(2025, 10, 25)),
        ("2025-10-25 22:00:00+00", date(2025, 10, 26)),
        ("2025-10-26 00:30:00+00", date(2025, 10, 26)),
        ("2025-10-26 01:30:00+00", date(2025, 10, 26)),
        ("2025-10-26 22:59:59.999999+00", date(2025, 10, 26)),
        ("2025-10-26 23:00:00+00", date(2025, 10, 27)),
    ],
)
def test_the_local_date_of_an_instant_is_right_at_both_clock_changes(
    warehouse: DuckDBWarehouse, instant: str, day: date
) -> None:
    assert _value(warehouse, f"DATE(TIMESTAMP '{instant}', 'Europe/Berlin')") == day
    assert _value(warehouse, f"DATE(TIMESTAMP '{instant}', @zone)", zone="Europe/Berlin") == day


def test_the_date_of_three_numbers_and_of_a_datetime_stay_what_they_are(warehouse: DuckDBWarehouse) -> None:
    assert _value(warehouse, "DATE(2026, 1, 31)") == date(2026, 1, 31)
    assert _value(warehouse, "DATE(DATETIME '2026-01-31 23:59:59')") == date(2026, 1, 31)
    assert _value(warehouse, "DATE(TIMESTAMP '2026-01-31 23:59:59+00')") == date(2026, 1, 31)


@pytest.mark.parametrize(
    "expression",
    [
        "TIMESTAMP_SECONDS(1769839200)",
        "TIMESTAMP_MILLIS(1769839200000)",
        "TIMESTAMP_MICROS(1769839200000000)",
        "CAST(TIMESTAMP_MILLIS(1769839200000) AS TIMESTAMP)",
        "TIMESTAMP('2026-01-31 06:00:00')",
        "TIMESTAMP('2026-01-31 06:00:00+00')",
        "TIMESTAMP(DATETIME '2026-01-31 06:00:00')",
        "TIMESTAMP('2026-01-31 07:00:00', 'Europe/Berlin')",
        "TIMESTAMP(DATETIME '2026-01-31 07:00:00', 'Europe/Berlin')",
        "TIMESTAMP(DATETIME(TIMESTAMP '2026-01-31 07:00:00+00'), 'Europe/Berlin')",
        "TIMESTAMP(CAST('2026-01-31 07:00:00' AS DATETIME), 'Europe/Berlin')",
        "PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', '2026-01-31 06:00:00')",
        "PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', '2026-01-31 07:00:00', 'Europe/Berlin')",
        "TIMESTAMP_ADD(TIMESTAMP '2026-01-31 05:00:00+00', INTERVAL 1 HOUR)",
        "TIMESTAMP_TRUNC(TIMESTAMP '2026-01-31 06:59:00+00', HOUR)",
    ],
)
def test_what_is_a_timestamp_in_bigquery_is_an_aware_instant(warehouse: DuckDBWarehouse, expression: str) -> None:
    found = _value(warehouse, expression)
    assert found == datetime(2026, 1, 31, 6, tzinfo=UTC)
    [tree] = parse_bigquery(f"SELECT {expression} AS x")
    assert warehouse.describe(Statement(tree)) == {"x": "TIMESTAMP"}


def test_a_replacement_replaces_every_match(warehouse: DuckDBWarehouse) -> None:
    assert _value(warehouse, "REGEXP_REPLACE('banana', r'a', 'o')") == "bonono"
    assert _value(warehouse, "REGEXP_REPLACE('aab', r'^(a)|b', 'x')") == "xax"
    assert _value(warehouse, "REGEXP_REPLACE('aab', r'(a)', 'x')") == "xxb"


def test_a_replacement_at_the_start_of_the_text_is_done_once_without_the_slow_flag(warehouse: DuckDBWarehouse) -> None:
    call = r"REGEXP_REPLACE('GA1.2.GA1.2.5', r'^(GA1\.\d+(-\d+)?\.|FPID2\.2\.)', '')"
    assert _value(warehouse, call) == "GA1.2.5"
    assert "'g'" not in _sql(f"SELECT {call}")
    assert "'g'" in _sql("SELECT REGEXP_REPLACE('aa', r'a', 'b')")


def test_the_layout_of_a_table_is_dropped_and_other_properties_stay() -> None:
    sql = _sql("CREATE TEMP TABLE t (id STRING, day DATE) PARTITION BY day CLUSTER BY id")
    assert "PARTITION" not in sql.upper()
    assert "CLUSTER" not in sql.upper()
    assert "TEMP" in sql.upper()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("SAFE_CAST('x' AS FLOAT64)", None),
        ("SAFE_CAST('1.5' AS FLOAT64)", 1.5),
        ("7 / 2", 3.5),
        ("DIV(7, 2)", 3),
        ("MOD(-7, 2)", -1),
        ("SUBSTR('abcd', 2, 2)", "bc"),
        ("CHAR_LENGTH('äö')", 2),
        ("IF(NULL, 1, 2)", 2),
        ("STARTS_WITH('abc', 'ab')", True),
        ("SPLIT('a,b', ',')[SAFE_OFFSET(1)]", "b"),
        ("SPLIT('a,b', ',')[SAFE_OFFSET(5)]", None),
        ("REGEXP_EXTRACT('a-1', r'(\\d)')", "1"),
        ("REGEXP_EXTRACT('a', r'(\\d)')", None),
        ("REGEXP_CONTAINS('xay', r'a')", True),
        ("DATE_DIFF(DATE '2026-02-01', DATE '2026-01-31', DAY)", 1),
        ("TIMESTAMP_DIFF(TIMESTAMP '2026-01-01 01:59:00+00', TIMESTAMP '2026-01-01 00:00:00+00', HOUR)", 1),
        ("(SELECT STRING_AGG(x, ',' ORDER BY x) FROM UNNEST(['b', 'a']) AS x)", "a,b"),
        ("CONCAT('a', 'b')", "ab"),
        ("CONCAT('a', CAST(NULL AS STRING))", None),
        ("GREATEST(1, NULL)", None),
        ("CAST(123.0 AS STRING)", "123"),
        ("CAST(TRUE AS STRING)", "true"),
        ("FORMAT('%s-%d', 'a', 1)", "a-1"),
        ("DATE_TRUNC(DATE '2026-01-31', WEEK)", date(2026, 1, 25)),
        ("EXTRACT(DAYOFWEEK FROM DATE '2026-01-25')", 1),
        ("SAFE_DIVIDE(1, 0)", None),
        ("DATETIME(TIMESTAMP '2025-10-26 00:30:00+00', 'Europe/Berlin')", datetime(2025, 10, 26, 2, 30)),
        ("TO_JSON_STRING(STRUCT(1 AS a, 'x' AS b))", '{"a":1,"b":"x"}'),
    ],
)
def test_functions_mean_what_they_mean_in_bigquery(warehouse: DuckDBWarehouse, expression: str, expected: Any) -> None:
    assert _value(warehouse, expression) == expected


@pytest.mark.parametrize(("expression", "name"), [("SOUNDEX(x)", "SOUNDEX"), ("ARRAY_AGG(x LIMIT 2)", "ARRAY_AGG")])
def test_what_has_no_equal_on_duckdb_is_refused_by_its_name(expression: str, name: str) -> None:
    with pytest.raises(DialectError, match=rf"DuckDB has no equal of this BigQuery SQL: .*{name}"):
        _sql(f"SELECT {expression} FROM a.b")


def test_a_translation_leaves_the_tree_as_it_was() -> None:
    [tree] = parse_bigquery("SELECT COUNTIF(x), DATE(y, 'UTC'), TIMESTAMP_MILLIS(z) FROM a.b")
    before = tree.sql(dialect="bigquery")
    to_duckdb(tree)
    assert tree.sql(dialect="bigquery") == before


def test_text_that_is_no_bigquery_sql_does_not_parse() -> None:
    with pytest.raises(SqlglotError):
        parse_bigquery("SELECT FROM WHERE (")
    assert parse_bigquery("") == []
    assert len(parse_bigquery("SELECT 1; SELECT 2;")) == 2
