"""R26: which targets belong to which lead."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlglot import exp

from conversions_assets.contract.conversion import Link, PredictedValue
from conversions_assets.prediction import tables
from conversions_assets.prediction.tables import MICROS_PER_DAY
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.script import bind
from conversions_assets_tests.prediction.crm import START

ONE_MICROSECOND = 1 / MICROS_PER_DAY
Event = tuple[str, str | None, float]
Linked = dict[str, tuple[int, float | None, float]]


def linked(
    session: Warehouse,
    leads: Sequence[Event],
    targets: Sequence[tuple[str, str | None, float, float | None]],
    link: Link = "latest",
    window_days: int = 40,
    until: float = 1000.0,
) -> Linked:
    """Lead -> number of targets, sum of their values, days to the first; times are days after START."""

    def frame(rows: Sequence[tuple[Any, ...]], *names: str) -> pd.DataFrame:
        made = pd.DataFrame(rows, columns=list(names))
        made["created"] = pd.to_datetime(START) + pd.to_timedelta(
            [round(days * MICROS_PER_DAY) for days in made.pop("days")], unit="us"
        )
        return made

    columns = {"id": "STRING", "user_id": "STRING", "created": "TIMESTAMP"}
    session.load("some_leads", frame(leads, "id", "user_id", "days"), columns)
    session.load("some_targets", frame(targets, "id", "user_id", "days", "value"), columns | {"value": "FLOAT64"})
    params = {
        "cut_off": START + timedelta(days=until),
        "window_micros": window_days * MICROS_PER_DAY,
        "link_first": link == "first",
        "link_all": link == "all",
    }
    places = {"leads": exp.select("*").from_("some_leads"), "targets": exp.select("*").from_("some_targets")}
    session.execute(bind(Path(tables.__file__).with_name("linking.sql"), places, params))
    rows = session.query(Statement(exp.select("*").from_("linked")))
    assert len({row["id"] for row in rows}) == len(rows)
    return {r["id"]: (r["target_conversions"], r["target_value"], pytest.approx(r["delay_days"])) for r in rows}


A = ("a", "u", 0.0)


@pytest.mark.parametrize(
    ("days", "counts"),
    [
        (0.0, True),
        (40.0, True),
        (40 + ONE_MICROSECOND, False),
        (-ONE_MICROSECOND, False),
        (39.999, True),
        (-5.0, False),
    ],
)
def test_r26_both_ends_of_the_window_are_in(session: Warehouse, days: float, counts: bool) -> None:
    found = linked(session, [("a", "u", 10.0)], [("d", "u", 10 + days, 5.0)])
    assert found == ({"a": (1, 5.0, days)} if counts else {})


def test_r26_a_day_has_24_hours_also_where_the_clock_changes(session: Warehouse) -> None:
    """The window is counted in hours, not in local days: 29 March has 23 hours in Berlin."""
    assert linked(session, [("a", "u", 80.0)], [("d", "u", 120.0, 1.0)]) == {"a": (1, 1.0, 40.0)}


def test_r26_other_persons_and_nobody_are_not_linked(session: Warehouse) -> None:
    leads = [A, ("b", "v", 0.0), ("n", None, 0.0)]
    assert linked(session, leads, [("d", "v", 1.0, 1.0), ("e", None, 1.0, 1.0)]) == {"b": (1, 1.0, 1.0)}


def test_r26_user_ids_are_case_sensitive(session: Warehouse) -> None:
    assert linked(session, [A], [("d", "U", 1.0, 1.0)]) == {}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("latest", {"b": (1, 7.0, 2.0)}),
        ("first", {"a": (1, 7.0, 12.0)}),
        ("all", {"a": (1, 7.0, 12.0), "b": (1, 7.0, 2.0)}),
    ],
)
def test_r26_of_several_leads_of_a_person(session: Warehouse, link: Link, expected: Linked) -> None:
    leads = [("old", "u", -100.0), A, ("b", "u", 10.0), ("later", "u", 13.0)]
    assert linked(session, leads, [("d", "u", 12.0, 7.0)], link) == expected


def test_r26_the_first_lead_is_the_first_one_whose_window_is_open(session: Warehouse) -> None:
    found = linked(session, [A, ("b", "u", 30.0)], [("d", "u", 50.0, 7.0)], "first")
    assert found == {"b": (1, 7.0, 20.0)}


def test_r26_several_targets_of_a_lead_add_up(session: Warehouse) -> None:
    targets = [("d", "u", 5.0, 7.0), ("e", "u", 3.0, 2.5), ("late", "u", 41.0, 100.0)]
    assert linked(session, [A], targets) == {"a": (2, 9.5, 3.0)}


def test_r26_each_target_goes_to_the_lead_before_it(session: Warehouse) -> None:
    targets = [("d", "u", 5.0, 7.0), ("e", "u", 11.0, 2.0)]
    assert linked(session, [A, ("b", "u", 10.0)], targets) == {"a": (1, 7.0, 5.0), "b": (1, 2.0, 1.0)}


@pytest.mark.parametrize(
    ("values", "total"), [([None], None), ([None, 3.0], 3.0), ([0.0], 0.0), ([-5.0], -5.0), ([-5.0, 5.0], 0.0)]
)
def test_r26_a_target_without_value_negative_and_zero(
    session: Warehouse, values: list[float | None], total: float | None
) -> None:
    targets = [(f"d{n}", "u", 1.0 + n, value) for n, value in enumerate(values)]
    assert linked(session, [A], targets) == {"a": (len(values), total, 1.0)}


def test_r26_two_leads_at_the_same_instant_share_no_target(session: Warehouse) -> None:
    for leads in ([A, ("b", "u", 0.0)], [("b", "u", 0.0), A]):
        assert linked(session, leads, [("d", "u", 1.0, 1.0)]) == {"a": (1, 1.0, 1.0)}
        assert sorted(linked(session, leads, [("d", "u", 1.0, 1.0)], "all")) == ["a", "b"]


def test_r26_targets_and_leads_from_the_cut_off_on_are_unknown(session: Warehouse) -> None:
    targets = [("d", "u", 5.0, 7.0), ("e", "u", 20.0, 2.0)]
    assert linked(session, [A, ("b", "u", 19.0)], targets, until=20.0) == {"a": (1, 7.0, 5.0)}


@pytest.mark.parametrize("link", ["latest", "first", "all"])
def test_r26_is_what_the_rule_says_word_by_word(session: Warehouse, link: Link) -> None:
    """Against the rule written out over all pairs, on dense random events."""
    random = np.random.default_rng(7)
    leads = [(f"l{n}", f"u{random.integers(4)}", float(random.integers(60))) for n in range(60)]
    targets = [(f"d{n}", f"u{random.integers(4)}", float(random.integers(90)), float(n)) for n in range(40)]
    expected: dict[str, list[tuple[float, float]]] = {}
    for _, user, at, value in targets:
        before = sorted((t, id) for id, u, t in leads if u == user and 0 <= at - t <= 9)
        if not before:
            continue
        moment = before[-1 if link == "latest" else 0][0]
        one = min(id for t, id in before if t == moment)
        for t, id in before if link == "all" else [(moment, one)]:
            expected.setdefault(id, []).append((value, at - t))
    found = linked(session, leads, targets, link, window_days=9)
    assert found == {
        id: (len(rows), sum(v for v, _ in rows), min(delay for _, delay in rows)) for id, rows in expected.items()
    }


def test_r26_a_person_with_thousands_of_leads_and_targets_is_linked_in_linear_time(session: Warehouse) -> None:
    """All pairs would be 900 million rows."""
    count = 30_000
    leads = [(f"l{n}", "u", n / 1000) for n in range(count)]
    targets = [(f"d{n}", "u", n / 1000 + 0.0001, 1.0) for n in range(count)]
    found = linked(session, leads, targets)
    assert len(found) == count
    assert sum(number for number, _, _ in found.values()) == count


def test_the_settings_have_the_defaults_of_the_rules() -> None:
    settings = PredictedValue("deal")
    assert (settings.window_days, settings.link, settings.lookback_days) == (40, "latest", 60)
