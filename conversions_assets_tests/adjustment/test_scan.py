"""Which days a scan finds and what is rerun (R23)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from conversions_assets.adjustment.scan import Scan
from conversions_assets.contract.conversion import Days
from conversions_assets.project import Project
from conversions_assets_tests.shop import SQL, Shop, day, order

R = datetime(2026, 1, 31, 6, tzinfo=UTC)  # W = 10: the window is 01-21 … 01-30
FIRST, LAST = day("01-01"), day("01-30")


def start(shop: Shop, *rows: dict[str, Any], start_date: date = FIRST) -> None:
    """The rows are published over all closed days on the 31st of January."""
    shop.configure(start_date=start_date)
    shop.set_orders(rows)
    shop.update(start_date, LAST)


def scanned(shop: Shop) -> Scan:
    found = shop.scan()
    assert found is not None
    return found


def rerun(shop: Shop, found: Scan) -> None:
    """What the automation does with a scan."""
    for days in found.publish:
        shop.adjust(days.first, days.last)
    for days in found.convert:
        shop.update(days.first, days.last)


def span(first: str, last: str | None = None) -> Days:
    return Days(day(first), day(last or first))


A, B = order("a", "2026-01-22T12:00", 10.0), order("b", "2026-01-27T12:00", 20.0)


# --- Nothing changed -------------------------------------------------------------------------------------------------


@pytest.mark.both_engines
def test_r23_a_load_that_changes_nothing_asks_for_nothing(shop: Shop) -> None:
    start(shop, A, B)
    shop.set_orders([B, A])
    found = scanned(shop)
    assert (found.found, found.convert, found.publish) == ([], [], [])
    assert found.days == span("01-21", "01-30")
    assert found.rows == 2
    assert found.sentence == "all 10 days of the window are what the CRM says"


def test_r23_params_in_another_order_and_the_noise_of_floats_are_no_change(shop: Shop) -> None:
    params = [{"key": "city", "value": "Bonn"}, {"key": "plan", "value": "pro"}]
    start(shop, order("a", "2026-01-22T12:00", 0.3, params=params))
    shop.set_orders([order("a", "2026-01-22T12:00", 0.1 + 0.2, params=params[::-1])])
    assert scanned(shop).found == []


def test_r23_frozen_days_are_not_scanned(shop: Shop) -> None:
    start(shop, order("a", "2026-01-20T12:00"))
    shop.set_orders([])
    assert scanned(shop).found == []


def test_r23_a_scan_writes_nothing(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([B])
    before = shop.stored(), shop.published(), shop.query("SELECT * FROM adjusted._order_days ORDER BY day")
    scanned(shop)
    assert before == (shop.stored(), shop.published(), shop.query("SELECT * FROM adjusted._order_days ORDER BY day"))


# --- Each field that changes is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"value": 10.01},
        {"value": None},
        {"currency": "USD"},
        {"is_qualified": False},
        {"client_id": "9.9"},
        {"user_id": "u"},
        {"params": [{"key": "city", "value": "Bonn"}]},
        {"created": datetime(2026, 1, 22, 12, 0, 0, 1, tzinfo=UTC)},
        {"status": "cancelled"},
        {"currency": "???"},  # quarantined
    ],
    ids=lambda change: next(iter(change)),
)
def test_r23_a_change_of_any_field_is_found_on_its_day_alone(shop: Shop, change: dict[str, Any]) -> None:
    start(shop, A, B)
    shop.set_orders([A | change, B])
    found = scanned(shop)
    assert found.changed == [day("01-22")]
    assert (found.convert, found.publish, found.missing) == ([span("01-22")], [], [])
    rerun(shop, found)
    assert scanned(shop).found == []


@pytest.mark.parametrize(("currency", "step"), [("EUR", 0.005), ("JPY", 0.5), ("KWD", 0.0005), ("CLF", 0.00005)])
def test_r23_half_a_minor_unit_is_always_found(shop: Shop, currency: str, step: float) -> None:
    """Also where both values round to the same minor unit."""
    before, after = (order("a", "2026-01-22T12:00", 10 + step * n, currency=currency) for n in (1.05, 2.9))
    start(shop, before)
    shop.set_orders([after])
    assert scanned(shop).changed == [day("01-22")]


def test_r23_values_too_large_for_minor_units_are_compared_as_they_are(shop: Shop) -> None:
    start(shop, order("a", "2026-01-22T12:00", 1e300))
    assert scanned(shop).found == []
    shop.set_orders([order("a", "2026-01-22T12:00", 2e300)])
    assert scanned(shop).changed == [day("01-22")]


def test_r23_a_refused_row_that_vanishes_is_found(shop: Shop) -> None:
    """Refused rows are no conversions, but the published row waits for theirs (R18)."""
    start(shop, A)
    shop.set_orders([A | {"currency": "???"}])
    rerun(shop, scanned(shop))
    assert shop.published()["a"]["status"] == "ACTIVE"
    shop.set_orders([])
    rerun(shop, scanned(shop))
    assert shop.published()["a"]["status"] == "RETRACTED"
    assert scanned(shop).found == []


# --- The hull --------------------------------------------------------------------------------------------------------


def test_r23_the_hull_of_the_changed_days_is_rerun_in_one_run(shop: Shop) -> None:
    start(shop, A, B)
    shop.set_orders([A | {"value": 11.0}, B | {"value": 21.0}])
    found = scanned(shop)
    assert found.changed == [day("01-22"), day("01-27")]
    assert found.convert == [span("01-22", "01-27")]
    assert found.requested == span("01-22", "01-27").all()
    assert found.sentence == "2 days changed and 0 were never published: rerun of 2026-01-22 to 2026-01-27"
    rerun(shop, found)
    assert [row["value"] for row in shop.published().values()] == [11.0, 21.0]
    assert scanned(shop).found == []


def test_r23_the_days_are_local_days_also_where_the_clock_changes(shop: Shop) -> None:
    shop.configure(project=Project(timezone="Europe/Berlin"))
    shop.now = datetime(2026, 4, 2, 6, tzinfo=UTC)
    row = order("a", datetime(2026, 3, 28, 23, 30, tzinfo=UTC))  # 00:30 of the 29th, a day of 23 hours
    shop.configure(start_date=day("03-20"))
    shop.set_orders([row])
    shop.update(day("03-20"), day("04-01"))
    shop.set_orders([row | {"value": 11.0}])
    assert scanned(shop).convert == [span("03-29")]


def test_r23_an_id_that_moves_its_day_changes_both_days(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([A | {"created": datetime(2026, 1, 25, 12, tzinfo=UTC)}])
    found = scanned(shop)
    assert found.changed == [day("01-22"), day("01-25")]
    rerun(shop, found)
    assert shop.published()["a"]["day"] == day("01-25")
    assert scanned(shop).found == []


def test_r23_a_run_by_hand_over_half_of_a_move_is_completed(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([A | {"created": datetime(2026, 1, 25, 12, tzinfo=UTC)}])
    shop.update(day("01-22"))
    assert shop.published()["a"]["day"] == day("01-22")
    rerun(shop, scanned(shop))
    assert shop.published()["a"]["day"] == day("01-25")


def test_r23_an_id_that_stays_on_its_other_day_moves_there(shop: Shop) -> None:
    """The other day is as it was: only the row's home changed."""
    later = A | {"created": datetime(2026, 1, 25, 12, tzinfo=UTC)}
    start(shop, A, later)
    shop.set_orders([later])
    for _ in range(2):
        rerun(shop, scanned(shop))
    assert shop.published()["a"]["day"] == day("01-25")
    assert shop.published()["a"]["status"] == "ACTIVE"
    assert scanned(shop).found == []


