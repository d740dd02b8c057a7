"""The late changes of the demo's company: how many of each kind, and when."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from conversions_assets.demo.crm import begin, play
from conversions_assets.demo.history import LOAD_DAYS, Load, Truth, history
from conversions_assets_tests.demo.conftest import Tables
from conversions_assets_tests.demo.test_history import BERLIN

WINDOW = 30


def _local(moment: datetime) -> datetime:
    return moment.astimezone(BERLIN)


def _differences(loads: list[Load], conversion: str) -> Iterator[tuple[date, str, Truth | None, Truth | None]]:
    """Load's day, id, and the truth before and after it, of the days that were closed before."""
    for before, after in pairwise(loads):
        old, new, closed = before.truth[conversion], after.truth[conversion], _local(before.at).date()
        for id_ in sorted(old.keys() | new.keys()):
            then, now = old.get(id_), new.get(id_)
            if then != now and (then or (now and now.day < closed)):
                yield _local(after.at).date(), id_, then, now


def _kinds(loads: list[Load], conversion: str) -> Counter[str]:
    seen: set[str] = set()
    kinds: Counter[str] = Counter()
    for day, id_, then, now in _differences(loads, conversion):
        first = day - timedelta(days=WINDOW)
        days = [row.day for row in (then, now) if row]
        if then is None:
            kind = "reappeared" if id_ in seen else "new late"
        elif now is None:
            kind = "vanished"
            seen.add(id_)
        else:
            # A deal whose contact was merged has another person, and so another client id.
            (kind,) = {n for n in vars(now) if getattr(then, n) != getattr(now, n)} - {"created", "user_id"}
        where = ["inside" if day >= first else "frozen" for day in days]
        kinds[f"{kind} {' to '.join(where if kind == 'day' else where[:1])}"] += 1
    return kinds


def test_late_changes_of_orders(loads: list[Load]) -> None:
    assert _kinds(loads, "order_confirmed") == {
        "new late inside": 10,
        "new late frozen": 1,
        "vanished inside": 7,
        "vanished frozen": 2,
        "reappeared inside": 1,
        "value inside": 5,
        "client_id inside": 1,
    }
    frozen = [
        (day - then.day).days
        for day, _, then, now in _differences(loads, "order_confirmed")
        if then and not now and (day - then.day).days > WINDOW
    ]
    assert frozen == [45, 60]


def test_late_changes_of_deals(loads: list[Load]) -> None:
    assert _kinds(loads, "deal_closed") == {
        "vanished inside": 2,
        "vanished frozen": 1,
        "client_id inside": 1,
        "day inside to inside": 1,
        "day inside to frozen": 1,
        "day frozen to inside": 1,
    }


def test_late_changes_of_leads(loads: list[Load]) -> None:
    assert _kinds(loads, "lead") == {
        "is_qualified inside": 14,
        "is_qualified frozen": 6,
        "vanished inside": 1,
        "client_id inside": 1,
    }


def test_a_late_change_is_dated_on_the_day_before_its_load(loads: list[Load], states: list[Tables]) -> None:
    table = {
        "lead": ("contacts", "lastmodifieddate"),
        "deal_closed": ("deals", "hs_lastmodifieddate"),
        "order_confirmed": ("orders", "updated_at"),
    }
    for conversion, (name, column) in table.items():
        for day, id_, then, now in _differences(loads, conversion):
            if conversion == "deal_closed" and then and now and then.user_id != now.user_id:
                continue  # the contact was merged, which does not change the deal
            (updated,) = (row[column] for row in states[LOAD_DAYS.index(day)][name] if row["id"] == id_)
            assert _local(updated).date() == day - timedelta(days=1)


@pytest.mark.parametrize("seed", [2, 3])
def test_other_seeds_hold_the_same_kinds(seed: int) -> None:
    loads = history(seed)
    world = begin()
    for load in loads:
        play(world, load)
    assert _kinds(loads, "order_confirmed")["reappeared inside"] == 1
    assert _kinds(loads, "deal_closed").keys() >= {"day inside to frozen", "day frozen to inside"}
