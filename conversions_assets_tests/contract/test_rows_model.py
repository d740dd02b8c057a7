"""Random results: rows.sql does what the small model of R2 and R5-R10 does, row for row and count for count.

A case is one id with its one to five rows and what has to become of them. An example of Hypothesis draws pools of
values, of which 300 cases are mixed and staged in one pass; a test at the end counts the cases. The examples are the
same in each run; to look for new ones: max_examples=2000 and derandomize=False below.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conversions_assets.contract.conversion import Days
from conversions_assets.contract.profile import read_profile
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.project import Clock, Project
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets_tests.contract.model import COUNTS, WHITE_SPACE, Model, Row
from conversions_assets_tests.shop import ORDERS, Shop, make_shop

CASES = 300
SQL = "SELECT id, client_id, created, value, currency, is_qualified, params, user_id FROM shop.orders"
PARAMS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("id", "client_id"), pa.string()),
        "created": pa.timestamp("us", "UTC"),
        "value": pa.float64(),
        "currency": pa.string(),
        "is_qualified": pa.bool_(),
        "params": PARAMS,
        **dict.fromkeys(("user_id", "status"), pa.string()),
    }.items()
)
# Days of 25 and 23 hours, and an ordinary one; the runs cover the day and its neighbours.
MIDDLES = (date(2025, 10, 26), date(2026, 3, 29), date(2026, 3, 8), date(2026, 1, 10))
seen: Counter[str] = Counter()

spaces = st.text(st.sampled_from(WHITE_SPACE), max_size=2)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
client_ids = st.one_of(
    st.sampled_from(
        ["1.2", "0", "null", "undefined", "(not set)", "", " ", "NULL", "0.0", "GA1.2.", "GA1.1.GA1.2.3.4"]
    ),
    st.sampled_from(
        ["1.23E9", "1,23457e+09", "1.2e9.1.7E9", "12345678.1.7E9", "1.23E9.5", "12E9", "abc1E9", "1.2E1234"]
    ),
    st.tuples(spaces, st.sampled_from(["", "GA1.2.", "GA1.2-3.", "GA1.22.", "FPID2.2.", "ga1.2.", "FPID2.1."]))
    .map("".join)
    .flatmap(
        lambda before: st.sampled_from(["12.34", "12.34", "null", "0", "", "5E9"]).map(lambda text: before + text)
    ),
    texts,
)
values = st.one_of(
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 10.0, 9.0, 10.5, -5.0, 1e300]),
    st.integers(-(10**7), 10**9).map(lambda cents: cents / 100),
)
currencies = st.sampled_from(
    ["EUR", " usd ", "Chf", "jpy\n", "\u00a0GBP\u3000", "", " ", "ABC", "E UR", "978", "€", "eur", "XXX"]
)
keys = (
    st.none() | st.text(st.sampled_from("aAbBzÄé _-\t\u00a0"), max_size=4) | st.sampled_from(["City", "city", "CITY"])
)
params = st.lists(st.tuples(keys, st.none() | st.sampled_from(["", " ", "Bonn"]) | texts), max_size=5)
moments = st.tuples(
    st.sampled_from([-2, -1, 0, 0, 0, 1, 2, 400, 300_000]),
    st.sampled_from([time(0), time(2, 30), time(12), time(12, 0, 0, 1), time(23, 59, 59, 999999)]),
    st.sampled_from([-1, 0, 0, 1]),
)


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=4, max_size=12)


pools = st.fixed_dictionaries(
    {
        "client_id": _some(st.none() | client_ids),
        "moment": _some(moments),
        "value": _some(st.none() | values).map(lambda drawn: [*drawn, 0.0, -0.0]),
        "currency": _some(st.none() | currencies),
        "is_qualified": st.just([True, None, False]),
        "params": _some(st.none() | params),
        "user_id": _some(st.none() | texts),
        "around the id": _some(spaces),
        "bad id": _some(st.none() | spaces | st.just("x" * 65)),
    }
)


class Session(DuckDBWarehouse):
    """One warehouse in memory for all examples."""

    def __init__(self) -> None:
        super().__init__(Path(":memory:"))
        columns = ", ".join(f"{name} {kind}" for name, kind in ORDERS.items())
        self._connection.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.orders ({columns})")

    def load(self, rows: Sequence[Row]) -> None:
        whole = [{"status": None, **row, "params": row["params"] and _pairs(row["params"])} for row in rows]
        self._connection.execute("DELETE FROM shop.orders")
        self._connection.register("arriving", pa.Table.from_pylist(whole, SCHEMA))
        self._connection.execute("INSERT INTO shop.orders SELECT * FROM arriving")
        self._connection.unregister("arriving")

    def staged(self) -> list[dict[str, Any]]:
        cursor = self._connection.execute("SELECT * FROM staged")
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _pairs(pairs: Sequence[tuple[str | None, str | None]]) -> list[dict[str, str | None]]:
    return [{"key": key, "value": value} for key, value in pairs]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("model"), SQL)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session() as session:
        yield session


@settings(max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(
    pool=pools,
    seed=st.integers(0, 2**32),
    middle=st.sampled_from(MIDDLES),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    latest=st.booleans(),
)
def test_r05_to_r10_any_result_is_staged_as_the_model_says(
    shop: Shop,
    session: Session,
    pool: Mapping[str, list[Any]],
    seed: int,
    middle: date,
    zone: str,
    latest: bool,
) -> None:
    project = Project(timezone=zone, currency="EUR")
    conversion = replace(shop.conversion, project=project, dedup="latest" if latest else "earliest")
    now = datetime.combine(middle + timedelta(days=2), time(6), UTC)
    days = Days(middle - timedelta(days=1), middle + timedelta(days=1))
    rows = _mixed(pool, random.Random(seed), project, now, middle)
    session.load(rows)
    run = Run("run", Clock(now, replaced=True), project.local_date(now), "load")
    returned = stage(session, conversion, Wanted(days), run).returned
    session.create_table(conversion.stored, {"day": "DATE", "client_id": "STRING"})
    profile = read_profile(session, conversion, days, returned, [])
    expected = Model(project.zone, "EUR", now, latest).run(rows, days.all())
    _same(session.staged(), profile, expected, days, now)


def _mixed(
    pool: Mapping[str, list[Any]], dice: random.Random, project: Project, now: datetime, middle: date
) -> list[Row]:
    """CASES ids with one to five rows each, whose columns are of the pools."""
    rows: list[Row] = []
    for number in range(CASES):
        name = dice.choice(["o", "O", "ö"]) + str(number)
        template = {column: dice.choice(pool[column]) for column in pool}
        for _ in range(dice.choice([1, 1, 1, 2, 2, 3, 5])):
            # The rows of an id differ in a few columns, so that each tie of R5 is met.
            drawn = template | {
                c: dice.choice(pool[c]) for c in dice.sample(sorted(pool), dice.choice([0, 1, 1, 2, 3]))
            }
            id = dice.choice(pool["bad id"]) if dice.random() < 0.05 else drawn["around the id"] + name
            columns = ("client_id", "value", "currency", "is_qualified", "params", "user_id")
            created = _instant(drawn["moment"], project, middle, now)
            rows.append({"id": id, "created": created, **{column: drawn[column] for column in columns}})
    dice.shuffle(rows)
    return rows


def _instant(moment: tuple[int, time, int], project: Project, middle: date, now: datetime) -> datetime:
    days, clock, microseconds = moment
    if days == 2:
        # Around the end of what a run takes: 15 minutes after it.
        return now + timedelta(minutes=15, microseconds=microseconds)
    local = datetime.combine(middle + timedelta(days=days), clock, project.zone)
    return local.astimezone(UTC) + timedelta(microseconds=microseconds)


def _same(
    staged: Sequence[Row], profile: Sequence[Mapping[str, Any]], expected: Any, days: Days, now: datetime
) -> None:
    refused = Counter(expected.refused)
    late = now + timedelta(minutes=15)
    found = Counter(
        (r["day"], r["id"], r["refusal"][:2])
        for r in staged
        if r["refusal"] and (r["day"] in days or r["created"] >= late)
    )
    assert found == refused
    stored = {(row["day"], row["id"]): _comparable(row) for row in staged if not row["refusal"] and row["day"] in days}
    assert stored == expected.stored
    assert {row["day"]: {name: row[name] for name in COUNTS} for row in profile} == expected.counts
    seen.update({"cases": CASES, "stored": len(stored), "refused": refused.total()})
    seen.update({name: sum(counts[name] for counts in expected.counts.values()) for name in COUNTS})


def _comparable(row: Row) -> Row:
    pairs = row["params"] and tuple((pair["key"], pair["value"]) for pair in row["params"])
    names = ("id", "client_id", "value", "currency", "is_qualified", "user_id", "day")
    return {**{name: row[name] for name in names}, "created": row["created"].astimezone(UTC), "params": pairs}


def test_the_examples_are_10000_cases_and_meet_every_rule() -> None:
    if not seen:
        pytest.skip("runs behind the test above")
    assert seen["cases"] >= 10_000
    for what in ("stored", "refused", *COUNTS):
        assert seen[what] > 100, (what, seen)