def test_r23_a_row_that_waits_for_the_open_day_and_then_vanishes_is_found(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([A | {"created": datetime(2026, 1, 31, 5, tzinfo=UTC)}])
    rerun(shop, scanned(shop))
    assert shop.published()["a"]["status"] == "ACTIVE"
    assert scanned(shop).found == []
    shop.set_orders([])
    found = scanned(shop)
    assert (found.convert, found.publish) == ([], [span("01-22")])
    rerun(shop, found)
    assert shop.published()["a"]["status"] == "RETRACTED"
    assert scanned(shop).found == []


# --- Runs that failed, were killed or started by hand ----------------------------------------------------------------


def test_r23_what_conversions_hold_and_adjusted_has_not_applied_is_published(shop: Shop) -> None:
    """R11: a run that failed after the good days were stored, or was killed between the two assets."""
    start(shop, A, B)
    shop.set_orders([A | {"value": 11.0}, B | {"value": 21.0}])
    shop.convert(day("01-22"))  # 01-27 failed its contract and stayed as it was
    found = scanned(shop)
    assert found.publish == [span("01-22")]
    assert found.convert == [span("01-27")]
    rerun(shop, found)
    assert [row["value"] for row in shop.published().values()] == [11.0, 21.0]
    assert scanned(shop).found == []


def test_r23_a_failing_day_is_found_again_and_holds_up_no_other(shop: Shop) -> None:
    start(shop, A)
    shop.now = R + timedelta(days=3)
    shop.convert(day("01-31"))
    shop.convert(day("02-02"))  # 02-01 failed its contract
    for _ in range(2):
        found = scanned(shop)
        assert found.missing == [day("01-31"), day("02-01"), day("02-02")]
        assert found.convert == [span("02-01")]
        assert found.publish == [span("01-31"), span("02-02")]
    for days in found.publish:
        shop.adjust(days.first, days.last)
    again = scanned(shop)
    assert (again.missing, again.convert, again.publish) == ([day("02-01")], [span("02-01")], [])


def test_r23_a_state_that_only_conversions_saw_is_corrected(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([A | {"value": 11.0}])
    shop.convert(day("01-22"))
    shop.set_orders([A])
    found = scanned(shop)
    assert found.convert == [span("01-22")]
    rerun(shop, found)
    assert [row["value"] for row in shop.stored()] == [10.0]
    assert len(shop.ledger("a")) == 1


def test_r23_two_loads_before_a_scan_are_one_change(shop: Shop) -> None:
    start(shop, A, B)
    shop.set_orders([A | {"value": 11.0}, B])
    shop.set_orders([A | {"value": 12.0}, B | {"value": 21.0}])
    rerun(shop, scanned(shop))
    assert [row["reason"] for row in shop.ledger("a")] == ["PUBLISHED", "VALUE_CHANGED"]
    assert shop.published()["a"]["value"] == 12.0


def test_r23_a_load_between_the_two_assets_of_a_run_is_found_by_the_next_scan(shop: Shop) -> None:
    start(shop, A)
    shop.set_orders([A | {"value": 11.0}])
    shop.convert(day("01-22"))
    shop.set_orders([A | {"value": 12.0}])
    shop.adjust(day("01-22"))
    assert shop.published()["a"]["value"] == 11.0
    rerun(shop, scanned(shop))
    assert shop.published()["a"]["value"] == 12.0


# --- Days that were never published ----------------------------------------------------------------------------------


def test_r23_the_day_that_closed_is_missing_also_without_a_row(shop: Shop) -> None:
    start(shop, A)
    shop.now = R + timedelta(days=1)
    found = scanned(shop)
    assert (found.missing, found.convert) == ([day("01-31")], [span("01-31")])
    rerun(shop, found)
    assert scanned(shop).found == []


def test_r23_older_days_that_were_never_published_are_asked_for(shop: Shop) -> None:
    start(shop, A, start_date=day("01-10"))
    shop.configure(start_date=day("01-05"))
    found = scanned(shop)
    assert found.convert == [span("01-05", "01-09")]
    rerun(shop, found)
    assert scanned(shop).found == []


def test_r23_an_older_day_that_fails_holds_up_no_other(shop: Shop) -> None:
    start(shop, A, start_date=day("01-10"))
    shop.configure(start_date=day("01-05"))
    shop.convert(day("01-05"), day("01-06"))
    shop.convert(day("01-08"), day("01-09"))  # 01-07 failed its contract
    assert scanned(shop).convert == [span("01-05", "01-06"), span("01-07"), span("01-08", "01-09")]


def test_r23_without_a_window_only_days_never_published_are_asked_for(shop: Shop) -> None:
    shop.configure(window_days=0)
    start(shop, order("a", "2026-01-30T12:00"))
    shop.set_orders([order("a", "2026-01-30T12:00", 99.0)])
    found = scanned(shop)
    assert (found.days, found.found) == (None, [])
    shop.now = R + timedelta(days=2)
    assert scanned(shop).convert == [span("01-31", "02-01")]


def test_r33_never_published_conversions_ask_for_nothing(shop: Shop) -> None:
    shop.set_orders([A])
    assert shop.scan() is None
    shop.convert(day("01-22"))
    assert shop.scan() is None


# --- Over time -------------------------------------------------------------------------------------------------------


def test_r31_a_larger_window_scans_no_day_that_was_frozen(shop: Shop) -> None:
    start(shop, order("a", "2026-01-15T12:00"))
    shop.configure(window_days=30)
    shop.set_orders([])
    assert scanned(shop).days == span("01-21", "01-30")


def test_r31_a_changed_query_is_found_where_its_rows_differ(shop: Shop) -> None:
    start(shop, A, B)
    shop.write_sql(SQL.replace("value,", "IF(id = 'b', value * 2, value) AS value,"))
    assert scanned(shop).convert == [span("01-27")]


@pytest.mark.duckdb_only
def test_r23_tables_of_an_older_version_get_their_column_and_are_rerun_once(shop: Shop) -> None:
    start(shop, A)
    with duckdb.connect(str(shop.path)) as connection:
        for table in ("conversions._order_days", "adjusted._order_days"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN fingerprint")
    from conversions_assets_tests.adjustment.conftest import QuickWarehouse

    QuickWarehouse.made.clear()
    found = scanned(shop)
    assert found.convert == [span("01-21", "01-30")]
    rerun(shop, found)
    assert scanned(shop).found == []
    assert len(shop.ledger()) == 1


def test_r23_r17_a_later_sighting_moves_the_row_by_a_run_over_its_new_day_alone(shop: Shop) -> None:
    shop.configure(dedup="latest")
    start(shop, A)
    shop.set_orders([A, A | {"created": datetime(2026, 1, 28, 12, tzinfo=UTC)}])
    found = scanned(shop)
    # the old day returns what it did before
    assert (found.convert, found.publish) == ([span("01-28")], [])
    rerun(shop, found)
    assert shop.published()["a"]["day"] == day("01-28")
    assert scanned(shop).requested == []
