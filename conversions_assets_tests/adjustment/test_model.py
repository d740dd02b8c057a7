"""Random histories: the product does what the small model of R14-R22 does, version for version.

The examples are the same in each run of the tests. To look for new ones: max_examples=2000 and derandomize=False below.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conversions_assets.project import Project, Thresholds
from conversions_assets_tests import shop as shops
from conversions_assets_tests.adjustment.conftest import QuickWarehouse
from conversions_assets_tests.adjustment.model import Model, as_text, replayed
from conversions_assets_tests.shop import ORDERS, make_shop, order

IDS = "abcde"
START = date(2026, 1, 20)
LENIENT = Project(
    timezone="UTC",
    currency="EUR",
    thresholds=Thresholds(quarantined_share=1, conflicting_ids_share=1, raw_rows_fall=1),
)
COMPARED = (
    *("id", "client_id", "created", "value", "currency", "is_qualified", "day", "status", "adjustment_type"),
    *("adjustment_reason", "original_value", "previous_value", "previous_currency", "adjustment_count"),
)
LEDGER = ("id", "version", "reason", "day_before", "day_after", "value_delta")
DRIFT = ("id", "day", "kind", "field", "frozen_value", "crm_value", "value_delta", "currency")

# Days are told as days before r: 0 is the open day, -1 lies after it. Few of them, so that moves meet.
days_ago = st.integers(-1, 14) | st.integers(1, 4)
edits = st.one_of(
    st.tuples(st.just("move"), days_ago),
    st.tuples(st.just("again on"), days_ago),
    st.tuples(st.just("once"), st.none()),
    st.tuples(st.just("value"), st.sampled_from([10.0, 25.0, None])),
    st.tuples(st.just("currency"), st.sampled_from(["EUR", "USD", "???"])),
    st.tuples(st.just("is_qualified"), st.sampled_from([None, True])),
    st.tuples(st.just("client_id"), st.sampled_from(["1.2", "3.4"])),
    st.tuples(st.just("status"), st.sampled_from(["confirmed", "confirmed", "cancelled"])),
)
inserts = st.tuples(st.just("insert"), days_ago)
steps = st.fixed_dictionaries(
    {
        "edits": st.fixed_dictionaries(dict.fromkeys(IDS, st.lists(inserts | edits, max_size=2))),
        "days later": st.integers(0, 4),
        "window": st.sampled_from([None, None, None, 0, 3, 10]),
        "last": st.integers(1, 6),
        "length": st.sampled_from([1, 2, 4, 8, 16]),
        "thaw": st.sampled_from([False, False, False, True]),
        "audit": st.sampled_from([False, False, True]),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(
    window=st.sampled_from([0, 3, 10]),
    dedup=st.sampled_from(["earliest", "earliest", "latest"]),
    history=st.lists(steps, min_size=2, max_size=4),
)
def test_r14_to_r22_any_history_is_published_as_the_model_says(
    window: int, dedup: str, history: Sequence[Mapping[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, Session() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shops, "DuckDBWarehouse", lambda _: nullcontext(session))
        shop = make_shop(Path(folder), window_days=window, project=LENIENT)
        shop.configure(dedup=dedup)
        model, r = Model(latest_wins=dedup == "latest"), START
        crm: dict[str, list[dict[str, Any]]] = {}
        for number, step in enumerate(history):
            r += timedelta(days=step["days later"])
            window = window if step["window"] is None else step["window"]
            for id, changes in step["edits"].items():
                for change in changes:
                    crm[id] = _edited(crm.get(id, []), id, r, change)
            shop.now = datetime.combine(r, time(6), UTC)
            shop.configure(window_days=window)
            rows = [row for id in crm for row in crm[id]]
            last = r - timedelta(days=step["last"])
            first = last - timedelta(days=step["length"] - 1)
            session.load(rows)
            shop.update(first, last, **({"thaw": "a reason"} if step["thaw"] else {}))
            model.run(rows, shop.now, window, first, last, step["thaw"])
            _same(session, model, f"step {number}: r {r}, W {window}, run over {first} to {last}")
            if step["audit"]:
                shop.audit()
                model.audit(rows, shop.now, window)
                _same(session, model, f"step {number}: audit at r {r}, W {window}")


class Session(QuickWarehouse):
    """One warehouse in memory for all runs of a history."""

    def __init__(self) -> None:
        super().__init__(Path(":memory:"))
        self.made = set()
        columns = ", ".join(f"{name} {kind}" for name, kind in ORDERS.items())
        self._connection.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.orders ({columns})")

    def load(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.execute("DELETE FROM shop.orders")
        marks = ", ".join("?" for _ in ORDERS)
        for row in rows:
            self._connection.execute(f"INSERT INTO shop.orders VALUES ({marks})", [row[name] for name in ORDERS])

    def rows(self, name: str) -> list[dict[str, Any]]:
        relation = self._connection.table(f'adjusted."{name}"')
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _edited(rows: list[dict[str, Any]], id: str, r: date, change: tuple[str, Any]) -> list[dict[str, Any]]:
    """The rows of one id after an edit in the CRM: none, one, or two on different days."""
    what, argument = change
    match what:
        case "insert":
            return rows or [order(id, _at(r, argument), currency="EUR")]
        case "move":
            return [{**row, "created": _at(r, argument)} for row in rows[:1]]
        case "again on":
            again = [{**row, "created": _at(r, argument), "value": 40.0} for row in rows[:1]]
            return rows[:1] + [row for row in again if row["created"].date() != rows[0]["created"].date()]
        case "once":
            return rows[-1:]
        case _:
            return [{**row, what: argument} for row in rows]


def _at(r: date, days: int) -> datetime:
    # three o'clock is before the run of the day, nine o'clock after it
    return datetime.combine(r - timedelta(days=days), time(3 if days % 2 == 0 else 9), UTC)


def _same(session: Session, model: Model, where: str) -> None:
    table, ledger, drift = (session.rows(name) for name in ("order", "order_changes", "order_drift"))
    assert {row["id"]: {name: row[name] for name in COMPARED} for row in table} == {
        id: {name: row[name] for name in COMPARED} for id, row in model.published.items()
    }, where
    assert sorted(tuple(row[name] for name in LEDGER) for row in ledger) == sorted(model.ledger), where
    listed = [{**row, **{name: as_text(row[name]) for name in ("frozen_value", "crm_value")}} for row in drift]
    assert sorted((tuple(row[name] for name in DRIFT) for row in listed), key=repr) == sorted(
        {row[1:] for row in model.drift}, key=repr
    ), where
    assert replayed(ledger) == {row["id"]: row for row in table}, where
