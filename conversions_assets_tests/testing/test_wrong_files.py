"""Test files that are wrong: each is told with file, line and what to write."""

from pathlib import Path

import pytest

from conversions_assets.testing.casefile import read_case_file
from conversions_assets.testing.document import CaseError
from conversions_assets.testing.run import read_conversion
from conversions_assets_tests.testing.test_cases import DEFS, HEAD, SQL, run

RIGHT = HEAD + '    expect:\n      - {id: "1"}\n'


def test_the_file_from_which_the_wrong_ones_are_made_is_right(tmp_path: Path) -> None:
    assert run(tmp_path, RIGHT) is None


@pytest.mark.parametrize(
    ("written", "instead", "says"),
    [
        # keys
        ("cases:", "case:", "1: `case` is no key of the file|fix: write cases"),
        ("    given:", "    givn:", "3: `givn` is no key of the case|fix: write given"),
        ("    given:", "    weekday: 1\n    given:", "3: `weekday` is no key of the case|write one of name, days"),
        ('{id: "1"}\n', '{id: "1", valeu: 1}\n', "7: `valeu` is no key of an expected row|fix: write value"),
        ("    expect:", "    quarantined: [{id: x, rul: R6}]\n    expect:", "6: `rul` is no key|fix: write rule"),
        ("    given:", "    name: twice\n    given:", "3: `name` is there twice in the case|keep one"),
        ('{id: "1"}\n', '{id: "1", id: "2"}\n', "7: `id` is there twice in an expected row"),
        ("  - name: a case\n    given", "  - given", "2: the case has no `name:`"),
        ('    expect:\n      - {id: "1"}\n', "", "2: the case has no `expect:`|[] stands for no rows"),
        # values
        ("a case", "3", "2: `name` is no line of text"),
        ("    given:", "    days: january\n    given:", "3: `days` is no range of days|[2025-01-01, 2025-01-31]"),
        (
            "    given:",
            "    days: [2025-02-01, 2025-01-01]\n    given:",
            "3: the range of days ends (2025-01-01) before",
        ),
        ("    given:", "    days: [2025-01-01]\n    given:", "3: `days` is no range of days"),
        (
            "    given:",
            "    now: 2025-01-01T06:00:00\n    given:",
            "3: `now` is no time with a zone|2025-02-01T06:00:00Z",
        ),
        ("2025-01-05T10:00:00Z", "2025-02-30T10:00:00Z", "5: `2025-02-30T10:00:00Z`: day is out of range|quotes"),
        ('expect:\n      - {id: "1"}', 'expect: {id: "1"}', "6: expect is no list|[] for none"),
        ('expect:\n      - {id: "1"}', "expect:", "6: expect is no list"),
        ('- {id: "1"}\n', "- one\n", "7: an expected row is no mapping"),
        ('- {id: "1"}\n', "- {value: 1}\n", "7: the expected row has no id"),
        ('- {id: "1"}\n', "- {id: 1}\n", '7: `id` is STRING, and this is a number|write it in quotes: "1"'),
        ('{id: "1"}\n', '{id: "1", client_id: 1.2}\n', '7: `client_id` is STRING, and this is a number|"1.2"'),
        ('{id: "1"}\n', '{id: "1", value: "10"}\n', "7: `value` is FLOAT64, and this is text|write a number"),
        (
            '{id: "1"}\n',
            '{id: "1", is_qualified: 1}\n',
            "7: `is_qualified` is BOOL, and this is a number|true or false",
        ),
        ('{id: "1"}\n', '{id: "1", created: 2025-01-05}\n', "7: `created` is TIMESTAMP, and this is a day|with a zone"),
        ('{id: "1"}\n', '{id: "1", created: 2025-01-05T10:00:00}\n', "this is a time without a zone|with a zone"),
        ('{id: "1"}\n', '{id: "1", day: 2025-01-05T10:00:00Z}\n', "7: `day` is DATE, and this is a time|2025-01-05"),
        ('{id: "1"}\n', '{id: "1", params: {seats: 3}}\n', "7: `params` is ARRAY<|all values text"),
        ("    expect:", "    quarantined: [{rule: R6}]\n    expect:", "6: the quarantined row has no id|null stands"),
        ("    expect:", "    quarantined: [{id: x, rule: six}]\n    expect:", "6: `rule` names no rule|like R6"),
        # tables and columns
        ("shop.orders", "orders", "4: `orders` is no table|write dataset.table"),
        ("shop.orders", "shop.order", "4: order.sql does not read shop.order|fix: write shop.orders"),
        ("total: 10", "totl: 10", "5: shop.orders has no column `totl`|fix: write total"),
        # types of given values
        ('id: "1", client_id', "id: 1, client_id", "5: `id` is STRING: 1 is none|write it in quotes"),
        ("total: 10", 'total: "10"', "5: `total` is FLOAT64: '10' is none|write a number"),
        ("total: 10", "total: true", "5: `total` is FLOAT64: True is none"),
        ("T10:00:00Z", "", "5: `ordered_at` is TIMESTAMP: 2025-01-05 is none|2025-01-05T10:00:00Z"),
        ("00:00Z", "00:00", "5: `ordered_at` is TIMESTAMP: 2025-01-05 10:00:00 is none|with a zone"),
        (
            "total: 10",
            "params: {city: Berlin}",
            "5: `params` is ARRAY<STRUCT<key STRING, value STRING>>: this is no list",
        ),
        ("total: 10", "params: [Berlin]", "this is no mapping|write {key: …, value: …}"),
        ("total: 10", "params: [{key: a, val: b}]", "it has no member `val`|fix: write value"),
        ("total: 10", "params: [{key: a, value: 3}]", "3 is none|write it in quotes"),
        # schema
        ("cases:", "schema: {shop.orders: {total: STRNG}}\ncases:", "1: `STRNG` is no type of BigQuery|FLOAT64"),
        ("cases:", "schema: {shop.orders: {total: 3}}\ncases:", "1: `3` is no type of BigQuery"),
        ("cases:", "schema: {shop.contacts: {id: STRING}}\ncases:", "1: order.sql does not read shop.contacts"),
        ("cases:", "schema: STRING\ncases:", "1: schema is no mapping"),
    ],
)
def test_a_mistake_is_told_with_line_and_fix(tmp_path: Path, written: str, instead: str, says: str) -> None:
    assert written in RIGHT
    message = run(tmp_path, RIGHT.replace(written, instead, 1))
    assert message is not None
    first, *more = says.split("|")
    assert message.startswith("order.test.yaml:")
    assert first in message.splitlines()[0]
    assert "\n  fix: " in message
    assert [text for text in more if text not in message] == []


