"""`explain`: the story of one id, without client ids and params."""

from datetime import UTC, datetime, timedelta

from conversions_assets.adjustment.explain import explain
from conversions_assets.project import Clock
from conversions_assets_tests.shop import Shop, day, order


def told(shop: Shop, id: str) -> str | None:
    with shop.open() as warehouse:
        return explain(warehouse, shop.conversion, id, Clock(shop.now, replaced=True))


def test_the_story_of_an_id(shop: Shop) -> None:
    secret = {"client_id": "111.222", "user_id": "jane", "params": [{"key": "note", "value": "secret"}]}
    noon = "2026-01-20T12:00"
    shop.now = datetime(2026, 1, 21, 6, tzinfo=UTC)
    for number, row in enumerate(
        [
            order("7", noon, 100.0, **secret),
            order("7", noon, 80.0, **secret),
            order("7", noon, 80.0, **secret | {"user_id": "joe"}),
        ]
    ):
        shop.now += timedelta(days=number)
        shop.set_orders([row])
        shop.update(day("01-20"))
    story = told(shop, "7")
    assert story is not None
    expected = (
        "version 1, PUBLISHED (first published)",
        "ACTIVE, 100.00 EUR, day 2026-01-20",
        "2026-01-22 06:00:00 UTC  version 2, VALUE_CHANGED",
        "value 100.00 -> 80.00",
        "value moved -20.00, load load-3, run run-4",
        "version 3, ATTRIBUTE_CHANGED",
        "client id, user id or params (not shown)",
        "Adjustable: its day 2026-01-20 lies in the window 2026-01-14 to 2026-01-23 (W = 10, today 2026-01-24). "
        "It freezes on 2026-01-31.",
    )
    for text in expected:
        assert text in story
    shop.set_orders([])
    shop.now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    shop.update(day("01-20"))
    story = told(shop, "7")
    assert story is not None
    assert "Frozen: its day 2026-01-20 lies before the window 2026-01-21 to 2026-01-30 (R21)." in story
    assert "VANISHED, value of 2026-01-20: published 80.00, CRM none" in story
    assert "The SQL said when it last ran: no such row" in story
    for trace in ("111.222", "jane", "joe", "secret"):
        assert trace not in story


def test_a_refused_row_is_told_with_its_rule(shop: Shop) -> None:
    shop.set_orders([order("9", "2026-01-30T12:00", currency="XYZ")])
    shop.convert(day("01-30"))
    story = told(shop, "9") or ""
    assert "never published" in story
    assert "day 2026-01-30, R6:" in story


def test_an_unknown_id_and_an_empty_warehouse(shop: Shop) -> None:
    assert told(shop, "7") is None
    shop.update(day("01-30"))
    assert told(shop, "7") is None


def test_explain_tells_why_a_larger_window_does_not_help(shop: Shop) -> None:
    shop.configure(window_days=3)
    shop.set_orders([order("7", "2026-01-25T12:00")])
    shop.update(day("01-25"), day("01-30"))
    shop.configure(window_days=30)
    assert "a larger window thaws nothing (R31)" in (told(shop, "7") or "")
    shop.configure(window_days=0)
    assert "adjustment is off" in (told(shop, "7") or "")
