"""R1: what is refused before anything runs, with file, line, column, an underlined excerpt and the fix."""

import re
from pathlib import Path

import pytest

from conversions_assets.contract.query import Query, read_query
from conversions_assets.contract.source import QueryError

SELECT = "SELECT id, client_id, created\nFROM shop.orders\n"


def _write(folder: Path, sql: str | bytes) -> Path:
    file = folder / "order.sql"
    file.write_bytes(sql if isinstance(sql, bytes) else sql.encode())
    return file


def _read(folder: Path, sql: str | bytes) -> Query:
    return read_query(_write(folder, sql))


def _refusal(folder: Path, sql: str | bytes) -> str:
    file = _write(folder, sql)
    with pytest.raises(QueryError) as refused:
        read_query(file)
    message = str(refused.value)
    assert message.startswith(f"{file}:"), "the message begins with the file"
    return message.replace(str(file), "order.sql", 1)


def _place(message: str) -> tuple[int, int]:
    found = re.match(r"order\.sql:(\d+):(\d+): ", message)
    assert found, message
    return int(found[1]), int(found[2])


def _underlined(message: str) -> str:
    """The text of the excerpt above the carets; the excerpt's number and column are those of the message."""
    source, marks = next(
        (a, b) for a, b in zip(message.splitlines(), message.splitlines()[1:], strict=False) if set(b) & {"^"}
    )
    number, text = source.split(" | ", 1)
    underline = marks.split("| ", 1)[1]
    assert (int(number), underline.index("^") + 1) == _place(message)
    return text[underline.index("^") : underline.rindex("^") + 1]


# --- one SELECT ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "place", "word"),
    [
        ("SELECT id, client_id, created\nFORM shop.orders", (2, 6), "shop.orders"),
        ("SELECT id, (client_id, created\nFROM shop.orders", (2, 1), "FROM"),
        ("-- a comment\n\nSELECT id, client_id\nFROM shop.orders\nGROUP id", (5, 7), "id"),
    ],
)
def test_r01_sql_that_does_not_parse_is_shown_at_its_place(
    tmp_path: Path, sql: str, place: tuple[int, int], word: str
) -> None:
    message = _refusal(tmp_path, sql)
    assert "R1: this is no BigQuery SQL" in message
    assert (_place(message), _underlined(message)) == (place, word)
    assert "fix: correct the SQL" in message


def test_r01_a_text_that_is_never_closed_is_shown_on_its_line(tmp_path: Path) -> None:
    message = _refusal(tmp_path, SELECT + "WHERE status = 'confirmed")
    assert "R1: this is no BigQuery SQL" in message
    assert _place(message)[0] == 3


def test_r01_a_comma_without_a_column_does_not_parse(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "SELECT\n  id,\n  client_id,,\n  created\nFROM shop.orders")
    assert _place(message)[0] == 3


@pytest.mark.parametrize(
    ("second", "place", "word"),
    [
        ("SELECT id FROM shop.orders", (4, 1), "SELECT"),
        ("SELECT 1", (4, 1), "SELECT"),
        ("DELETE FROM a.b", (4, 1), "DELETE"),
    ],
)
def test_r01_two_statements_are_refused_at_the_second(
    tmp_path: Path, second: str, place: tuple[int, int], word: str
) -> None:
    message = _refusal(tmp_path, f"{SELECT};\n{second};\n")
    assert "R1: the file holds 2 statements" in message
    assert "fix: keep one SELECT; use WITH for steps" in message
    assert (_place(message), _underlined(message)) == (place, word)


def test_r01_a_semicolon_at_the_end_is_no_second_statement(tmp_path: Path) -> None:
    assert _read(tmp_path, f"{SELECT};\n-- the end\n").uses_days is False


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO shop.orders (id) VALUES ('a')",
        "UPDATE shop.orders SET id = 'a' WHERE TRUE",
        "DELETE FROM shop.orders WHERE TRUE",
        "MERGE shop.orders AS t USING shop.new AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
        "TRUNCATE TABLE shop.orders",
        "CREATE TABLE shop.copy AS SELECT id FROM shop.orders",
        "CREATE TEMP FUNCTION f(x INT64) AS (x)",
        "DROP TABLE shop.orders",
        "ALTER TABLE shop.orders ADD COLUMN x INT64",
        "CALL shop.clean()",
        "EXECUTE IMMEDIATE 'DROP TABLE shop.orders'",
        "EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT id FROM shop.orders",
        "SET x = 1",
        "GRANT `roles/viewer` ON TABLE shop.orders TO 'user:a@b.c'",
        "COPY shop.orders TO 'orders.csv'",
        "PRAGMA database_list",
    ],
)
def test_r01_whatever_is_not_a_select_is_refused_at_its_first_word(tmp_path: Path, sql: str) -> None:
    first = sql.split(maxsplit=1)[0]
    message = _refusal(tmp_path, f"-- what it does\n# and why\n\n  {sql}")
    assert "R1: " in message
    assert "read-only" in message
    assert "fix: write one SELECT" in message
    assert (_place(message), _underlined(message)) == ((4, 3), first)


