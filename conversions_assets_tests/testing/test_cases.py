"""Test files of users: what passes, what fails, and what is said then."""

import textwrap
from pathlib import Path

import pytest

from conversions_assets.testing.casefile import read_case_file
from conversions_assets.testing.document import CaseError
from conversions_assets.testing.run import read_conversion, run_case
from conversions_assets.testing.types import Types
from conversions_assets.warehouse.base import Table

SQL = """\
SELECT o.id, o.client_id, o.ordered_at AS created, o.total AS value, o.currency, o.qualified AS is_qualified, o.params
FROM shop.orders AS o
WHERE o.status = 'paid'
  AND o.ordered_at >= TIMESTAMP(@start_date) AND o.ordered_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""
DEFS = "type: conversions_assets.components.CustomConversion\nattributes:\n  query: order.sql\n"
ORDERS: Types = {
    "id": "STRING",
    "client_id": "STRING",
    "ordered_at": "TIMESTAMP",
    "total": "FLOAT64",
    "currency": "STRING",
    "qualified": "BOOL",
    "params": "ARRAY<STRUCT<key STRING, value STRING>>",
    "status": "STRING",
}
KNOWN = {Table("shop", "orders"): ORDERS}
# The file's first five lines: what follows begins on line 6.
HEAD = """\
cases:
  - name: a case
    given:
      shop.orders:
        - &o {id: "1", client_id: "1.2", ordered_at: 2025-01-05T10:00:00Z, total: 10, status: paid}
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project.yaml").write_text("timezone: Europe/Berlin\ncurrency: EUR\n", encoding="utf-8")
    monkeypatch.setenv("CONVERSIONS_PROJECT_FILE", str(tmp_path / "project.yaml"))


def run(
    folder: Path, text: str, sql: str = SQL, known: dict[Table, Types] | None = None, defs: str = DEFS
) -> str | None:
    """Run all cases of a file; the first error's message, None if all pass."""
    (folder / "order.sql").write_text(sql, encoding="utf-8")
    (folder / "defs.yaml").write_text(defs, encoding="utf-8")
    path = folder / "order.test.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        file = read_case_file(path)
        for case in file.cases:
            run_case(file, case, read_conversion(folder), KNOWN if known is None else known)
    except CaseError as error:
        return str(error).replace(f"{folder}/", "")
    return None


def expecting(rows: str, more: str = "") -> str:
    """The head with more given rows, and what is expected."""
    return HEAD + textwrap.indent(textwrap.dedent(more), " " * 8) + "    expect:\n" + textwrap.indent(rows, " " * 6)


def test_named_columns_are_compared_and_others_are_not(tmp_path: Path) -> None:
    assert (
        run(tmp_path, expecting('- {id: "1", value: 10.0, currency: EUR, day: 2025-01-05, is_qualified: null}')) is None
    )
    assert run(tmp_path, expecting('- {id: "1"}')) is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("value: 11", "7     1   value   11        10.0"),
        ("value: null", "value   null      10.0"),
        ("client_id: null", "client_id  null      '1.2'"),
        ('client_id: "1.20"', "client_id  '1.20'    '1.2'"),
        ("currency: USD", "currency  USD       EUR"),
        ("is_qualified: false", "is_qualified  false     null"),
        ("day: 2025-01-06", "day     2025-01-06  2025-01-05"),
        ("created: 2025-01-05T10:00:01Z", "2025-01-05 10:00:01+00:00  2025-01-05 10:00:00+00:00"),
        ("params: {city: Berlin}", "params  {city: Berlin}  null"),
    ],
)
def test_a_value_that_differs_is_shown_with_line_id_column_and_both_values(tmp_path: Path, row: str, says: str) -> None:
    message = run(tmp_path, expecting(f'- {{id: "1", {row}}}'))
    assert message is not None
    assert message.startswith("order.test.yaml:2: a case\n  days 2025-01-04 to 2025-01-0")
    assert says in message
    assert "fix: correct the SQL, or what the case expects" in message


