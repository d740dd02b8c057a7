"""The same story on both engines, row by row: a conversion's runs on BigQuery are its runs on DuckDB."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conversions_assets_tests.shop import Shop, day, make_shop, order
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop, shop_of
from conversions_assets_tests.warehouse.comparing import all_tables, comparable_rows
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

CITY = [{"key": "City", "value": "Bonn"}, {"key": "country", "value": "DE"}]
FIRST = [
    order("kept", "2026-01-25T10:00", 10.0, params=CITY, user_id="u1"),
    order("frozen", "2026-01-15T10:00", 20.0),
    order("dearer", "2026-01-26T10:00", 30.0, currency="USD"),
    order("cancelled", "2026-01-27T10:00", 40.0),
    order("moved", "2026-01-28T10:00", 50.0),
    order("twice", "2026-01-28T11:00", 1.0, params=CITY),
    order("twice", "2026-01-28T11:00", 1.0, params=CITY),
    # a day that breaks the contract, and stays as it was
    order("differs", "2026-01-30T11:00", 1.0, params=CITY),
    order("differs", "2026-01-30T12:00", 2.0),
    order(" ", "2026-01-30T13:00", 3.0),
    order("odd", "2026-01-30T14:00", float("nan")),
]
LATER = [
    FIRST[0],
    order("frozen", "2026-01-15T10:00", 25.0),
    order("dearer", "2026-01-26T10:00", 35.5, currency="USD"),
    order("moved", "2026-01-29T10:00", 50.0),
    *FIRST[5:],
    order("new", "2026-01-29T11:00", 60.0, is_qualified=True),
]
pytestmark = pytest.mark.bigquery
PUBLISHED, LEDGER = "adjusted.order", "adjusted.order_changes"
COUNTS = ("returned_rows", "ids", "quarantined_rows", "repeated_ids", "conflicting_ids", "not_attributed_rows")


@pytest.fixture
def on_bigquery(bigquery_client: EmulatedClient, tmp_path: Path) -> BigQueryShop:
    """The shop in a project of the test's own."""
    folder = tmp_path / "bigquery"
    folder.mkdir()
    return shop_of(folder, bigquery_client)


def _story(shop: Shop) -> Iterator[Any]:
    """An insert, a change, a cancellation, a move and a frozen day; what can be compared after each run."""
    shop.set_orders(FIRST)
    for first, last in (("01-15", "01-15"), ("01-25", "01-29")):
        done = shop.convert(day(first), day(last))
        yield [{name: row[name] for name in COUNTS} for row in done.profile], done.failing_days
        published = shop.adjust(day(first), day(last))
        yield comparable_rows(published.changes), comparable_rows(published.totals), published.replay
    done = shop.convert(day("01-30"))
    yield [{name: row[name] for name in COUNTS} for row in done.profile], done.failing_days, done.failing_ids
    yield all_tables(shop)
    shop.now = datetime(2026, 2, 1, 6, tzinfo=UTC)
    shop.set_orders(LATER)
    for first, last in (("01-25", "01-29"), ("01-15", "01-15")):
        published = shop.update(day(first), day(last))
        yield (
            comparable_rows(published.changes),
            comparable_rows(published.totals),
            comparable_rows(published.drift),
            published.replay,
        )
    yield all_tables(shop)
    # R12: the same input again changes nothing.
    shop.update(day("01-25"), day("01-29"))
    yield all_tables(shop)


def test_r12_to_r21_a_story_is_told_alike_by_both_engines(tmp_path: Path, on_bigquery: BigQueryShop) -> None:
    on_duckdb = make_shop(tmp_path)
    for told, expected in zip(_story(on_bigquery), _story(on_duckdb), strict=True):
        assert told == expected
    ledger = [(row["id"], row["reason"]) for row in on_bigquery.ledger() if row["reason"] != "PUBLISHED"]
    assert ledger == [("cancelled", "VANISHED"), ("dearer", "VALUE_CHANGED"), ("moved", "MOVED")]
    assert [row["id"] for row in on_bigquery.drift()] == ["frozen"]


@pytest.mark.parametrize("is_sent", [False, True])
def test_r12_a_run_that_is_killed_at_its_transaction_leaves_old_or_new(
    on_bigquery: BigQueryShop, is_sent: bool
) -> None:
    shop = on_bigquery
    assert shop.client is not None
    shop.set_orders(FIRST[:2])
    shop.update(day("01-25"))
    before = all_tables(shop)
    shop.set_orders([order("kept", "2026-01-25T10:00", 11.0), order("new", "2026-01-25T11:00")])
    shop.convert(day("01-25"))
    send = shop.client.query

    def killing(query: str, *args: Any, **options: Any) -> Any:
        if "BEGIN TRANSACTION" not in query:
            return send(query, *args, **options)
        if is_sent:
            send(query, *args, **options)
        raise KeyboardInterrupt

    shop.client.query = killing  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        shop.adjust(day("01-25"))
    shop.client.query = send  # type: ignore[method-assign]
    left = all_tables(shop)
    assert (left[PUBLISHED] == before[PUBLISHED], left[LEDGER] == before[LEDGER]) == (not is_sent, not is_sent)
    assert len(left[LEDGER]) == (3 if is_sent else 1)
    # The next run finishes it, and nothing is there twice.
    assert shop.adjust(day("01-25")).replay.holds
    assert [(row["id"], row["value"]) for row in all_tables(shop)[PUBLISHED]] == [("kept", 11.0), ("new", 10.0)]
    assert len(shop.ledger()) == 3