def test_r01_a_comment_in_front_over_several_lines_is_not_the_place(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "/* what\n   it does */\nDELETE FROM shop.orders WHERE TRUE")
    assert (_place(message), _underlined(message)) == ((3, 1), "DELETE")


@pytest.mark.parametrize(
    "sql",
    [
        "DECLARE x INT64 DEFAULT 1;\nSELECT id FROM shop.orders",
        "BEGIN\n  SELECT id FROM shop.orders;\nEND",
        "IF TRUE THEN\n  SELECT id FROM shop.orders;\nEND IF",
        "WITH gone AS (DELETE FROM shop.orders RETURNING *)\nSELECT id FROM gone",
        "SELECT id INTO shop.copy\nFROM shop.orders",
        "ASSERT TRUE",
    ],
)
def test_r01_scripts_and_hidden_writes_are_refused(tmp_path: Path, sql: str) -> None:
    message = _refusal(tmp_path, sql)
    assert "R1: " in message
    assert "fix: " in message


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("read_csv('/etc/passwd')", "read_csv"),
        ("shop.history(1)", "history"),
        ("EXTERNAL_QUERY('a.b.c', 'SELECT 1')", "EXTERNAL_QUERY"),
        ("ML.PREDICT(MODEL shop.model, TABLE shop.orders)", "PREDICT"),
    ],
)
def test_r01_a_table_function_is_refused_by_its_name(tmp_path: Path, call: str, word: str) -> None:
    message = _refusal(tmp_path, f"-- no {word} here\nSELECT id, client_id, created\nFROM {call}")
    assert f"R1: the table function {word} is not allowed" in message
    assert "fix: read a table of the warehouse" in message
    assert word in _underlined(message)
    assert _place(message)[0] == 3


def test_r01_unnest_is_no_table_function(tmp_path: Path) -> None:
    query = _read(tmp_path, "SELECT o.id, p.value AS client_id\nFROM shop.orders AS o, UNNEST(o.params) AS p")
    assert [str(table) for table in query.tables] == ["shop.orders"]


def test_r01_a_remote_function_is_refused(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "SELECT id, client_id,\n  shop.geocode(city) AS user_id, created\nFROM shop.orders")
    assert "R1: " in message
    assert "geocode" in _underlined(message)
    assert _place(message)[0] == 2


# --- parameters ---------------------------------------------------------------------------------------------------


def test_r01_an_unknown_parameter_is_refused_where_it_is_used(tmp_path: Path) -> None:
    message = _refusal(tmp_path, SELECT + "WHERE created >= TIMESTAMP(@since)")
    assert "R1: @since is no parameter of a conversion" in message
    assert "fix: use @start_date and @end_date (DATE, inclusive)" in message
    assert (_place(message), _underlined(message)) == ((3, 28), "@since")


def test_r01_an_unknown_parameter_is_not_shown_in_a_comment_or_a_longer_name(tmp_path: Path) -> None:
    message = _refusal(
        tmp_path, f"-- @end was renamed\n{SELECT}WHERE created < TIMESTAMP(@end_date) AND DATE(created) > @end"
    )
    assert (_place(message), _underlined(message)) == ((4, 58), "@end")


def test_r01_a_parameter_without_a_name_is_refused(tmp_path: Path) -> None:
    message = _refusal(tmp_path, SELECT + "WHERE created >= TIMESTAMP(?)")
    assert "fix: use @start_date and @end_date" in message
    assert _place(message) == (3, 28)


def test_r01_a_parameter_in_a_text_or_comment_is_none(tmp_path: Path) -> None:
    assert _read(tmp_path, f"{SELECT}WHERE status = '@since' -- @until").parameters == frozenset()