def test_a_table_that_the_case_leaves_out_is_told(tmp_path: Path) -> None:
    message = run(tmp_path, "cases:\n  - {name: a case, days: 2025-01-05, given: {}, expect: []}\n")
    assert message is not None
    assert message.startswith("order.test.yaml:2: order.sql also reads shop.orders, of which the case says nothing")
    assert "`shop.orders: []` for none" in message


@pytest.mark.parametrize(
    ("total", "says"),
    [
        ('"x"', "6: `total`: it is STRING here and INT64 in a row above"),
        ("2025-01-05", "6: `total`: it is DATE here and INT64 in a row above"),
        ("[1]", "6: `total`: it is ARRAY here and INT64"),
        ("1, totl: 1", "6: order.sql reads no column `totl`"),
    ],
)
def test_values_of_unknown_columns_are_written_alike(tmp_path: Path, total: str, says: str) -> None:
    text = RIGHT.replace("    expect:", f"        - {{id: x, total: {total}}}\n    expect:")
    message = run(tmp_path, text, known={})
    assert message is not None
    assert says in message
    assert "fix: write" in message


def test_with_a_star_the_sql_does_not_tell_which_columns_it_reads(tmp_path: Path) -> None:
    text = RIGHT.replace("total", "value").replace("ordered_at", "created").replace(", status: paid", "")
    assert run(tmp_path, text, "SELECT * FROM shop.orders", known={}) is None
    message = run(tmp_path, text.replace("value", "valeu"), "SELECT * FROM shop.orders", known={})
    assert message is not None
    assert "the column `valeu` is not part of the contract" in message


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    again = RIGHT.removeprefix("cases:\n").replace("&o", "")
    message = run(tmp_path, RIGHT + again)
    assert message is not None
    assert message.startswith("order.test.yaml:8: two cases are named 'a case'")


