"""The demo's CRM: deterministic, with every deliberate fault in it, and with a truth that its raw rows agree with."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from conversions_assets.demo.history import FIRST_DAY, LOAD_DAYS, TABLES, Load, Truth, apply_load, history, summary

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = 30
Row = dict[str, object]
Tables = dict[str, list[Row]]


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    return history()


@pytest.fixture(scope="module")
def states(loads: list[Load]) -> list[Tables]:
    """The tables after each load."""
    found: list[Tables] = []
    for load in loads:
        found.append(apply_load(found[-1] if found else {}, load))
    return found


def _local(moment: object) -> datetime:
    assert isinstance(moment, datetime)
    return moment.astimezone(BERLIN)


def _conflicts(rows: list[Row]) -> dict[object, list[Row]]:
    by_id = defaultdict(list)
    for row in rows:
        by_id[row["id"]].append(row)
    return {id_: found for id_, found in by_id.items() if any(row != found[0] for row in found)}


# --- the loads ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_history_quickly(loads: list[Load]) -> None:
    start = time.process_time()
    again = history()
    assert time.process_time() - start < 3
    assert again == loads
    assert history(2)[0].rows != loads[0].rows


def test_four_loads_ten_minutes_after_local_midnight(loads: list[Load]) -> None:
    assert [load.load_id for load in loads] == [f"2026010{day}T001000" for day in (1, 2, 3, 4)]
    assert loads[0].at == datetime(2025, 12, 31, 23, 10, tzinfo=UTC)
    assert {later.at - load.at for load, later in pairwise(loads)} == {timedelta(days=1)}


def test_row_counts_are_those_of_a_small_company(loads: list[Load]) -> None:
    first = summary(loads[0])
    assert 7_300 < first["hubspot.contacts"] < 8_000
    assert 750 < first["hubspot.deals"] < 1_050
    assert 12_500 < first["shop.orders"] < 13_500
    assert 300 < len(loads[0].truth["deal_closed"]) < 420
    for load in loads[1:]:
        assert {name: count > 0 for name, count in summary(load).items()} == dict.fromkeys(TABLES, True)
        assert sum(summary(load).values()) < 200


def test_rows_have_exactly_the_columns_of_their_table(loads: list[Load]) -> None:
    types = {"STRING": str, "FLOAT64": float, "BOOL": bool, "TIMESTAMP": datetime}
    for load in loads:
        for name, rows in load.rows.items():
            for row in rows:
                assert row.keys() == TABLES[name].keys()
                assert row["_load_id"] == load.load_id
                wrong = {c: v for c, v in row.items() if v is not None and not isinstance(v, types[TABLES[name][c]])}
                assert not wrong


def test_a_load_carries_what_changed_since_the_last_one(loads: list[Load]) -> None:
    born = {"hubspot.contacts": "created_at", "hubspot.deals": "created_at", "shop.orders": "ordered_at"}
    for before, load in pairwise([None, *loads]):
        assert load is not None
        for name, rows in load.rows.items():
            for row in rows:
                created, updated = row[born[name]], row["updated_at"]
                assert isinstance(created, datetime)
                assert isinstance(updated, datetime)
                assert created <= updated <= load.at
                assert before is None or updated > before.at


# --- the deliberate rows ------------------------------------------------------------------------------------------

SPECIAL = [
    datetime(2025, 1, 1, tzinfo=BERLIN),
    datetime(2025, 6, 14, 23, 59, 59, 999_999, tzinfo=BERLIN),
    datetime(2025, 6, 15, tzinfo=BERLIN),
    datetime(2025, 3, 30, 1, 59, 59, 999_999, tzinfo=BERLIN),
    datetime(2025, 3, 30, 3, tzinfo=BERLIN),
    datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN),
    datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=BERLIN),
    datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=BERLIN),
]


INSTANTS = [(name, moment) for name in ("lead", "order_confirmed", "deal_closed") for moment in SPECIAL]
INSTANTS.remove(("deal_closed", SPECIAL[0]))  # nothing to win in the first instant


@pytest.mark.parametrize(("conversion", "moment"), INSTANTS, ids=str)
def test_special_instants_are_conversions_of_their_day(loads: list[Load], conversion: str, moment: datetime) -> None:
    found = [row for row in loads[0].truth[conversion].values() if row.created == moment.astimezone(UTC)]
    assert [row.day for row in found] == [moment.date()]


def test_the_clock_changes_are_instants_of_their_own() -> None:
    utc = [moment.astimezone(UTC) for moment in SPECIAL]
    assert utc[4] - utc[3] == timedelta(microseconds=1)
    assert utc[6] - utc[5] == timedelta(hours=1)


def test_each_load_carries_rows_of_the_open_day(loads: list[Load]) -> None:
    for load in loads:
        today = _local(load.at).date()
        assert sum(_local(row["ordered_at"]).date() == today for row in load.rows["shop.orders"]) >= 2
        assert sum(_local(row["created_at"]).date() == today for row in load.rows["hubspot.contacts"]) >= 2
        assert not any(row.day >= today for rows in load.truth.values() for row in rows.values())


def test_identical_copies_are_few(loads: list[Load]) -> None:
    rows = loads[0].rows["shop.orders"]
    copies = sum(count > 1 for count in Counter(tuple(row.values()) for row in rows).values())
    assert 0.002 < copies / len(rows) < 0.004
    for load in loads[1:]:
        ids = [row["id"] for row in load.rows["shop.orders"]]
        assert len(ids) == len(set(ids)) + 1


def test_conflicting_versions_are_few_and_the_earliest_that_counts_wins(loads: list[Load]) -> None:
    rows = loads[0].rows["shop.orders"]
    conflicts = _conflicts(rows)
    assert 10 <= len(conflicts) < 0.005 * len({row["id"] for row in rows})
    statuses: Counter[int] = Counter()
    for id_, versions in conflicts.items():
        one, two = versions
        assert one["ordered_at"] != two["ordered_at"]
        assert _local(one["ordered_at"]).date() == _local(two["ordered_at"]).date()
        counting = [row for row in versions if row["status"] != "new"]
        statuses[len(counting)] += 1
        truth = loads[0].truth["order_confirmed"][str(id_)]
        winner = min(counting, key=lambda row: _local(row["ordered_at"]))
        assert (truth.created, truth.value) == (winner["ordered_at"], winner["total"])
    assert statuses == {1: 4, 2: 8}


def test_refused_rows_are_three_and_never_more_than_five_percent_of_a_day(loads: list[Load]) -> None:
    rows = [row for row in loads[0].rows["shop.orders"] if row["status"] in ("confirmed", "paid")]
    refused = [row for row in rows if _refused(row, "total")]
    assert [(row["currency"] == "EURO", row["id"] == "", row["total"] != row["total"]) for row in refused] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    per_day = Counter(_local(row["ordered_at"]).date() for row in rows)
    for row in refused:
        assert per_day[_local(row["ordered_at"]).date()] >= 25
        assert row["id"] not in loads[0].truth["order_confirmed"]
    assert not any(_refused(row, "amount") for load in loads for row in load.rows["hubspot.deals"])


def test_one_deal_is_won_in_the_future_and_is_not_true(loads: list[Load]) -> None:
    won = [row for row in loads[0].rows["hubspot.deals"] if row["stage"] == "won"]
    (typo,) = (row for row in won if _local(row["closed_at"]) > loads[0].at)
    assert _local(typo["closed_at"]).year == 2052
    assert not any(typo["id"] in load.truth["deal_closed"] for load in loads)


def test_client_ids_come_in_all_forms(loads: list[Load]) -> None:
    for name in ("hubspot.contacts", "shop.orders"):
        raw = [row["ga_client_id"] for row in loads[0].rows[name]]
        for form in ("GA1.2.", "GA1.1-2.", "FPID2.2."):
            assert sum(str(value).startswith(form) for value in raw) > 100
        assert {"", None, "(not set)"} <= set(raw)
        assert 0.06 < sum(value in ("", None, "(not set)") for value in raw) / len(raw) < 0.10


# --- the truth ----------------------------------------------------------------------------------------------------


def test_truth_is_of_closed_days_and_keyed_by_id(loads: list[Load]) -> None:
    for load, day in zip(loads, LOAD_DAYS, strict=True):
        for rows in load.truth.values():
            assert all(id_ == row.id and FIRST_DAY <= row.day < day for id_, row in rows.items())
            assert all(_local(row.created).date() == row.day for row in rows.values())


def _refused(row: Row, value: str) -> bool:
    number = row[value]
    assert isinstance(number, float)
    return math.isnan(number) or row["currency"] == "EURO" or not row["id"]


def _canonical(raw: object) -> str | None:
    text = str(raw or "").strip()
    for prefix in ("GA1.2.", "GA1.3.", "GA1.1-2.", "FPID2.2."):
        text = text.removeprefix(prefix)
    return None if text in ("", "(not set)") else text


def _currency(raw: object) -> str:
    return str(raw or "EUR").strip().upper()


def _params(row: Row, *keys: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(row[key])) for key in keys if row[key])


def _lead(tables: Tables) -> Iterator[Row]:
    for row in tables["hubspot.contacts"]:
        if row["lifecycle"] != "junk" and not row["is_deleted"]:
            yield {
                "id": row["id"],
                "created": row["created_at"],
                "value": None,
                "currency": "EUR",
                "client_id": _canonical(row["ga_client_id"]),
                "is_qualified": row["lifecycle"] == "customer",
                "user_id": row["id"],
                "params": _params(row, "country", "job_title", "lead_source"),
            }


def _deal_closed(tables: Tables) -> Iterator[Row]:
    contacts = {row["id"]: row for row in tables["hubspot.contacts"]}
    for row in tables["hubspot.deals"]:
        if row["stage"] == "won" and not row["is_deleted"]:
            yield {
                "id": row["id"],
                "created": row["closed_at"],
                "value": row["amount"],
                "currency": _currency(row["currency"]),
                "client_id": _canonical(contacts[row["contact_id"]]["ga_client_id"]),
                "is_qualified": None,
                "user_id": row["contact_id"],
                "params": (),
            }


def _order_confirmed(tables: Tables) -> Iterator[Row]:
    for row in sorted(tables["shop.orders"], key=lambda row: _local(row["ordered_at"]).astimezone(UTC), reverse=True):
        if row["status"] in ("confirmed", "paid") and not row["is_deleted"] and not _refused(row, "total"):
            yield {
                "id": row["id"],
                "created": row["ordered_at"],
                "value": row["total"],
                "currency": _currency(row["currency"]),
                "client_id": _canonical(row["ga_client_id"]),
                "is_qualified": None,
                "user_id": row["contact_id"],
                "params": _params(row, "city", "country", "region"),
            }


QUERIES: dict[str, Callable[[Tables], Iterator[Row]]] = {
    "lead": _lead,
    "deal_closed": _deal_closed,
    "order_confirmed": _order_confirmed,
}


@pytest.mark.parametrize("conversion", QUERIES)
def test_raw_rows_agree_with_the_truth(loads: list[Load], states: list[Tables], conversion: str) -> None:
    """What the demo's SQL stands for, over the raw tables: the earliest row of an id comes last and wins."""
    for load, tables in zip(loads, states, strict=True):
        today = _local(load.at).date()
        rows = {row["id"]: row for row in QUERIES[conversion](tables) if _local(row["created"]).date() < today}
        truth = load.truth[conversion]
        assert rows.keys() == truth.keys()
        for id_, row in rows.items():
            assert row | {"day": _local(row["created"]).date()} == vars(truth[str(id_)])