def test_r01_a_query_that_uses_both_parameters_cuts_its_days(tmp_path: Path) -> None:
    where = "WHERE created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))"
    assert _read(tmp_path, SELECT + where).uses_days
    assert not _read(tmp_path, SELECT + "WHERE created >= TIMESTAMP(@start_date)").uses_days


# --- tables -------------------------------------------------------------------------------------------------------


def test_r01_a_table_without_a_dataset_is_refused_with_what_to_write(tmp_path: Path) -> None:
    sql = (
        "-- customers: who bought\nWITH o AS (SELECT * FROM shop.orders)\nSELECT id\nFROM o\nJOIN customers USING (id)"
    )
    message = _refusal(tmp_path, sql)
    assert "R1: the table `customers` has no dataset" in message
    assert "fix: write dataset.customers, or define it in WITH" in message
    assert (_place(message), _underlined(message)) == ((5, 6), "customers")


def test_r01_every_table_is_found_and_the_steps_of_with_are_none(tmp_path: Path) -> None:
    sql = "WITH a AS (SELECT id FROM x.one) SELECT id FROM a UNION ALL SELECT id FROM y.two JOIN z.three USING (id)"
    assert {str(table) for table in _read(tmp_path, sql).tables} == {"x.one", "y.two", "z.three"}


def test_r01_a_query_without_a_table_is_refused(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "-- a test\nSELECT 'a' AS id")
    assert "R1: the query reads no table" in message
    assert (_place(message), _underlined(message)) == ((2, 1), "SELECT")
    assert "fix: read a raw table of the CRM: FROM dataset.table" in message


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", ["", "  \n\n", ";", "-- nothing\n# here\n/* yet */\n", "\ufeff"])
def test_r01_a_file_without_a_statement_says_what_to_write(tmp_path: Path, sql: str) -> None:
    message = _refusal(tmp_path, sql)
    assert message.startswith("order.sql:1:1: R1: the file holds no statement")
    assert "fix: write one SELECT that returns id, client_id and created" in message


def test_r01_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        QueryError, match=r"gone\.sql:1:1: there is no such SQL file\n  fix: create it, or correct `query:`"
    ):
        read_query(tmp_path / "gone.sql")


def test_r01_a_byte_order_mark_shifts_no_column(tmp_path: Path) -> None:
    assert _read(tmp_path, "\ufeff" + SELECT).version == _read(tmp_path, SELECT).version
    message = _refusal(tmp_path, "\ufeffSELECT id FROM orders")
    assert (_place(message), _underlined(message)) == ((1, 16), "orders")


def test_r01_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path, SELECT.replace("\n", "\r\n")).version == _read(tmp_path, SELECT).version
    message = _refusal(tmp_path, "SELECT id,\r\n  client_id\r\nFROM orders\r\nWHERE TRUE\r\n")
    assert (_place(message), _underlined(message)) == ((3, 6), "orders")
    assert "\r" not in message


@pytest.mark.parametrize(
    ("content", "line"),
    [("SELECT id\n-- größe\nFROM shop.orders".encode("latin-1"), 2), (SELECT.encode("utf-16"), 1)],
    ids=["latin-1", "utf-16"],
)
def test_r01_a_file_that_is_not_utf8_says_so(tmp_path: Path, content: bytes, line: int) -> None:
    message = _refusal(tmp_path, content)
    assert message.startswith(f"order.sql:{line}:1: the file is not UTF-8 text")
    assert "fix: save it as UTF-8" in message


def test_r01_letters_beyond_ascii_shift_no_column(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "SELECT 'Größe — 大' AS id FROM orders")
    assert (_place(message), _underlined(message)) == ((1, 31), "orders")


def test_r01_the_version_of_a_query_ignores_comments_and_layout_only(tmp_path: Path) -> None:
    version = _read(tmp_path, SELECT).version
    assert _read(tmp_path, "-- new\nSELECT id,client_id,\n\n created FROM shop.orders;").version == version
    assert _read(tmp_path, SELECT + "WHERE id <> 'test'").version != version


def test_r01_the_second_reading_comes_from_the_cache_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _read(tmp_path, SELECT)
    monkeypatch.setattr("conversions_assets.contract.query._analyse", lambda *_: pytest.fail("parsed again"))
    assert read_query(first.path) == first