def test_a_case_without_dates_needs_days(tmp_path: Path) -> None:
    text = "cases:\n  - {name: a case, given: {shop.orders: []}, expect: []}\n"
    message = run(tmp_path, text)
    assert message is not None
    assert message.startswith("order.test.yaml:2: no row of the case holds a date or a time")
    assert "add `days: [2025-01-01, 2025-01-31]`" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "1: the file is empty"),
        (b"# nothing\n", "1: the file is empty"),
        (b"cases: []\n", "1: `cases` is empty"),
        (b"schema: {}\n", "1: the file has no `cases:`"),
        (b"- a\n", "1: the file is no mapping"),
        (b"cases:\n\t- name: x\n", "2: this is no YAML"),
        (b"cases:\n  - {name: x\n  - y", "3: this is no YAML"),
        (b"cases:\n  - name: {{ x }}\n", "2: "),
        (b"cases:\n- *gone\n", "2: this is no YAML"),
        (b"cases: []\n---\ncases: []\n", "this is no YAML"),
        (b"cases:\n  - name: \xff\n", "2: the file is not UTF-8 text"),
        (b"cases: \x00\n", "1: this is no YAML"),
        (b"cases: &a\n  - <<: *a\n", "1: an anchor contains itself"),
        (b"cases:\n  - &a {name: x, given: {s.t: [*a]}, expect: []}\n", ": "),
        (b"cases:\n  - &a {<<: *a, name: x}\n", "1: an anchor contains itself"),
        (b"[" * 5000, "1: this is no YAML"),
        (b"cases:\n  - {? [a] : b}\n", "2: a key of the case is no word"),
        (b"cases: !!python/object/apply:os.getcwd []\n", "1: `cases` is empty"),
        (b"cases:\n  - {name: x, given: {s.t: [{a: !!python/object/apply:os.getcwd []}]}, expect: []}\n", "2: "),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "order.test.yaml"
    path.write_bytes(content)
    with pytest.raises(CaseError) as caught:
        read_case_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert says in message
    assert "\n  fix: " in message


def test_a_bom_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    assert run(tmp_path, "\ufeff" + RIGHT.replace("\n", "\r\n")) is None


@pytest.mark.parametrize(
    ("defs", "says"),
    [
        ("type: x\n", "defs.yaml:1: there is no `query:` under `attributes:`"),
        ("- a\n", "defs.yaml:1: there is no `query:` under `attributes:`"),
        ("a: [\n", "defs.yaml:1: this cannot be read"),
        (DEFS + "  dedup: newest\n", "defs.yaml:1: dedup: 'newest' cannot be"),
    ],
)
def test_a_defs_yaml_that_names_no_query_is_told(tmp_path: Path, defs: str, says: str) -> None:
    (tmp_path / "order.sql").write_text(SQL, encoding="utf-8")
    (tmp_path / "defs.yaml").write_text(defs, encoding="utf-8")
    with pytest.raises(CaseError) as caught:
        read_conversion(tmp_path)
    assert says in str(caught.value)
    assert "\n  fix: " in str(caught.value)


def test_the_query_is_the_one_that_defs_yaml_runs_also_beside_other_documents(tmp_path: Path) -> None:
    (tmp_path / "other.sql").write_text(SQL, encoding="utf-8")
    (tmp_path / "defs.yaml").write_text(f"type: a.B\n---\n{DEFS.replace('order.sql', 'other.sql')}", encoding="utf-8")
    assert read_conversion(tmp_path).query.path == tmp_path / "other.sql"
