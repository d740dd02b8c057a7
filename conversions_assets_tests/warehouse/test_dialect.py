"""BigQuery SQL keeps its meaning on DuckDB, or is refused."""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlglot.errors import SqlglotError

import conversions_assets
from conversions_assets.warehouse.base import Statement, Table, WarehouseError
from conversions_assets.warehouse.dialect import DialectError, parse_bigquery, to_duckdb
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets.warehouse.rewrites.known import KNOWN, OWN, functions_of


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


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("SOUNDEX(x)", "SOUNDEX is not among the functions that were compared"),
        ("FARM_FINGERPRINT(x)", "FARM_FINGERPRINT is not among"),
        ("NET.HOST(x)", "HOST is not among"),
        ("LIST_SUM(x)", "LIST_SUM is not among"),
        ("STRING_AGG(x, ',' ORDER BY x LIMIT 1)", "STRING_AGG with LIMIT has no equal on DuckDB: use ARRAY_TO_STRING"),
        ("FORMAT('%t', x)", "FORMAT with %t has no equal on DuckDB"),
        ("FORMAT(f, x)", "FORMAT: the format must be written out"),
        ("FORMAT_DATE('%O', x)", "the format element %O has no equal on DuckDB"),
        ("CAST(x AS STRING FORMAT 'YYYY')", "CAST … FORMAT has no equal on DuckDB: use FORMAT_DATE"),
        ("CAST(x AS JSON)", "keep JSON as text and read it with JSON_VALUE"),
        ("EXTRACT(HOUR FROM a - b)", "write DATE_DIFF or TIMESTAMP_DIFF"),
        ("DATE(x, '+02:00')", "use a name like Europe/Berlin"),
        ("DATE_ADD(MAX(x), INTERVAL 1 DAY)", "CAST it to DATE first"),
        ("REGEXP_EXTRACT(x, r'(a)(b)')", "REGEXP_EXTRACT takes one group"),
        ("JSON_VALUE(x, path)", "a JSON path must be written out"),
        ("ROUND(x, n)", "ROUND: the number of digits must be written out"),
    ],
)
def test_what_has_no_equal_on_duckdb_is_refused_by_its_name(expression: str, reason: str) -> None:
    with pytest.raises(DialectError) as refused:
        _sql(f"SELECT {expression} FROM a.b")
    assert reason in str(refused.value)


def test_every_function_of_our_own_sql_is_let_through() -> None:
    folder = Path(conversions_assets.__file__).parent
    one_engine = ("duckdb_", "bigquery_")
    files = [path for path in folder.rglob("*.sql") if not path.name.startswith(one_engine)]
    assert len(files) > 10
    for path in files:
        for tree in parse_bigquery(path.read_text(encoding="utf-8")):
            assert functions_of(tree) <= KNOWN | OWN, path


@pytest.mark.parametrize(
    "expression",
    [
        "a / 2",
        "a < 2.5",
        "a = b",
        "a > 5",
        "SUBSTR(a, 1, 2)",
        "RANK() OVER (PARTITION BY a ORDER BY b)",
        "MIN(a)",
    ],
)
def test_what_needs_no_rewrite_costs_nothing(expression: str) -> None:
    sql = _sql(f"SELECT {expression} FROM t.u")
    assert "BQ_" not in sql.upper()
    assert "CASE" not in sql


def test_a_division_by_zero_is_an_error_and_one_by_null_is_null(warehouse: DuckDBWarehouse) -> None:
    for expression in ("1 / 0", "0.0 / 0", "MOD(1, 0)", "DIV(1, 0)", "SQRT(-1)", "LN(0)"):
        with pytest.raises(WarehouseError):
            _value(warehouse, expression)
    assert _value(warehouse, "1 / CAST(NULL AS INT64)") is None
    assert _value(warehouse, "SAFE_DIVIDE(1, 0)") is None


