"""The days of the demo, and the instants at which something surely happens in it."""

from datetime import date, datetime, timedelta

from conversions_assets.demo.truth import instant, midnight

FIRST_DAY = date(2025, 1, 1)
LOAD_DAYS = tuple(date(2026, 1, day) for day in (1, 2, 3, 4))

_MICRO = timedelta(microseconds=1)
SPECIAL = sorted(
    [
        midnight(FIRST_DAY),
        instant(datetime(2025, 3, 30, 2)) - _MICRO,  # the last instant before the missing hour: 01:59:59.999999 ...
        instant(datetime(2025, 3, 30, 3)),  # ... and the next one: 03:00
        midnight(date(2025, 6, 15)) - _MICRO,
        midnight(date(2025, 6, 15)),
        instant(datetime(2025, 10, 26, 2, 30)),
        instant(datetime(2025, 10, 26, 2, 30, fold=1)),
        *(midnight(day) - _MICRO for day in LOAD_DAYS),
        *(midnight(day) for day in LOAD_DAYS),
        *(midnight(day) + timedelta(minutes=4, seconds=11) for day in LOAD_DAYS),
    ]
)
"""Instants at which an order and a contact surely exist; those after midnight on a load's day are open-day rows."""


def milliseconds(moment: datetime) -> datetime:
    """A moment as HubSpot keeps it: the last one before midnight is 23:59:59.999."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


SPECIAL_IN_HUBSPOT = [milliseconds(moment) for moment in SPECIAL]
