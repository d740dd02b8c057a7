"""The embedded engine: one writer, user SQL that reads tables only, messages without values of rows."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlglot

from conversions_assets.warehouse.base import Statement, Table, WarehouseError, WarehouseLockedError
from conversions_assets.warehouse.dialect import bigquery_type, parse_bigquery
from conversions_assets.warehouse.duckdb import DuckDBWarehouse

HOLD = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def warehouse(file: Path) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(file) as warehouse:
        yield warehouse


def _bigquery(sql: str, **params: object) -> Statement:
    [tree] = parse_bigquery(sql)
    return Statement(tree, params)


def _duckdb(sql: str) -> Statement:
    return Statement(sqlglot.parse_one(sql, read="duckdb"))


def _hold(file: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that has the file open for some seconds."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(file), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


# --- R13: one writer ----------------------------------------------------------------------------------------------


def test_r13_a_file_that_another_process_holds_is_waited_for_and_then_refused_by_name(file: Path) -> None:
    holder = _hold(file, 60)
    try:
        started = time.monotonic()
        with pytest.raises(WarehouseLockedError) as refused:
            DuckDBWarehouse(file, lock_timeout=timedelta(seconds=1))
        waited = time.monotonic() - started
    finally:
        holder.kill()
        holder.wait()
    message = str(refused.value)
    assert 1 <= waited < 10
    assert str(file) in message
    assert f"process {holder.pid} (" in message
    assert "python" in message
    assert f"close that program (or end it with `kill {holder.pid}`) and run this again" in message
    assert "Waited 1 s" in message


def test_r13_a_file_that_comes_free_while_waiting_is_opened(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = _hold(file, 1)
    with DuckDBWarehouse(file, lock_timeout=timedelta(seconds=30)) as warehouse:
        assert warehouse.query(_bigquery("SELECT 1 AS one")) == [{"one": 1}]
    assert holder.wait() == 0
    told = [record.message for record in caplog.records if "waiting for process" in record.message]
    assert len(told) == 1, "the wait is announced once"
    assert str(holder.pid) in told[0]


def test_a_file_that_is_no_database_is_refused_without_waiting(file: Path) -> None:
    file.write_bytes(b"no database " * 1000)
    started = time.monotonic()
    with pytest.raises(WarehouseError, match=r"cannot open .*warehouse\.duckdb"):
        DuckDBWarehouse(file, lock_timeout=timedelta(seconds=30))
    assert time.monotonic() - started < 5


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    with DuckDBWarehouse(tmp_path / "it's new" / "conversions.duckdb") as warehouse:
        warehouse.create_table(Table("conversions", "lead"), {"id": "STRING"})
        assert warehouse.columns(Table("conversions", "lead")) == {"id": "STRING"}


# --- R1: user SQL reads tables only -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_r01_user_sql_cannot_reach_a_file_or_the_network(warehouse: DuckDBWarehouse, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nsesame\n", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(WarehouseError) as refused:
        warehouse._run(sql.format(file=secret, folder=tmp_path), {})
    assert "sesame" not in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "sql", ["SET enable_external_access = true", "SET TimeZone = 'Europe/Berlin'", "RESET TimeZone"]
)
def test_r01_user_sql_cannot_change_a_setting(warehouse: DuckDBWarehouse, sql: str) -> None:
    with pytest.raises(WarehouseError):
        warehouse._run(sql, {})
    assert warehouse._run("SELECT current_setting('TimeZone')", {}).fetchall() == [("UTC",)]


def test_r01_user_sql_cannot_read_variables_of_the_program(warehouse: DuckDBWarehouse) -> None:
    import pandas as pd

    frame = pd.DataFrame({"secret": ["sesame"]})
    with pytest.raises(WarehouseError):
        warehouse.query(_duckdb("SELECT * FROM frame"))
    assert len(frame) == 1


# --- statements ---------------------------------------------------------------------------------------------------


def test_r12_a_transaction_commits_whole_or_not_at_all(warehouse: DuckDBWarehouse) -> None:
    table = Table("conversions", "lead")
    warehouse.create_table(table, {"id": "STRING"})
    with pytest.raises(WarehouseError), warehouse.transaction():
        warehouse.execute(
            [
                _bigquery("INSERT INTO conversions.lead (id) VALUES ('a')"),
                _bigquery("INSERT INTO conversions.lead (id, gone) VALUES ('b', 1)"),
            ]
        )
    assert warehouse.query(_bigquery("SELECT id FROM conversions.lead")) == []
    with warehouse.transaction():
        warehouse.execute([_bigquery("INSERT INTO conversions.lead (id) VALUES ('c')")])
    assert warehouse.query(_bigquery("SELECT id FROM conversions.lead")) == [{"id": "c"}]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_r12_whatever_ends_a_transaction_early_rolls_it_back(
    warehouse: DuckDBWarehouse, error: type[BaseException]
) -> None:
    def interrupted() -> None:
        with warehouse.transaction():
            warehouse.execute([_bigquery("INSERT INTO conversions.lead (id) VALUES ('a')")])
            raise error

    warehouse.create_table(Table("conversions", "lead"), {"id": "STRING"})
    with pytest.raises(error):
        interrupted()
    assert warehouse.query(_bigquery("SELECT id FROM conversions.lead")) == []


@pytest.mark.parametrize(
    ("expression", "secret"),
    [
        ("CAST(mail AS INT64)", "anna@example.com"),
        ("CAST(mail AS DATE)", "anna@example.com"),
        ("CAST(mail AS BOOL)", "anna@example.com"),
        ("CAST(name AS INT64)", "Brien"),
        ("PARSE_DATE('%Y-%m-%d', mail)", "anna@example.com"),
        ("PARSE_TIMESTAMP('%Y-%m-%d', mail)", "anna@example.com"),
        ("JSON_VALUE(CONCAT('{', mail), '$.a')", "anna@example.com"),
        ("TIMESTAMP(mail)", "anna@example.com"),
        ("phone * phone", "491701234567890"),
        ("CAST(huge AS INT64)", "4.9170123"),
        ("CAST(phone AS NUMERIC) * CAST(phone AS NUMERIC) * 1000000", "491701234567890"),
    ],
)
def test_r11_the_message_of_a_data_error_holds_no_value_of_a_row(
    warehouse: DuckDBWarehouse, expression: str, secret: str
) -> None:
    warehouse.create_table(
        Table("crm", "people"), {"mail": "STRING", "name": "STRING", "phone": "INT64", "huge": "FLOAT64"}
    )
    warehouse.execute(
        [
            _bigquery(
                "INSERT INTO crm.people VALUES ('anna@example.com', \"O'Brien 0171\", 491701234567890, 4.9170123e40)"
            )
        ]
    )
    with pytest.raises(WarehouseError) as refused:
        warehouse.query(_bigquery(f"SELECT {expression} AS x FROM crm.people"))
    assert secret not in str(refused.value)
    assert len(str(refused.value)) > 20, "it still says what is wrong"


def test_parameters_reach_the_engine_with_their_types(warehouse: DuckDBWarehouse) -> None:
    now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    [row] = warehouse.query(
        _bigquery("SELECT @day AS day, @now AS now, @text AS text", day=date(2026, 1, 30), now=now, text="a'b")
    )
    assert row == {"day": date(2026, 1, 30), "now": now, "text": "a'b"}


def test_describe_tells_bigquery_types_without_running_anything(warehouse: DuckDBWarehouse) -> None:
    warehouse.create_table(Table("crm", "people"), {"id": "STRING"})
    statement = _bigquery("SELECT id, ERROR('it ran') IS NULL AS failed, CURRENT_TIMESTAMP() AS now FROM crm.people")
    assert warehouse.describe(statement) == {"id": "STRING", "failed": "BOOL", "now": "TIMESTAMP"}


def test_a_table_that_is_not_there_has_no_columns_and_an_existing_one_stays(warehouse: DuckDBWarehouse) -> None:
    table = Table("conversions", "order")
    assert warehouse.columns(table) is None
    warehouse.create_table(table, {"id": "STRING", "params": "ARRAY<STRUCT<key STRING, value STRING>>"})
    warehouse.execute([_bigquery("INSERT INTO conversions.`order` (id) VALUES ('a')")])
    warehouse.create_table(table, {"id": "STRING"})
    assert warehouse.columns(table) == {"id": "STRING", "params": "ARRAY<STRUCT<key STRING, value STRING>>"}
    assert warehouse.query(_bigquery("SELECT id FROM conversions.`order`")) == [{"id": "a"}]


@pytest.mark.parametrize("name", ["day", "day_after"])
def test_the_rows_of_a_day_lie_together(warehouse: DuckDBWarehouse, name: str) -> None:
    """A backfill writes many days at once: a run over a few of them must not read them all."""
    table = Table("adjusted", "order")
    warehouse.create_table(table, {"id": "STRING", name: "DATE"})
    rows = "SELECT CAST(n AS STRING) AS id, DATE_ADD(DATE '2026-01-01', INTERVAL MOD(n * 7, 90) DAY) AS d FROM numbers"
    numbers = "WITH numbers AS (SELECT n FROM UNNEST(GENERATE_ARRAY(1, 5000)) AS n)"
    warehouse.execute(
        [_bigquery(f"INSERT INTO adjusted.`order` (id, {name}) {numbers} SELECT id, d AS {name} FROM ({rows})")]
    )
    days = [row["day"] for row in warehouse.query(_bigquery(f"SELECT {name} AS day FROM adjusted.`order`"))]
    assert len(days) == 5000
    assert days == sorted(days)


@pytest.mark.parametrize(
    ("duckdb_type", "expected"),
    [
        ("VARCHAR", "STRING"),
        ("BIGINT", "INT64"),
        ("INTEGER", "INT64"),
        ("SMALLINT", "INT64"),
        ("TINYINT", "INT64"),
        ("UBIGINT", "INT64"),
        ("HUGEINT", "INT64"),
        ("DOUBLE", "FLOAT64"),
        ("FLOAT", "FLOAT64"),
        ("DECIMAL(18,2)", "NUMERIC"),
        ("BOOLEAN", "BOOL"),
        ("DATE", "DATE"),
        ("TIMESTAMP", "DATETIME"),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
        ("TIME", "TIME"),
        ("BLOB", "BYTES"),
        ("JSON", "JSON"),
        ("VARCHAR[]", "ARRAY<STRING>"),
        ('STRUCT("key" VARCHAR, "value" VARCHAR)[]', "ARRAY<STRUCT<key STRING, value STRING>>"),
        ('"NULL"', "NULL"),
    ],
)
def test_the_types_of_duckdb_have_names_in_bigquery(duckdb_type: str, expected: str) -> None:
    assert bigquery_type(duckdb_type) == expected