def test_nan_is_greater_than_nothing_and_first_in_order(warehouse: DuckDBWarehouse) -> None:
    table = "(SELECT 1.5 AS v UNION ALL SELECT CAST('nan' AS FLOAT64))"
    assert _value(warehouse, f"(SELECT COUNT(*) FROM {table} WHERE v > 1)") == 1
    assert _value(warehouse, f"(SELECT COUNT(*) FROM {table} WHERE 1 < v)") == 1
    assert _value(warehouse, f"(SELECT COUNT(*) FROM {table} AS a JOIN {table} AS b ON a.v = b.v)") == 1
    assert math.isnan(_value(warehouse, f"(SELECT MIN(v) FROM {table})"))
    assert math.isnan(_value(warehouse, f"(SELECT v FROM {table} ORDER BY v LIMIT 1)"))
    assert _value(warehouse, f"(SELECT v FROM {table} ORDER BY v DESC LIMIT 1)") == 1.5


def test_nan_in_a_table_is_seen_by_the_type_of_its_column(warehouse: DuckDBWarehouse) -> None:
    warehouse.create_table(Table("crm", "measured"), {"id": "STRING", "reading": "FLOAT64"})
    [insert] = parse_bigquery("INSERT INTO crm.measured VALUES ('a', CAST('nan' AS FLOAT64)), ('b', 2.0)")
    warehouse.execute([Statement(insert)])
    assert _value(warehouse, "(SELECT STRING_AGG(id) FROM crm.measured WHERE reading > 1)") == "b"
    assert "BQ_IS_NAN" not in warehouse._sql(parse_bigquery("SELECT id > 'a' FROM crm.measured")[0])


def test_a_name_that_is_a_float_elsewhere_may_be_of_any_type_here(warehouse: DuckDBWarehouse) -> None:
    warehouse.create_table(Table("crm", "measured"), {"id": "STRING", "reading": "FLOAT64"})
    rows = "UNNEST([STRUCT('x' AS reading), STRUCT('y')])"
    assert _value(warehouse, f"(SELECT MIN(reading) FROM {rows} WHERE reading > 'a')") == "x"


@pytest.fixture
def events(warehouse: DuckDBWarehouse) -> DuckDBWarehouse:
    for day, columns in {"20260101": {"name": "STRING"}, "20260102": {"name": "STRING", "platform": "STRING"}}.items():
        warehouse.create_table(Table("ga4", f"events_{day}"), columns)
        values = ", ".join(["'e'"] * len(columns))
        [delete, insert] = parse_bigquery(
            f"DELETE FROM ga4.events_{day} WHERE TRUE; INSERT INTO ga4.events_{day} VALUES ({values})"
        )
        warehouse.execute([Statement(delete), Statement(insert)])
    return warehouse


def _rows(warehouse: DuckDBWarehouse, sql: str) -> list[dict[str, Any]]:
    [tree] = parse_bigquery(sql)
    return warehouse.query(Statement(tree))


def test_a_wildcard_table_is_all_tables_of_its_name(events: DuckDBWarehouse) -> None:
    query = "SELECT name, platform, _TABLE_SUFFIX AS day FROM ga4.events_* ORDER BY day"
    assert _rows(events, query) == [
        {"name": "e", "platform": None, "day": "20260101"},
        {"name": "e", "platform": "e", "day": "20260102"},
    ]
    assert _rows(events, "SELECT COUNT(*) AS n FROM `ga4.events_2*` WHERE _TABLE_SUFFIX > '0260101'") == [{"n": 1}]


def test_a_star_does_not_show_the_suffix_of_a_wildcard_table(events: DuckDBWarehouse) -> None:
    for star in ("*", "e.*", "* EXCEPT (platform)"):
        [row] = _rows(events, f"SELECT {star} FROM ga4.events_* AS e WHERE _TABLE_SUFFIX = '20260101'")
        assert "_TABLE_SUFFIX" not in row
        assert row["name"] == "e"


def test_a_wildcard_table_without_a_table_is_refused(events: DuckDBWarehouse) -> None:
    with pytest.raises(DialectError, match=r"no table in ga4 has a name that begins with sessions_"):
        _rows(events, "SELECT 1 AS x FROM ga4.sessions_*")


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
