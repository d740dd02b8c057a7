"""R10-R12: refused rows are shown, good days commit, and a day is replaced whole or not at all."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from conversions_assets.contract.conversion import Days
from conversions_assets.contract.materialise import materialise
from conversions_assets.contract.source import QueryError
from conversions_assets.warehouse.base import Statement
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets_tests.shop import Shop, day, order

TEN = "2026-01-10T10:00"
ELEVENTH = "2026-01-11T10:00"
NAN = float("nan")


def _state(shop: Shop) -> list[list[dict[str, Any]]]:
    return [shop.stored(), shop.quarantine(), shop.query("FROM conversions._order_days ORDER BY day")]


def _orders(good: int, refused: int, created: str = TEN) -> list[dict[str, Any]]:
    return [order(f"good{n:02}", created) for n in range(good)] + [
        order(f"bad{n}", created, NAN) for n in range(refused)
    ]


def _params(**pairs: str) -> list[dict[str, str]]:
    # DuckDB takes a dictionary of the keys `key`, `value` for a MAP; names of a STRUCT know no case.
    return [{"KEY": key, "value": value} for key, value in pairs.items()]


# --- R10: quarantine ----------------------------------------------------------------------------------------------


def test_r10_a_refused_row_is_written_with_rule_reason_day_load_and_run(shop: Shop) -> None:
    shop.set_orders([*_orders(19, 0), order("bad", TEN, 5.0, currency="EURO", user_id="u")])
    shop.convert(day("01-10"))
    [row] = shop.quarantine()
    content = json.loads(row.pop("row"))
    assert row == {
        "id": "bad",
        "day": day("01-10"),
        "rule": "R6",
        "reason": "the currency is no ISO 4217 code",
        "crm_load_id": "load-2",
        "run_id": "run-1",
        "quarantined_at": shop.now,
    }
    assert (content["id"], content["currency"], content["user_id"]) == ("bad", "EURO", "u")
    assert content["created"] == "2026-01-10T10:00:00.000000Z"


def test_r10_refused_rows_are_counted_per_day_and_rule(shop: Shop) -> None:
    shop.set_orders([*_orders(0, 2), order("", TEN), *_orders(1, 1, ELEVENTH)])
    result = shop.convert(day("01-10"), day("01-11"))
    counted = [(row["quarantined_rows"], row["quarantined_r6"], row["quarantined_r7"]) for row in result.profile]
    assert counted == [(3, 2, 1), (1, 1, 0)]


def test_r10_every_refused_row_without_an_id_is_written(shop: Shop) -> None:
    shop.set_orders([order(None, TEN, 1.0), order(None, TEN, 2.0), order("", TEN, 3.0)])
    shop.convert(day("01-10"))
    assert sorted(float(json.loads(row["row"])["value"]) for row in shop.quarantine()) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("good", "refused", "fails"), [(19, 1, False), (18, 1, True), (0, 1, True), (0, 0, False)])
def test_r10_more_than_five_percent_refused_rows_fail_the_day(shop: Shop, good: int, refused: int, fails: bool) -> None:
    shop.set_orders(_orders(good, refused))
    result = shop.convert(day("01-10"))
    assert result.failing_days == ({day("01-10")} if fails else set())
    assert len(shop.stored()) == (0 if fails else good)
    assert len(shop.quarantine()) == refused


def test_r10_the_threshold_is_judged_per_day(shop: Shop) -> None:
    shop.set_orders(_orders(2, 1) + _orders(60, 0, ELEVENTH))
    assert shop.convert(day("01-10"), day("01-11")).failing_days == {day("01-10")}


def test_r10_the_threshold_is_a_setting(shop: Shop) -> None:
    thresholds = shop.conversion.project.thresholds.model_copy(update={"quarantined_share": 0.5})
    shop.configure(project=shop.conversion.project.model_copy(update={"thresholds": thresholds}))
    shop.set_orders(_orders(1, 1))
    assert shop.convert(day("01-10")).failing_days == frozenset()


def test_r10_a_day_that_fails_keeps_its_last_good_state_and_shows_what_was_refused(shop: Shop) -> None:
    shop.set_orders(_orders(3, 0))
    shop.convert(day("01-10"))
    good, _, covered = _state(shop)
    shop.set_orders([order("new", TEN), order("bad", TEN, NAN)])
    shop.convert(day("01-10"))
    assert _state(shop)[::2] == [good, covered]
    assert [row["id"] for row in shop.quarantine()] == ["bad"]


def test_r10_a_row_that_is_mended_leaves_the_quarantine(shop: Shop) -> None:
    shop.set_orders(_orders(19, 1))
    shop.convert(day("01-10"))
    shop.set_orders([*_orders(19, 0), order("bad0", TEN, 5.0)])
    shop.convert(day("01-10"))
    assert shop.quarantine() == []
    assert [row["value"] for row in shop.stored() if row["id"] == "bad0"] == [5.0]


def test_r10_a_run_leaves_the_quarantine_of_other_days_alone(shop: Shop) -> None:
    shop.set_orders(_orders(0, 1) + _orders(0, 1, ELEVENTH))
    shop.convert(day("01-10"), day("01-11"))
    shop.set_orders([])
    shop.convert(day("01-11"))
    assert [row["day"] for row in shop.quarantine()] == [day("01-10")]


def test_r10_a_row_that_was_stored_and_is_refused_now_leaves_the_day(shop: Shop) -> None:
    shop.set_orders([*_orders(19, 0), order("x", TEN)])
    shop.convert(day("01-10"))
    shop.set_orders([*_orders(19, 0), order("x", TEN, NAN)])
    shop.convert(day("01-10"))
    assert "x" not in [row["id"] for row in shop.stored()]
    assert [row["id"] for row in shop.quarantine()] == ["x"]


# --- R11: contract before write -----------------------------------------------------------------------------------


def test_r11_good_days_commit_and_failing_days_stay_as_they_were(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("b", ELEVENTH, 1.0)])
    shop.convert(day("01-10"), day("01-11"))
    shop.set_orders(
        [order("a", TEN, 2.0), order("x", TEN, NAN), order("b", ELEVENTH, 2.0), order("c", "2026-01-12T10:00")]
    )
    result = shop.convert(day("01-10"), day("01-12"))
    assert [(row["id"], row["value"], row["run_id"]) for row in shop.stored()] == [
        ("a", 1.0, "run-1"),
        ("b", 2.0, "run-2"),
        ("c", 10.0, "run-2"),
    ]
    assert result.failing_days == {day("01-10")}
    assert result.good_days == [day("01-11"), day("01-12")]


def test_r11_a_failing_day_without_a_good_state_is_not_recorded_as_covered(shop: Shop) -> None:
    shop.set_orders([order("x", TEN, NAN)])
    shop.convert(day("01-10"), day("01-12"))
    covered = shop.query("SELECT day FROM conversions._order_days ORDER BY day")
    assert [row["day"] for row in covered] == [day("01-11"), day("01-12")], "a day without a row is covered too"


def test_r11_the_failed_check_names_the_ids_of_the_failing_days_only(shop: Shop) -> None:
    shop.set_orders([order("x", TEN, NAN), *_orders(19, 1, ELEVENTH)])
    result = shop.convert(day("01-10"), day("01-11"))
    assert result.failing_ids == {"quarantine": ["x"]}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, client_id, created, CAST(value AS STRING) AS value FROM shop.orders",
        "SELECT id, client_id, DATETIME(created) AS created FROM shop.orders",
        "SELECT id, client_id, IF(id = 'b', NULL, created) AS created FROM shop.orders",
        "SELECT id, created FROM shop.orders",
        "SELECT id, client_id, created, status FROM shop.orders",
    ],
    ids=["a wrong type", "a naive created", "a NULL in created", "a missing column", "an unknown column"],
)
def test_r11_an_error_of_the_whole_result_writes_nothing(shop: Shop, sql: str) -> None:
    shop.set_orders([order("a", TEN), order("bad", ELEVENTH, NAN)])
    shop.convert(day("01-10"), day("01-11"))
    before = _state(shop)
    shop.write_sql(sql)
    shop.set_orders([order("b", TEN), order("c", "2026-01-12T10:00"), order("", ELEVENTH)])
    with pytest.raises(QueryError):
        shop.convert(day("01-10"), day("01-12"))
    assert _state(shop) == before


# --- R12: a day is replaced whole ---------------------------------------------------------------------------------


def test_r12_the_same_input_twice_gives_the_same_rows_with_their_run(shop: Shop) -> None:
    params = _params(b="1", A="2")
    orders = [
        *_orders(19, 1),
        order("p", TEN, None, params=params, is_qualified=False),
        order("p", TEN, None, user_id="u"),
    ]
    shop.set_orders(orders)
    shop.convert(day("01-10"), day("01-12"))
    before = _state(shop)
    shop.set_orders(orders[::-1])
    shop.now = datetime(2026, 2, 1, 6, tzinfo=UTC)
    shop.convert(day("01-10"), day("01-12"))
    assert _state(shop) == before


CHANGES: dict[str, dict[str, Any]] = {
    "a value": {"value": 11.0},
    "no value": {"value": None},
    "a client id": {"client_id": "9.9"},
    "no client id": {"client_id": None},
    "a currency": {"currency": "CHF"},
    "qualified": {"is_qualified": False},
    "a user": {"user_id": "u"},
    "params": {"params": _params(a="1")},
    "a microsecond": {"created": datetime(2026, 1, 10, 10, 0, 0, 1, tzinfo=UTC)},
}


def test_r12_only_a_row_that_differs_carries_the_new_run(shop: Shop) -> None:
    shop.set_orders([order("same", TEN), *(order(id, TEN) for id in CHANGES)])
    shop.convert(day("01-10"))
    shop.set_orders([order("same", TEN), *(order(id, TEN) | change for id, change in CHANGES.items())])
    shop.convert(day("01-10"))
    stored = {row["id"]: row for row in shop.stored()}
    assert {id: row["run_id"] for id, row in stored.items()} == {"same": "run-1"} | dict.fromkeys(CHANGES, "run-2")
    changes = CHANGES | {"params": {"params": [{"key": "a", "value": "1"}]}}
    assert all(stored[id] | change == stored[id] for id, change in changes.items())


def test_r12_a_row_that_the_query_returns_no_more_is_gone(shop: Shop) -> None:
    shop.set_orders([order("a", TEN), order("b", TEN)])
    shop.convert(day("01-10"))
    shop.set_orders([order("b", TEN)])
    shop.convert(day("01-10"))
    assert [row["id"] for row in shop.stored()] == ["b"]


class Crashing(DuckDBWarehouse):
    """Dies at the n-th statement of its transaction."""

    n = 0
    left: int | None = None

    def transaction(self) -> Any:
        self.left = self.n
        return super().transaction()

    def execute(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            if self.left == 0:
                raise KeyboardInterrupt
            if self.left is not None:
                self.left -= 1
            super().execute([statement])


@pytest.mark.duckdb_only
def test_r12_a_crash_at_any_statement_of_the_write_leaves_every_table_old(shop: Shop) -> None:
    shop.set_orders([order("a", TEN), order("bad", ELEVENTH, NAN)])
    shop.convert(day("01-10"), day("01-11"))
    before = _state(shop)
    shop.set_orders([order("b", TEN), order("c", "2026-01-12T10:00"), order("bad2", ELEVENTH, NAN)])
    for n in range(6):
        Crashing.n = n
        with Crashing(shop.path) as warehouse, pytest.raises(KeyboardInterrupt):
            materialise(warehouse, shop.conversion, Days(day("01-10"), day("01-12")), shop.run())
        assert _state(shop) == before, f"after a crash at statement {n}"
    shop.convert(day("01-10"), day("01-12"))
    assert [row["id"] for row in shop.stored()] == ["b", "c"]
