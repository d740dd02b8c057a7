"""R19: no retraction on the word of a load that looks incomplete."""

from datetime import UTC, datetime
from typing import Any

import pytest

from conversions_assets.adjustment.guard import IncompleteLoadError
from conversions_assets.project import Project, Thresholds
from conversions_assets.warehouse.base import Table, WarehouseError
from conversions_assets.warehouse.raw import RawTable
from conversions_assets_tests.shop import SQL, Shop, day, order

FIRST, LAST = day("01-21"), day("01-30")
ORDERS = Table("shop", "orders")


def orders(count: int, cancelled: int = 0) -> list[dict[str, Any]]:
    """One row per id, ten days around; the first of them cancelled, which is no change of the raw row count."""
    return [
        order(
            f"o{n}",
            datetime(2026, 1, 21 + n % 10, 12, tzinfo=UTC),
            status="cancelled" if n < cancelled else "confirmed",
        )
        for n in range(count)
    ]


@pytest.fixture
def guarded(shop: Shop) -> Shop:
    """The shop with the guard as a deployment has it."""
    shop.configure(project=Project(timezone="UTC", currency="EUR"))
    return shop


def state(shop: Shop) -> list[Any]:
    tables = ("order", "order_changes", "order_drift", "_order_days", "_order_raw_rows")
    return [sorted(map(str, shop.query(f'FROM adjusted."{table}"'))) for table in tables]


def retracted(shop: Shop) -> int:
    return sum(row["status"] == "RETRACTED" for row in shop.published().values())


@pytest.mark.parametrize(
    ("count", "gone", "stops"), [(60, 20, False), (60, 21, True), (150, 30, False), (150, 31, True)]
)
def test_r19_more_than_20_rows_and_20_percent_must_not_vanish_at_once(
    guarded: Shop, count: int, gone: int, stops: bool
) -> None:
    guarded.set_orders(orders(count))
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(count, cancelled=gone))
    guarded.convert(FIRST, LAST)
    before = state(guarded)
    if not stops:
        guarded.adjust(FIRST, LAST)
        assert retracted(guarded) == gone
        return
    with pytest.raises(IncompleteLoadError, match=f"{gone} of {count} ids of the window would vanish at once"):
        guarded.adjust(FIRST, LAST)
    assert state(guarded) == before
    with pytest.raises(IncompleteLoadError):  # a rerun of a stopped load stops again
        guarded.update(FIRST, LAST)
    assert state(guarded) == before


@pytest.mark.parametrize(("left", "stops"), [(40, False), (39, True)])
def test_r19_the_raw_rows_must_not_fall_by_more_than_20_percent(guarded: Shop, left: int, stops: bool) -> None:
    guarded.set_orders(orders(50))
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(50)[-left:])
    guarded.convert(FIRST, LAST)
    if not stops:
        guarded.adjust(FIRST, LAST)
        assert retracted(guarded) == 50 - left
        return
    before = state(guarded)
    with pytest.raises(IncompleteLoadError, match=r"shop\.orders has 39 rows, 22% fewer than the 50") as stopped:
        guarded.adjust(FIRST, LAST)
    assert "under `release`" in str(stopped.value)
    assert state(guarded) == before
    guarded.set_orders(orders(50))  # the load comes again, whole
    guarded.update(FIRST, LAST)
    assert retracted(guarded) == 0


def test_r19_the_guard_stops_the_whole_run_also_what_changed_otherwise(guarded: Shop) -> None:
    guarded.set_orders(orders(50))
    guarded.update(FIRST, LAST)
    changed = [row | {"value": 99.0} for row in orders(30)]
    guarded.set_orders(changed)
    guarded.convert(FIRST, LAST)
    before = state(guarded)
    with pytest.raises(IncompleteLoadError):
        guarded.adjust(FIRST, LAST)
    assert state(guarded) == before


def test_r19_it_trips_only_when_something_would_be_retracted(guarded: Shop) -> None:
    old = [order(f"old{n}", "2025-06-01T12:00") for n in range(50)]
    guarded.set_orders(orders(10) + old)
    guarded.update(FIRST, LAST)
    guarded.set_orders([row | {"value": 99.0} for row in orders(10)])  # the CRM archived what is old
    guarded.update(FIRST, LAST)
    assert {row["value"] for row in guarded.published().values()} == {99.0}
    guarded.set_orders(orders(10, cancelled=1))  # the baseline is the count of the last run that wrote
    guarded.update(FIRST, LAST)
    assert retracted(guarded) == 1


