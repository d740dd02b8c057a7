"""Our own SQL files: placeholders become tables, queries, lists and columns; never text."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets.warehouse.script import bind

LEAD = Table("conversions", "lead")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path / "warehouse.duckdb") as warehouse:
        warehouse.create_table(LEAD, {"id": "STRING", "day": "DATE", "value": "FLOAT64", "created": "TIMESTAMP"})
        values = "('a', '2026-01-01', 1.5, '2026-01-01 10:00:00.5+00'), ('b', '2026-01-02', NULL, NULL)"
        statement = bind(
            _file(
                tmp_path,
                f"INSERT INTO stored VALUES {values}",
            ),
            {"stored": LEAD},
            {},
        )
        warehouse.execute(statement)
        yield warehouse


def _file(folder: Path, sql: str) -> Path:
    # Files are parsed once per path: each text has a file of its own.
    file = folder / f"{abs(hash(sql))}.sql"
    file.write_text(sql, encoding="utf-8")
    return file


def _bind(
    folder: Path,
    sql: str,
    tables: Mapping[str, Table | exp.Query] | None = None,
    params: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Statement:
    [statement] = bind(_file(folder, sql), tables or {}, params or {}, columns)
    return statement


# --- tables -------------------------------------------------------------------------------------------------------


def test_a_placeholder_becomes_the_table_under_its_old_name(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    statement = _bind(tmp_path, "SELECT stored.id FROM stored ORDER BY id", {"stored": LEAD})
    assert warehouse.query(statement) == [{"id": "a"}, {"id": "b"}]


def test_a_placeholder_keeps_its_alias_and_its_joins(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    joins = "stored AS x JOIN stored AS y ON y.id = x.id LEFT JOIN stored ON stored.id = 'c'"
    sql = f"SELECT x.id FROM {joins} WHERE stored.id IS NULL AND y.value > 1"
    assert warehouse.query(_bind(tmp_path, sql, {"stored": LEAD})) == [{"id": "a"}]


def test_a_placeholder_may_be_a_query(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    only_a = exp.select("id").from_(LEAD.expression).where("id = 'a'")
    statement = _bind(
        tmp_path,
        "SELECT COUNT(*) AS n FROM user_query JOIN stored ON stored.id = user_query.id",
        {"user_query": only_a, "stored": LEAD},
    )
    assert warehouse.query(statement) == [{"n": 1}]
    assert only_a.sql() == exp.select("id").from_(LEAD.expression).where("id = 'a'").sql(), (
        "the given query is not changed"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO stored (id) SELECT stored.id || '2' FROM stored WHERE stored.id = 'a'",
        "UPDATE stored SET value = 2 WHERE stored.id = 'a'",
        "DELETE FROM stored WHERE NOT EXISTS (SELECT 1 FROM stored AS s WHERE s.id = 'a' AND s.id = stored.id)",
    ],
)
def test_a_placeholder_may_be_the_target_of_a_change(warehouse: DuckDBWarehouse, tmp_path: Path, sql: str) -> None:
    everything = _bind(tmp_path, "SELECT * FROM stored", {"stored": LEAD})
    before = warehouse.query(everything)
    warehouse.execute([_bind(tmp_path, sql, {"stored": LEAD})])
    assert warehouse.query(everything) != before


def test_a_table_of_a_dataset_and_an_unknown_name_stay_as_they_are(tmp_path: Path) -> None:
    statement = _bind(tmp_path, "SELECT 1 FROM crm.stored, staged", {"stored": LEAD})
    assert {table.sql() for table in statement.tree.find_all(exp.Table)} == {"crm.stored", "staged"}


def test_a_name_that_is_a_word_of_sql_is_quoted(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    table = Table("conversions", "order")
    warehouse.create_table(table, {"id": "STRING"})
    assert warehouse.query(_bind(tmp_path, "SELECT stored.id FROM stored", {"stored": table})) == []


# --- parameters and lists -----------------------------------------------------------------------------------------


def test_a_statement_gets_only_the_parameters_it_uses(tmp_path: Path) -> None:
    first, second = bind(_file(tmp_path, "SELECT @a AS x; SELECT @b AS x, @a AS y"), {}, {"a": 1, "b": 2, "c": 3})
    assert (first.params, second.params) == ({"a": 1}, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("ids", "found"),
    [(["a"], ["a"]), (("a", "b", "c"), ["a", "b"]), ([], []), (["it's"], []), (["a') OR TRUE --"], [])],
)
def test_a_list_fills_in_unnest(warehouse: DuckDBWarehouse, tmp_path: Path, ids: list[str], found: list[str]) -> None:
    statement = _bind(
        tmp_path, "SELECT id FROM stored WHERE id IN UNNEST(@ids) ORDER BY id", {"stored": LEAD}, {"ids": ids}
    )
    assert [row["id"] for row in warehouse.query(statement)] == found
    assert statement.params == {}


def test_nothing_is_in_an_empty_list_and_everything_is_not(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    statement = _bind(
        tmp_path, "SELECT id FROM stored WHERE NOT id IN UNNEST(@ids) ORDER BY id", {"stored": LEAD}, {"ids": []}
    )
    assert [row["id"] for row in warehouse.query(statement)] == ["a", "b"]


def test_a_list_of_days_keeps_its_type(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    from datetime import date

    statement = _bind(
        tmp_path, "SELECT id FROM stored WHERE NOT day IN UNNEST(@days)", {"stored": LEAD}, {"days": [date(2026, 1, 1)]}
    )
    assert [row["id"] for row in warehouse.query(statement)] == ["b"]


# --- columns ------------------------------------------------------------------------------------------------------


def test_columns_of_writes_out_the_columns(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    columns = {"value": "FLOAT64", "id": "STRING"}
    statement = _bind(
        tmp_path, "SELECT COLUMNS_OF(s) FROM stored AS s WHERE s.id = 'a'", {"stored": LEAD}, None, columns
    )
    assert warehouse.query(statement) == [{"value": 1.5, "id": "a"}]


def test_columns_of_writes_out_the_columns_of_its_insert_too(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    columns = {"value": "FLOAT64", "id": "STRING"}
    sql = "INSERT INTO stored SELECT COLUMNS_OF(s) FROM stored AS s WHERE s.id = 'a'"
    warehouse.execute([_bind(tmp_path, sql, {"stored": LEAD}, None, columns)])
    copies = warehouse.query(
        _bind(tmp_path, "SELECT id, day, value FROM stored WHERE id = 'a' AND day IS NULL", {"stored": LEAD})
    )
    assert copies == [{"id": "a", "day": None, "value": 1.5}]


def test_row_as_json_holds_every_column_and_times_in_utc_with_microseconds(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    columns = {"id": "STRING", "value": "FLOAT64", "created": "TIMESTAMP", "day": "DATE"}
    statement = _bind(
        tmp_path, "SELECT ROW_AS_JSON(s) AS row FROM stored AS s ORDER BY s.id", {"stored": LEAD}, None, columns
    )
    assert [row["row"] for row in warehouse.query(statement)] == [
        '{"id":"a","value":1.5,"created":"2026-01-01T10:00:00.500000Z","day":"2026-01-01"}',
        '{"id":"b","value":null,"created":null,"day":"2026-01-02"}',
    ]


def test_a_file_can_be_bound_twice_with_other_names(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    file = _file(tmp_path, "SELECT COUNT(*) AS n FROM stored WHERE id IN UNNEST(@ids)")
    first = bind(file, {"stored": LEAD}, {"ids": ["a"]})
    second = bind(file, {"stored": Table("conversions", "other")}, {"ids": []})
    assert warehouse.query(first[0]) == [{"n": 1}]
    assert [table.name for table in second[0].tree.find_all(exp.Table)] == ["other"]
