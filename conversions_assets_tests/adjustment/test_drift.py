"""How frozen days differ from the CRM: the drift report and its audit (R21, R23)."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conversions_assets.project import Project, Thresholds
from conversions_assets_tests.adjustment.model import as_text
from conversions_assets_tests.shop import Shop, day, order

R = datetime(2026, 1, 31, 6, tzinfo=UTC)  # W = 10: the window is 01-21 … 01-30
OLD = "2026-01-05T12:00"
FROZEN = day("01-05")


def freeze(shop: Shop, *rows: Mapping[str, Any], last: str = "01-10") -> None:
    """The rows are published over 01-01 … last on the day after it; then it is the 31st of January."""
    shop.set_orders(rows)
    shop.now = datetime.combine(day(last) + timedelta(days=1), R.timetz())
    shop.update(day("01-01"), day(last))
    shop.now = R


def drift(shop: Shop, *names: str) -> list[tuple[Any, ...]]:
    rows = [row | {name: as_text(row[name]) for name in ("frozen_value", "crm_value")} for row in shop.drift()]
    return [tuple(row[name] for name in names) for row in rows]


# --- What is listed --------------------------------------------------------------------------------------------------


def test_r21_one_row_per_differing_field(shop: Shop) -> None:
    freeze(shop, order("a", OLD, 10.0, currency="EUR", is_qualified=None))
    shop.set_orders([order("a", OLD, 25.0, currency="USD", is_qualified=False, client_id="9.9", user_id="u")])
    shop.update(FROZEN)
    assert drift(shop, "id", "day", "kind", "field", "frozen_value", "crm_value") == [
        ("a", FROZEN, "VALUE", "currency", "EUR", "USD"),
        ("a", FROZEN, "VALUE", "is_qualified", None, "false"),
        ("a", FROZEN, "VALUE", "value", "10.0", "25.0"),
    ]
    assert drift(shop, "value_delta") == [(0.0,), (0.0,), (15.0,)]
    assert {row["seen_at"] for row in shop.drift()} == {R}


@pytest.mark.parametrize(
    ("now", "kind", "field", "delta"),
    [
        ([order("a", OLD, 4.0)], "VALUE", "value", -6.0),
        ([order("a", OLD, None)], "VALUE", "value", -10.0),
        ([], "VANISHED", "value", -10.0),
        ([order("a", "2026-01-07T12:00")], "MOVED", "day", 0.0),
        ([order("a", OLD), order("new", OLD, 7.0)], "NEW_LATE", "value", 7.0),
        ([order("a", OLD), order("new", OLD, None)], "NEW_LATE", "value", 0.0),
    ],
)
def test_r21_each_kind_with_its_delta(
    shop: Shop, now: list[dict[str, Any]], kind: str, field: str, delta: float
) -> None:
    freeze(shop, order("a", OLD, 10.0))
    shop.set_orders(now)
    shop.update(day("01-01"), day("01-10"))
    assert drift(shop, "kind", "field", "value_delta", "day") == [(kind, field, delta, FROZEN)]


def test_r21_new_late_names_the_day_of_created_and_its_own_currency(shop: Shop) -> None:
    freeze(shop)
    shop.set_orders([order("new", "2026-01-07T12:00", 7.0, currency="USD")])
    shop.update(day("01-07"))
    assert drift(shop, "id", "day", "frozen_value", "crm_value", "currency") == [
        ("new", day("01-07"), None, "7.0", "USD")
    ]


def test_r21_less_than_half_a_minor_unit_is_no_drift(shop: Shop) -> None:
    freeze(shop, order("a", OLD, 10.0), order("yen", OLD, 10.0, currency="JPY"))
    shop.set_orders([order("a", OLD, 10.004), order("yen", OLD, 10.4, currency="JPY")])
    shop.update(FROZEN)
    assert shop.drift() == []
    shop.set_orders([order("a", OLD, 10.005), order("yen", OLD, 10.5, currency="JPY")])
    shop.update(FROZEN)
    assert drift(shop, "id", "field") == [("a", "value"), ("yen", "value")]


def test_r21_a_row_retracted_before_it_was_frozen_has_no_drift(shop: Shop) -> None:
    freeze(shop, order("a", OLD))
    shop.now = datetime(2026, 1, 12, tzinfo=UTC)
    shop.set_orders([])
    shop.update(FROZEN)
    shop.now = R
    shop.update(FROZEN)
    shop.audit()
    assert (shop.published()["a"]["status"], shop.drift()) == ("RETRACTED", [])


def test_r21_sums_per_kind_and_currency(shop: Shop) -> None:
    freeze(shop, order("a", OLD), order("b", OLD), order("usd", OLD, currency="USD"))
    shop.set_orders([order("a", OLD, 11.0), order("b", OLD, 12.0, is_qualified=True)])
    result = shop.update(FROZEN)
    assert [dict(row) for row in result.drift] == [
        {"kind": "VALUE", "currency": "EUR", "row_count": 3, "ids": 2, "value_delta": 3.0},
        {"kind": "VANISHED", "currency": "USD", "row_count": 1, "ids": 1, "value_delta": -10.0},
    ]


# --- What a run replaces ---------------------------------------------------------------------------------------------


def test_r21_a_run_replaces_the_rows_of_its_days_and_leaves_the_others(shop: Shop) -> None:
    freeze(shop, order("a", OLD), order("b", "2026-01-07T12:00"))
    shop.set_orders([order("a", OLD, 11.0), order("b", "2026-01-07T12:00", 12.0)])
    shop.update(day("01-01"), day("01-10"))
    shop.now += timedelta(hours=1)
    shop.set_orders([order("a", OLD, 13.0), order("b", "2026-01-07T12:00", 14.0)])
    shop.update(FROZEN)
    assert drift(shop, "id", "crm_value", "seen_at") == [("a", "13.0", shop.now), ("b", "12.0", R)]


def test_r21_drift_that_is_still_the_same_is_not_written_again(shop: Shop) -> None:
    freeze(shop, order("a", OLD), order("b", OLD))
    shop.set_orders([order("a", OLD, 11.0), order("new", OLD)])
    shop.update(FROZEN)
    first = shop.drift()
    shop.now += timedelta(hours=1)
    shop.update(day("01-01"), day("01-30"))
    shop.audit()
    assert shop.drift() == first


def test_r21_a_late_row_that_changes_only_its_currency_is_written_again(shop: Shop) -> None:
    freeze(shop)
    for currency in ("EUR", "USD"):
        shop.set_orders([order("new", OLD, 7.0, currency=currency)])
        shop.update(FROZEN)
        assert drift(shop, "id", "kind", "crm_value", "currency") == [("new", "NEW_LATE", "7.0", currency)]


@pytest.mark.parametrize(
    "differs",
    [[], [order("a", OLD, 11.0)], [order("a", "2026-01-07T12:00", 11.0)], [order("a", OLD), order("new", OLD)]],
)
@pytest.mark.parametrize("by", ["update", "audit"])
def test_r21_drift_disappears_when_the_crm_goes_back(shop: Shop, differs: list[dict[str, Any]], by: str) -> None:
    freeze(shop, order("a", OLD))
    for rows, expected in ((differs, True), ([order("a", OLD)], False)):
        shop.set_orders(rows)
        if by == "update":
            shop.update(day("01-01"), day("01-10"))
        else:
            shop.audit()
        assert bool(shop.drift()) is expected


def test_r21_a_moved_row_belongs_to_the_day_where_the_query_sees_it(shop: Shop) -> None:
    freeze(shop, order("a", OLD))
    shop.set_orders([order("a", "2026-01-07T12:00", 11.0)])
    shop.update(day("01-07"))
    listed = [("MOVED", FROZEN), ("VALUE", FROZEN)]
    assert drift(shop, "kind", "day") == listed
    shop.set_orders([order("a", OLD)])
    shop.update(FROZEN)
    assert drift(shop, "kind", "day") == listed  # the day of the sighting was not covered
    shop.update(day("01-07"))
    assert shop.drift() == []


def test_r21_a_late_id_that_changes_its_frozen_day_is_replaced_day_by_day(shop: Shop) -> None:
    freeze(shop)
    for seen in ("01-05", "01-07"):
        shop.set_orders([order("new", f"2026-{seen}T12:00", 7.0)])
        shop.update(day(seen))
    assert drift(shop, "kind", "day") == [("NEW_LATE", FROZEN), ("NEW_LATE", day("01-07"))]
    shop.set_orders([])
    shop.update(day("01-07"))
    assert drift(shop, "kind", "day") == [("NEW_LATE", FROZEN)]  # only a run that covers a day replaces its rows
    shop.update(FROZEN)
    assert shop.drift() == []


def test_r21_a_value_found_at_home_outlives_the_row_of_a_move_that_was_taken_back(shop: Shop) -> None:
    freeze(shop, order("a", OLD))
    for seen in ("01-07", "01-05"):  # it moves and comes back, its value stays another
        shop.set_orders([order("a", f"2026-{seen}T12:00", 11.0)])
        shop.update(day(seen))
    shop.update(day("01-07"))
    assert drift(shop, "kind", "field", "crm_value") == [("VALUE", "value", "11.0")]


# --- The audit -------------------------------------------------------------------------------------------------------


def test_r23_the_audit_lists_exactly_the_frozen_differences(shop: Shop) -> None:
    before = [order(id, OLD) for id in ("same", "value", "gone", "moved", "refused", "into window")]
    freeze(shop, *before)
    shop.set_orders([])
    shop.update(day("01-25"), day("01-30"))
    shop.configure(project=Project(timezone="UTC", thresholds=Thresholds(quarantined_share=1, raw_rows_fall=1)))
    shop.set_orders(
        [
            order("same", OLD),
            order("value", OLD, 11.0),
            order("moved", "2026-01-07T12:00"),
            order("refused", OLD, currency="XYZ"),
            order("into window", "2026-01-25T12:00"),
            order("late", OLD),
            order("late in the window", "2026-01-25T12:00"),
        ]
    )
    shop.audit()
    assert drift(shop, "id", "kind") == [
        ("gone", "VANISHED"),
        ("late", "NEW_LATE"),
        ("moved", "MOVED"),
        ("value", "VALUE"),
    ]  # `into window` is seen on a day that is not frozen: the run that covers this day lists it
    shop.update(day("01-25"))
    assert ("into window", "MOVED") in drift(shop, "id", "kind")


def test_r23_the_audit_publishes_nothing(shop: Shop) -> None:
    freeze(shop, order("a", OLD), order("open", "2026-01-10T12:00"))
    shop.update(day("01-21"), day("01-30"))
    before = shop.published(), shop.ledger(), shop.stored(), shop.query("FROM adjusted._order_days ORDER BY day")
    shop.set_orders([order("a", OLD, 11.0), order("new", "2026-01-25T12:00"), order("never", "2026-01-15T12:00")])
    shop.audit()
    after = shop.published(), shop.ledger(), shop.stored(), shop.query("FROM adjusted._order_days ORDER BY day")
    assert after == before


def test_r23_without_a_frozen_day_there_is_nothing_to_audit(shop: Shop) -> None:
    assert shop.audit() is None
    shop.now = R
    shop.set_orders([order("a", "2026-01-25T12:00")])
    shop.update(day("01-21"), day("01-30"))
    shop.set_orders([])
    assert shop.audit() is None
    assert shop.drift() == []


def test_r23_days_that_were_never_published_are_not_frozen(shop: Shop) -> None:
    freeze(shop, order("a", OLD))
    shop.update(day("01-15"))
    shop.set_orders([order("a", OLD), order("never", "2026-01-12T12:00"), order("late", "2026-01-15T12:00")])
    shop.audit()
    assert drift(shop, "id", "kind") == [("late", "NEW_LATE")]


def test_r23_a_frozen_row_that_moved_to_a_day_never_published_is_listed(shop: Shop) -> None:
    freeze(shop, order("a", OLD))
    shop.set_orders([order("a", "2026-01-15T12:00")])  # 01-11 … 01-20 were never published
    shop.audit()
    assert [row["id"] for row in shop.drift()] == ["a"]


def test_r21_frozen_and_open_days_and_drift_sum_to_the_crm(shop: Shop) -> None:
    rows = [order(f"o{n}", datetime(2026, 1, 1 + n % 30, 12, tzinfo=UTC), 10.0 + n) for n in range(60)]
    for n in range(1, 31):
        if n in (11, 21, 30):
            shop.now = datetime(2026, 1, 1, 6, tzinfo=UTC) + timedelta(days=n)
            shop.set_orders(rows)
            shop.update(day("01-01"), date(2026, 1, n))
    shop.now = R
    changed = [
        row | {"value": row["value"] * 2} if n % 7 == 0 else row | {"created": row["created"] + timedelta(days=3)}
        for n, row in enumerate(rows)
        if n % 5 and row["created"].day <= 27
    ] + [order(f"late{n}", datetime(2026, 1, n, 9, tzinfo=UTC), 1000.0 + n) for n in range(1, 31)]
    shop.set_orders(changed)
    shop.update(day("01-21"), day("01-30"))
    shop.audit()
    assert {row["kind"] for row in shop.drift()} == {"VALUE", "VANISHED", "MOVED", "NEW_LATE"}
    frozen = sum(row["value"] for row in shop.published().values() if row["day"] < day("01-21"))
    published = sum(row["value"] for row in shop.published().values() if row["day"] >= day("01-21"))
    delta = sum(row["value_delta"] for row in shop.drift())
    assert frozen + published + delta == pytest.approx(sum(row["value"] for row in changed))
