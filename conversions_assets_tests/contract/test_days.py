"""A day is a local day in the project's zone: days of 23 and 25 hours exist."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conversions_assets.project import Project
from conversions_assets_tests.shop import Shop, day, make_shop, order

BERLIN = Project(timezone="Europe/Berlin", currency="EUR")
SPRING, AUTUMN = date(2025, 3, 30), date(2025, 10, 26)
ONE_DAY = timedelta(days=1)


@pytest.fixture
def berlin(tmp_path: Path) -> Shop:
    return make_shop(tmp_path, project=BERLIN)


def _days(shop: Shop) -> dict[str, date]:
    return {row["id"]: row["day"] for row in shop.stored()}


@pytest.mark.parametrize(
    ("first", "begin", "hours"),
    [
        (SPRING, datetime(2025, 3, 29, 23, tzinfo=UTC), 23),
        (AUTUMN, datetime(2025, 10, 25, 22, tzinfo=UTC), 25),
        (date(2025, 7, 1), datetime(2025, 6, 30, 22, tzinfo=UTC), 24),
        (date(2025, 12, 31), datetime(2025, 12, 30, 23, tzinfo=UTC), 24),
    ],
)
def test_r03_a_day_begins_at_local_midnight_and_has_23_to_25_hours(first: date, begin: datetime, hours: int) -> None:
    assert BERLIN.midnight(first) == begin
    assert BERLIN.midnight(first).utcoffset() == timedelta(0)
    assert BERLIN.midnight(first + ONE_DAY) - BERLIN.midnight(first) == timedelta(hours=hours)


def test_r03_the_local_date_of_an_instant_is_that_of_the_zone() -> None:
    assert BERLIN.local_date(datetime(2025, 3, 29, 22, 59, 59, tzinfo=UTC)) == date(2025, 3, 29)
    assert BERLIN.local_date(datetime(2025, 3, 29, 23, tzinfo=UTC)) == SPRING
    assert BERLIN.local_date(datetime(2025, 10, 26, 22, 59, 59, tzinfo=UTC)) == AUTUMN
    assert BERLIN.local_date(datetime(2025, 10, 26, 23, tzinfo=UTC)) == AUTUMN + ONE_DAY


def test_r03_where_a_clock_change_leaves_out_midnight_the_day_begins_with_its_first_instant() -> None:
    # Chile puts the clock forward at midnight: 2025-09-07 begins at 01:00 local time.
    santiago = Project(timezone="America/Santiago")
    begin = santiago.midnight(date(2025, 9, 7))
    assert begin == datetime(2025, 9, 7, 4, tzinfo=UTC)
    assert santiago.local_date(begin - timedelta(microseconds=1)) == date(2025, 9, 6)


@pytest.mark.parametrize("sql", [None, "SELECT id, client_id, created FROM shop.orders"], ids=["own days", "no days"])
@pytest.mark.parametrize(("changed", "hours"), [(SPRING, 23), (AUTUMN, 25)], ids=["spring", "autumn"])
def test_r02_a_run_over_a_day_with_a_clock_change_holds_exactly_its_hours(
    berlin: Shop, changed: date, hours: int, sql: str | None
) -> None:
    if sql:
        berlin.write_sql(sql)
    begin = BERLIN.midnight(changed)
    end = begin + timedelta(hours=hours)
    microsecond = timedelta(microseconds=1)
    berlin.set_orders(
        [
            order("before", begin - microsecond),
            order("first", begin),
            *(order(f"hour {n:02}", begin + timedelta(hours=n, minutes=30)) for n in range(hours)),
            order("last", end - microsecond),
            order("after", end),
        ]
    )
    result = berlin.convert(changed)
    assert set(_days(berlin)) == {"first", "last", *(f"hour {n:02}" for n in range(hours))}
    assert set(_days(berlin).values()) == {changed}
    assert result.unwanted_rows == 2


def test_r02_r03_rows_around_midnight_fall_on_their_local_day(berlin: Shop) -> None:
    berlin.set_orders(
        [
            order("winter, 23:59 local", "2025-03-29T22:59:59.999999"),
            order("midnight in winter time", "2025-03-29T23:00"),
            order("before the clock change", "2025-03-30T00:59:59"),
            order("after the clock change", "2025-03-30T01:00"),
            order("23:59 in summer time", "2025-03-30T21:59:59.999999"),
            order("midnight in summer time", "2025-03-30T22:00"),
        ]
    )
    berlin.convert(SPRING - ONE_DAY, SPRING + ONE_DAY)
    assert _days(berlin) == {
        "winter, 23:59 local": SPRING - ONE_DAY,
        "midnight in winter time": SPRING,
        "before the clock change": SPRING,
        "after the clock change": SPRING,
        "23:59 in summer time": SPRING,
        "midnight in summer time": SPRING + ONE_DAY,
    }


def test_r02_both_hours_of_the_same_name_in_autumn_are_kept_apart(berlin: Shop) -> None:
    # 02:30 local time comes twice: an id of the first and one of the second, an hour apart.
    berlin.set_orders([order("first", "2025-10-26T00:30"), order("second", "2025-10-26T01:30")])
    berlin.convert(AUTUMN)
    assert [row["created"] for row in berlin.stored()] == [
        datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
        datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
    ]


def test_r05_of_the_two_hours_of_the_same_name_the_first_is_the_earlier(berlin: Shop) -> None:
    thresholds = BERLIN.thresholds.model_copy(update={"conflicting_ids_share": 1.0})
    berlin.configure(project=BERLIN.model_copy(update={"thresholds": thresholds}))
    berlin.set_orders([order("a", "2025-10-26T01:15", 1.0), order("a", "2025-10-26T00:45", 2.0)])
    berlin.convert(AUTUMN)
    assert [row["value"] for row in berlin.stored()] == [2.0]


def test_r10_a_refused_row_is_in_quarantine_on_its_local_day(berlin: Shop) -> None:
    berlin.set_orders([order("bad", "2025-10-26T22:30", float("nan"))])
    assert berlin.convert(AUTUMN).failing_days == {AUTUMN}
    assert [row["day"] for row in berlin.quarantine()] == [AUTUMN]


def test_r31_another_time_zone_after_the_first_days_is_refused(berlin: Shop) -> None:
    from conversions_assets.project import ConfigurationError

    berlin.set_orders([order("a", "2026-01-10T23:30")])
    berlin.convert(day("01-11"))
    before = berlin.stored()
    berlin.configure(project=BERLIN.model_copy(update={"timezone": "UTC"}))
    with pytest.raises(ConfigurationError, match=r"R31: .*Europe/Berlin.*UTC.*`timezone: Europe/Berlin`"):
        berlin.convert(day("01-10"))
    assert berlin.stored() == before