# --- loads over one another ---------------------------------------------------------------------------------------


def test_apply_load_replaces_ids_and_changes_nothing_in_place(loads: list[Load], states: list[Tables]) -> None:
    before = {name: list(rows) for name, rows in states[0].items()}
    after = apply_load(states[0], loads[1])
    assert states[0] == before
    assert apply_load(after, loads[1]) == after
    for name, rows in loads[1].rows.items():
        loaded = {row["id"] for row in rows}
        assert [row for row in after[name] if row["id"] in loaded] == rows


def test_one_version_of_an_id_stays_but_for_the_deliberate_duplicates(loads: list[Load], states: list[Tables]) -> None:
    for tables in states:
        for name in ("hubspot.contacts", "hubspot.deals"):
            assert len(tables[name]) == len({row["id"] for row in tables[name]})
    orders = states[-1]["shop.orders"]
    newest = {row["id"]: load.rows["shop.orders"] for load in loads for row in load.rows["shop.orders"]}
    doubled = {id_: count for id_, count in Counter(row["id"] for row in orders).items() if count > 1}
    assert set(doubled.values()) == {2}
    for id_ in doubled:
        assert sum(row["id"] == id_ for row in newest[id_]) == 2
    assert len(_conflicts(orders)) == len(_conflicts(loads[0].rows["shop.orders"]))


# --- late changes -------------------------------------------------------------------------------------------------


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
            (kind,) = {n for n in vars(now) if getattr(then, n) != getattr(now, n)} - {"created"}
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
    table = {"lead": "hubspot.contacts", "deal_closed": "hubspot.deals", "order_confirmed": "shop.orders"}
    for conversion, name in table.items():
        for day, id_, _, _ in _differences(loads, conversion):
            rows = states[LOAD_DAYS.index(day)][name]
            (updated,) = (row["updated_at"] for row in rows if row["id"] == id_)
            assert _local(updated).date() == day - timedelta(days=1)


@pytest.mark.parametrize("seed", [2, 3])
def test_other_seeds_hold_the_same_kinds(seed: int) -> None:
    loads = history(seed)
    assert _kinds(loads, "order_confirmed")["reappeared inside"] == 1
    assert _kinds(loads, "deal_closed").keys() >= {"day inside to frozen", "day frozen to inside"}