def test_r19_a_person_releases_the_run_with_a_reason_that_the_ledger_keeps(guarded: Shop) -> None:
    guarded.set_orders(orders(50))
    guarded.update(FIRST, LAST)
    guarded.set_orders([row | {"value": 99.0} for row in orders(30)])
    with pytest.raises(IncompleteLoadError):
        guarded.update(FIRST, LAST)
    guarded.update(FIRST, LAST, release="the shop in Bonn was sold")
    notes = {entry["reason"]: entry["note"] for entry in guarded.ledger() if entry["version"] == 2}
    assert notes == {"VANISHED": "the shop in Bonn was sold", "VALUE_CHANGED": None}
    assert retracted(guarded) == 20
    guarded.set_orders(orders(30, cancelled=1))  # what was released is the new baseline
    guarded.update(FIRST, LAST)


def test_r19_a_release_that_was_not_needed_leaves_no_note(guarded: Shop) -> None:
    guarded.set_orders(orders(50))
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(50, cancelled=1))
    guarded.update(FIRST, LAST, release="to be safe")
    assert {entry["note"] for entry in guarded.ledger()} == {None}


def test_r19_rows_that_the_crm_flags_as_deleted_need_no_guard(guarded: Shop) -> None:
    guarded.write_sql(
        SQL.replace("WHERE status", "WHERE user_id IS NULL AND status")
        .replace("SELECT id,", "SELECT o.id,")
        .replace("shop.orders", "shop.orders AS o")
    )
    guarded.raw_tables = {ORDERS: RawTable(ORDERS, deleted="is_qualified")}
    guarded.set_orders(orders(60))
    guarded.update(FIRST, LAST)
    flagged = [row | ({"user_id": "x", "is_qualified": True} if n < 40 else {}) for n, row in enumerate(orders(60))]
    guarded.set_orders(flagged)
    guarded.update(FIRST, LAST)
    assert retracted(guarded) == 40
    guarded.set_orders([row | {"user_id": "x"} for row in flagged])
    guarded.update(FIRST, LAST)  # 20 more: just allowed
    assert retracted(guarded) == 60


def test_r19_without_a_flag_in_the_row_the_same_rows_are_guarded(guarded: Shop) -> None:
    guarded.raw_tables = {ORDERS: RawTable(ORDERS, deleted="is_qualified")}
    guarded.set_orders(orders(60))
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(60, cancelled=40))
    with pytest.raises(IncompleteLoadError, match="40 of 60"):
        guarded.update(FIRST, LAST)


@pytest.mark.parametrize("marked", [False, None])
def test_r19_nothing_is_retracted_before_the_newest_load_is_complete(guarded: Shop, marked: bool | None) -> None:
    raw = RawTable(ORDERS, load_id="loads.load_id", complete="complete")
    guarded.raw_tables = {ORDERS: raw}
    guarded.set_orders(orders(10))
    guarded.query("CREATE TABLE shop.loads AS SELECT 'L1' AS load_id, TRUE AS complete")
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(10, cancelled=1))
    guarded.query(f"INSERT INTO shop.loads VALUES ('L2', {'NULL' if marked is None else 'FALSE'})")
    with pytest.raises(IncompleteLoadError, match=r"the newest load of shop\.orders is not complete"):
        guarded.update(FIRST, LAST)
    guarded.query("UPDATE shop.loads SET complete = TRUE")
    guarded.update(FIRST, LAST)
    assert retracted(guarded) == 1


def test_r19_a_marker_that_is_not_there_is_named(guarded: Shop) -> None:
    guarded.raw_tables = {ORDERS: RawTable(ORDERS, load_id="user_id", complete="done")}
    with pytest.raises(
        WarehouseError, match=r"shop\.orders has no column `done`, which its defs.yaml declares as complete"
    ):
        guarded.update(FIRST, LAST)


def test_r19_limits_are_settings(guarded: Shop) -> None:
    limits = Thresholds(raw_rows_fall=0.5, vanished_rows=2, vanished_share=0.1)
    guarded.configure(project=Project(timezone="UTC", currency="EUR", thresholds=limits))
    guarded.set_orders(orders(10))
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(10)[:8])
    guarded.update(FIRST, LAST)
    guarded.set_orders(orders(8)[:5])
    with pytest.raises(IncompleteLoadError, match="3 of 8 ids of the window would vanish at once"):
        guarded.update(FIRST, LAST)
