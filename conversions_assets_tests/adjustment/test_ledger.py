"""The ledger is append-only, and replaying it gives the published table (R12, R16, R22)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import duckdb
import pytest

from conversions_assets.warehouse.base import WarehouseError
from conversions_assets_tests.adjustment.model import replayed
from conversions_assets_tests.shop import SQL, Shop, day, make_shop, order

DAY = date(2026, 1, 30)
NOON = "2026-01-30T12:00"


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Ten loads over twelve days: every reason, several currencies, NULLs, moves, refused rows, a changed SQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
        shop = make_shop(tmp_path_factory.mktemp("history"), window_days=8)
        _play(shop)
        yield shop


def _play(shop: Shop) -> None:
    steady = [order("steady", "2026-01-20T08:00:00.123456", 5.0), order("free", "2026-01-20T09:00", None, user_id="u")]
    loads = [
        [order("a", "2026-01-20T12:00", 100.0), order("b", "2026-01-20T12:00", 3.0, currency="JPY", client_id=None)],
        [order("a", "2026-01-20T12:00", 80.0), order("b", "2026-01-20T12:00", 3.0, currency="JPY")],
        [order("a", "2026-01-20T12:00", 80.0, currency="USD"), order("b", "2026-01-20T12:00", None, currency="JPY")],
        [order("b", "2026-01-22T12:00", None, currency="JPY"), order("c", "2026-01-23T12:00", 0.1 + 0.2)],
        [
            order("a", "2026-01-20T12:00", 75.5),
            order("b", "2026-01-22T12:00", 4.0),
            order("c", "2026-01-23T12:00", 0.3),
        ],
        [order("a", "2026-01-20T12:00", 75.5, is_qualified=True), order("c", "2026-01-25T12:00", 1e-9)],
        [order("a", "2026-01-20T12:00", 75.5, is_qualified=False), order("c", "2026-01-24T12:00", 7.0)],
        [
            order("a", "2026-01-20T12:00", 1.0),
            order("b", "2026-01-22T12:00", -4.0),
            order("ü ' \" \\", "2026-01-25T12:00"),
        ],
        [order("b", "2026-01-20T12:00", 1234567.89), order("c", "2026-01-24T12:00", 9.0)],
    ]
    for number, rows in enumerate(loads):
        shop.now = datetime(2026, 1, 21 + number, 6, tzinfo=UTC)
        shop.set_orders(steady + rows)
        shop.query("UPDATE shop.orders SET params = [{'key': 'city', 'value': 'Bonn'}] WHERE id IN ('c', 'steady')")
        shop.update(day("01-20"), date(2026, 1, 20 + number))
    shop.write_sql(SQL.replace("created, value,", "created, value / 2 AS value,"))
    shop.now += timedelta(days=1)
    shop.update(day("01-20"), day("01-29"))


def test_r16_replaying_the_ledger_gives_exactly_the_published_table(long_history: Shop) -> None:
    published, ledger = long_history.published(), long_history.ledger()
    assert {entry["reason"] for entry in ledger} == {
        *("PUBLISHED", "VALUE_CHANGED", "CURRENCY_CHANGED", "QUALIFICATION_CHANGED", "ATTRIBUTE_CHANGED"),
        *("MOVED", "VANISHED", "REAPPEARED", "QUERY_CHANGED"),
    }
    replay = replayed(ledger)
    assert replay.keys() == published.keys()
    for id, row in published.items():
        assert list(replay[id]) == list(row)  # every published column
        assert replay[id] == row
    assert published["c"]["params"] == [{"key": "city", "value": "Bonn"}]


def test_r16_each_version_begins_where_the_last_one_ended(long_history: Shop) -> None:
    versions = defaultdict(list)
    for entry in long_history.ledger():
        versions[entry["id"]].append(entry)
    for entries in versions.values():
        assert [entry["version"] for entry in entries] == list(range(1, len(entries) + 1))
        assert (entries[0]["before"], entries[0]["day_before"], entries[0]["reason"]) == (None, None, "PUBLISHED")
        for last, entry in pairwise(entries):
            assert (entry["before"], entry["day_before"]) == (last["after"], last["day_after"])
            assert entry["changed_at"] > last["changed_at"]
        for entry in entries:
            after = json.loads(entry["after"])
            assert (after["day"], after["run_id"]) == (str(entry["day_after"]), entry["run_id"])
            assert (after["id"], after["crm_load_id"]) == (entry["id"], entry["crm_load_id"])


def test_r16_value_deltas_sum_to_the_published_value(long_history: Shop) -> None:
    for id, row in long_history.published().items():
        assert sum(entry["value_delta"] for entry in long_history.ledger(id)) == pytest.approx(row["value"] or 0.0), id


def test_r16_the_ledger_is_append_only(shop: Shop) -> None:
    shop.set_orders([order("a", NOON), order("b", NOON)])
    shop.update(DAY)
    before = shop.ledger()
    shop.set_orders([order("a", NOON, 20.0)])
    shop.update(DAY)
    assert [entry for entry in shop.ledger() if entry["version"] == 1] == before
    assert [(entry["id"], entry["version"], entry["reason"]) for entry in shop.ledger() if entry not in before] == [
        ("a", 2, "VALUE_CHANGED"),
        ("b", 2, "VANISHED"),
    ]


def test_r16_an_entry_names_load_run_and_time(shop: Shop) -> None:
    shop.set_orders([order("a", NOON, 80.0)])
    shop.update(DAY)
    shop.now += timedelta(hours=1)
    shop.set_orders([order("a", NOON, 100.0)])
    shop.update(DAY)
    entry = shop.ledger("a")[-1]
    assert (entry["crm_load_id"], entry["run_id"]) == (f"load-{shop.load}", f"run-{shop.runs}")
    assert (entry["changed_at"], entry["value_delta"], entry["note"]) == (shop.now, 20.0, None)
    assert (entry["day_before"], entry["day_after"]) == (DAY, DAY)


def test_r12_r16_the_same_load_twice_adds_nothing_and_changes_no_row(shop: Shop) -> None:
    rows = [
        order("a", NOON, 80.0, currency="USD", is_qualified=True, user_id="u"),
        order("b", NOON, None, client_id=None),
        order("c", "2026-01-29T12:00", 0.1 + 0.2),
        order("c", NOON, 0.3),
    ]
    shop.set_orders(rows)
    shop.query("UPDATE shop.orders SET params = [{'key': 'City ', 'value': 'Bonn'}, {'key': 'a', 'value': ''}]")
    shop.update(day("01-28"), DAY)
    before = shop.published(), shop.ledger(), shop.drift(), shop.stored()
    for first in ("01-28", "01-30"):
        shop.load += 1
        shop.now += timedelta(hours=1)
        shop.update(day(first), DAY)
        assert (shop.published(), shop.ledger(), shop.drift(), shop.stored()) == before


def test_r16_a_retracted_row_that_stays_away_adds_nothing(shop: Shop) -> None:
    shop.set_orders([order("a", NOON)])
    shop.update(DAY)
    shop.set_orders([])
    shop.update(DAY)
    ledger = shop.ledger()
    shop.update(DAY)
    assert shop.ledger() == ledger


def test_r16_changed_at_rises_strictly_also_when_the_clock_stands_still(shop: Shop) -> None:
    for value in (1.0, 2.0, 3.0, 4.0):
        shop.set_orders([order("a", NOON, value)])
        shop.update(DAY)
    shop.now -= timedelta(hours=3)
    shop.set_orders([order("a", NOON, 5.0)])
    shop.update(DAY)
    times = [entry["changed_at"] for entry in shop.ledger("a")]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert replayed(shop.ledger())["a"] == shop.published()["a"]


@pytest.mark.duckdb_only
def test_r12_a_run_that_fails_while_it_writes_leaves_the_days_as_they_were(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.set_orders([order("a", NOON), order("b", NOON)])
    shop.update(DAY)
    before = shop.published(), shop.ledger(), shop.drift()
    shop.set_orders([order("a", NOON, 20.0)])
    shop.convert(DAY)
    with duckdb.connect(str(shop.path)) as connection:
        # the last statement of the transaction cannot succeed
        connection.execute("ALTER TABLE adjusted._order_days RENAME COLUMN run_id TO other")
    with pytest.raises(WarehouseError):
        shop.adjust(DAY, DAY)
    assert (shop.published(), shop.ledger(), shop.drift()) == before
    with duckdb.connect(str(shop.path)) as connection:
        connection.execute("ALTER TABLE adjusted._order_days RENAME COLUMN other TO run_id")
    shop.adjust(DAY)
    assert [entry["reason"] for entry in shop.ledger()] == ["PUBLISHED", "VALUE_CHANGED", "PUBLISHED", "VANISHED"]