def test_a_missing_row_says_what_became_of_it(tmp_path: Path) -> None:
    given = """\
    - {<<: *o, id: late, ordered_at: 2025-01-08T10:00:00Z}
    - {<<: *o, id: odd, currency: Euro}
    - {<<: *o, id: open, status: open}
    """
    text = expecting('- {id: "1"}\n- {id: late}\n- {id: odd}\n- {id: open}\n', given)
    text = text.replace("    given:", "    days: [2025-01-05, 2025-01-07]\n    given:")
    message = run(tmp_path, text)
    assert message is not None
    rows = [line.split(maxsplit=2) for line in message.splitlines()[3:-1]]
    assert rows == [
        ["12", "late", "(row)   a row     a row for 2025-01-08, outside of the days"],
        ["13", "odd", "(row)   a row     quarantined, R6: the currency is no ISO 4217 code"],
        ["14", "open", "(row)   a row     no row"],
    ]


def test_a_row_that_is_not_expected_can_be_pasted_into_the_file(tmp_path: Path) -> None:
    given = '- {<<: *o, id: "007", currency: NOK, params: [{key: country, value: NO}]}'
    message = run(tmp_path, expecting('- {id: "1"}', f"{given}\n"))
    assert message is not None
    assert "fix: correct the SQL, or add the rows to the case" in message
    pasted = message.splitlines()[3].partition("a row: ")[2]
    assert run(tmp_path, expecting(f'- {{id: "1"}}\n- {pasted}', f"{given}\n")) is None
    assert run(tmp_path, expecting(f'- {{id: "1"}}\n- {pasted.replace("NOK", "SEK")}', f"{given}\n")) is not None


def test_an_id_may_stand_on_several_days_and_rows_have_no_order(tmp_path: Path) -> None:
    given = "- {<<: *o, ordered_at: 2025-01-07T10:00:00Z, total: 20}\n"
    expected = '- {id: "1", value: 20}\n- {id: "1", value: 10}'
    assert run(tmp_path, expecting(expected, given)) is None
    message = run(tmp_path, expecting(expected.replace("20", "30"), given))
    assert message is not None
    assert [line.split()[:5] for line in message.splitlines()[3:-1]] == [["8", "1", "value", "30", "20.0"]]
    assert "no row" in str(run(tmp_path, expecting('- {id: "1"}', given)))
    assert "no row" in str(run(tmp_path, expecting(f'{expected}\n- {{id: "1"}}', given)))


def test_quarantined_rows_are_expected_by_name(tmp_path: Path) -> None:
    given = "- {<<: *o, id: odd, currency: Euro}\n- {<<: *o, id: null}\n"

    def told(quarantined: str) -> str | None:
        return run(tmp_path, expecting('- {id: "1"}\n', given) + f"    quarantined: {quarantined}\n")

    assert told("[{id: odd, rule: R6}, {id: null, rule: R7}]") is None
    assert told("[{id: odd}, {id: null}]") is None
    assert "quarantined by R7  quarantined, R6: the currency" in str(told("[{id: odd, rule: R7}, {id: null}]"))
    assert "no row    quarantined, R7: the id is empty" in str(told("[{id: odd}]"))
    assert "quarantined by R6  an accepted row" in str(told('[{id: odd}, {id: null}, {id: "1", rule: R6}]'))
    assert "quarantined  no row" in str(told("[{id: odd}, {id: null}, {id: gone}]"))


def test_r06_the_clock_of_a_case_decides_what_lies_in_the_future(tmp_path: Path) -> None:
    text = expecting('- {id: "1"}').replace("    given:", "    days: 2025-01-05\n    now: {}\n    given:")
    assert run(tmp_path, text.replace("{}", "2025-01-05T10:00:00Z", 1)) is None
    assert "R6: created lies in the future" in str(run(tmp_path, text.replace("{}", "2025-01-05T09:44:00Z", 1)))


def test_without_days_and_now_no_row_is_cut_and_none_lies_in_the_future(tmp_path: Path) -> None:
    given = (
        "- {<<: *o, id: old, ordered_at: 1999-12-31T23:59:59Z}\n- {<<: *o, id: new, ordered_at: 2099-01-01T00:00:00Z}\n"
    )
    assert run(tmp_path, expecting('- {id: "1"}\n- {id: old}\n- {id: new}', given)) is None


