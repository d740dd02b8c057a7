"""`make validate`: what a person sees of one conversion, and what is kept from view."""

from pathlib import Path

import pytest

from conversions_assets.__main__ import main
from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.validate import Preview, preview
from conversions_assets.project import Clock
from conversions_assets_tests.deployment import make_deployment
from conversions_assets_tests.shop import Shop, make_shop, order

CITY = [{"key": "city", "value": "Musterhausen"}]


def _preview(shop: Shop, days: int = 60) -> Preview:
    with shop.open() as warehouse:
        return preview(warehouse, shop.conversion, days, Clock(shop.now, replaced=True))


def test_a_preview_shows_columns_rows_and_days(shop: Shop) -> None:
    shop.set_orders(
        [
            order("a", "2026-01-29T10:00:00", 12.5, is_qualified=True, currency="usd"),
            order("b", "2026-01-30T10:00:00", None, client_id=None),
            order("", "2026-01-30T11:00:00"),
            order("old", "2025-10-01T10:00:00"),
        ]
    )
    shown = _preview(shop)
    assert shown.types["params"] == "ARRAY<STRUCT<key STRING, value STRING>>"
    assert [row["id"] for row in shown.rows] == ["", "b", "a"]
    assert [(str(r["day"]), r["ids"], r["refused"], r["not_attributed"]) for r in shown.per_day] == [
        ("2026-01-29", 1, 0, 0),
        ("2026-01-30", 1, 1, 1),
    ]
    text = str(shown)
    assert "2026-01-29 10:00:00+0000  12.50  USD" in text
    assert "R7: the id is empty" in text
    assert "order: 2 conversions and 1 refused rows in 60 days" in text
    assert not shown.holds


def test_a_preview_keeps_personal_values_from_view(shop: Shop) -> None:
    shop.set_orders(
        [order("eva@example.com", "2026-01-29T10:00:00", client_id="1234567.7654321", params=CITY, user_id="user-77")]
    )
    text = str(_preview(shop))
    for value in ("eva", "1234567", "7654321", "Musterhausen", "user-77"):
        assert value not in text
    assert "(hidden)" in text
    assert "city" in text


@pytest.mark.duckdb_only
def test_a_preview_shows_twenty_rows_at_most_and_writes_nothing(shop: Shop) -> None:
    shop.set_orders([order(f"o{n:02}", f"2026-01-{1 + n % 28:02}T10:00:00") for n in range(50)])
    before = shop.query("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL")
    shown = _preview(shop)
    assert len(shown.rows) == 20
    assert sum(row["ids"] for row in shown.per_day) == 50
    assert shop.query("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL") == before


def test_r25_a_preview_says_whether_a_conversion_can_be_a_target(shop: Shop, tmp_path: Path) -> None:
    recent = {"created": "2026-01-29T10:00:00"}
    shop.set_orders([order("a", **recent, user_id="u", is_qualified=False), order("b", **recent)])
    assert "cannot be the target of a predicted value now" in _preview(shop).as_target
    shop.set_orders([order("a", "2025-11-01T10:00:00", user_id="u")])
    assert "cannot be the target of a predicted value now" in _preview(shop, days=120).as_target
    shop.set_orders([order("a", **recent, user_id="u", is_qualified=None), order("b", **recent, user_id="u")])
    assert _preview(shop).as_target == "can be the target of a predicted value: 2 rows with a user_id in 60 days"
    (tmp_path / "other").mkdir()
    without = make_shop(tmp_path / "other", "SELECT id, client_id, created FROM shop.orders")
    assert "the SQL returns no user_id" in _preview(without).as_target


def test_a_preview_begins_with_the_conversion(shop: Shop) -> None:
    assert isinstance(shop.conversion, Conversion)
    shop.configure(start_date=shop.now.date().replace(day=20))
    shop.set_orders([order("a", "2026-01-19T10:00:00"), order("b", "2026-01-20T10:00:00")])
    assert [row["id"] for row in _preview(shop).rows] == ["b"]


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELECT id, client_id, created, value FROM shop.orders", 0, "order: 1 conversions and 0 refused rows"),
        ("SELECT id, clientid, created FROM shop.orders", 1, "the column `clientid` does not exist"),
        ("SELECT 1; SELECT 2", 1, "the file holds 2 statements"),
        ("SELECT '' AS id, client_id, created FROM shop.orders", 1, "R7: the id is empty"),
    ],
)
def test_the_command_fails_where_the_conversion_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, code: int, says: str
) -> None:
    deployment = make_deployment(tmp_path, {"conversions/order/order.sql": sql})
    deployment.set_orders(("1", "2026-01-29T10:00:00Z", 2.0))
    deployment.point()
    assert main(["--package", str(deployment.root / deployment.module), "validate", "order"]) == code
    assert says in capsys.readouterr().out


def test_an_unknown_conversion_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = make_deployment(tmp_path)
    deployment.point()
    assert main(["--package", str(deployment.root / deployment.module), "validate", "ordr"]) == 2
    assert "there is no conversion 'ordr'; there are order" in capsys.readouterr().err