def test_days_are_local_days_of_the_project(tmp_path: Path) -> None:
    given = "- {<<: *o, id: late, ordered_at: 2025-01-05T23:30:00Z}\n"
    text = expecting("- {id: late, day: 2025-01-06}", given).replace("    given:", "    days: 2025-01-06\n    given:")
    assert run(tmp_path, text) is None


def test_r05_the_setting_dedup_of_defs_yaml_is_used(tmp_path: Path) -> None:
    text = expecting('- {id: "1", value: 20}', "- {<<: *o, ordered_at: 2025-01-05T11:00:00Z, total: 20}\n")
    assert run(tmp_path, text) is not None
    assert run(tmp_path, text, defs=DEFS + "  dedup: latest\n") is None


def test_types_are_told_by_the_values_where_nothing_is_known(tmp_path: Path) -> None:
    text = """\
    cases:
      - name: a case
        given:
          shop.orders:
            - {id: "1", client_id: null, ordered_at: 2025-01-05T11:00:00+01:00, total: 10, currency: null,
               qualified: true, status: paid, params: [{key: city, value: null}, {key: country, value: "NO"}]}
            - {id: "2", client_id: "1.2", ordered_at: 2025-01-05T10:00:00Z, total: 10.5, currency: EUR,
               qualified: null, status: paid, params: []}
        expect:
          - {id: "1", created: 2025-01-05T10:00:00Z, value: 10, is_qualified: true, params: {country: NO}}
          - {id: "2", value: 10.5, params: null}
    """
    assert run(tmp_path, textwrap.dedent(text), known={}) is None


def test_the_schema_of_the_file_gives_types_that_no_value_tells(tmp_path: Path) -> None:
    sql = "SELECT id, note AS client_id, TIMESTAMP(at, 'Europe/Berlin') AS created FROM shop.orders"
    text = """\
    schema:
      shop.orders: {note: STRING}
    cases:
      - name: a case
        given:
          shop.orders:
            - {id: "1", note: null, at: 2025-01-05T10:00:00}
        expect:
          - {id: "1", client_id: null, created: 2025-01-05T09:00:00Z}
    """
    assert run(tmp_path, textwrap.dedent(text), sql, known={}) is None
    without = textwrap.dedent(text).replace("schema:\n  shop.orders: {note: STRING}\n", "")
    message = run(tmp_path, without, sql, known={})
    assert message is not None
    assert message.startswith("order.test.yaml:5: no value tells the type of `note` of shop.orders")
    assert "schema: {shop.orders: {note: STRING}}" in message


def test_a_case_may_have_no_rows(tmp_path: Path) -> None:
    text = "cases:\n  - {name: none, days: 2025-01-05, given: {shop.orders: []}, expect: []}\n"
    assert run(tmp_path, text) is None
    assert "order.test.yaml:2: no case tells the columns of shop.orders" in str(run(tmp_path, text, known={}))


def test_the_sql_that_the_warehouse_refuses_is_told_with_its_place_and_the_columns(tmp_path: Path) -> None:
    message = run(tmp_path, expecting('- {id: "1"}'), SQL.replace("o.total", "o.totl"), known=KNOWN)
    assert message is not None
    assert message.startswith("order.test.yaml:2: a case\n")
    assert "order.sql:1:" in message
    assert "totl" in message
    assert "shop.orders: id STRING, client_id STRING" in message


def test_plain_words_are_read_as_yaml_1_2_reads_them(tmp_path: Path) -> None:
    given = """\
    - {<<: *o, id: NO}
    - {<<: *o, id: 01234}
    - {<<: *o, id: 1:30}
    - {<<: *o, id: yes}
    - {<<: *o, id: 1e5}
    """
    expected = "- {id: NO}\n- {id: 01234}\n- {id: 1:30}\n- {id: yes}\n- {id: 1e5}\n- {id: '1'}\n"
    assert run(tmp_path, expecting(expected, given)) is None
