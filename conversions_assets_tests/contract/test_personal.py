"""R9: what looks like an e-mail address or a phone number is an error that names the key, never the value."""

from pathlib import Path

import duckdb

from conversions_assets.contract import materialise
from conversions_assets.contract.conversion import Days
from conversions_assets.contract.data_docs import write_page
from conversions_assets.contract.materialise import Materialised
from conversions_assets.contract.suite import Outcome
from conversions_assets.warehouse.dialect import to_duckdb
from conversions_assets.warehouse.script import bind
from conversions_assets_tests.shop import Shop, day, order

TEN, ELEVENTH = "2026-01-10T10:00", "2026-01-11T10:00"


def _split(text: str) -> list[str]:
    return [value.strip() for line in text.strip().splitlines() for value in line.split("¦")]


ADDRESSES = _split("""
    jane@example.com ¦ JANE.DOE@EXAMPLE.COM ¦ jane+tag@mail.example.co.uk ¦ j_d-1@ex-ample.de ¦ 1@2.de
    mailto:jane@example.com ¦ Jane Doe <jane@example.com> ¦ please write to jane@example.com. ¦ jane%40example.com
    https://shop.example/?mail=jane%40example.com&x=1 ¦ jane%2540example.com ¦ jane&#64;example.com
    jürgen@müller.de ¦ x@example.photography ¦ user:jane@example.com:8080 ¦ a@b.co
""")
PHONES = _split("""
    +491711234567 ¦ +49 171 1234567 ¦ +49 (0)171 / 123 45 67 ¦ +49-171-1234567 ¦ +1 (212) 555-0123 ¦ +12125550123
    +49.171.1234567 ¦ tel:+491711234567 ¦ %2B491711234567 ¦ call +44 20 7946 0958 today ¦ (+49) 171 1234567
    +358 40 1234567 ¦ +12345678 ¦ Handy: +49 171 1234567, privat ¦ 0049 171 1234567 ¦ 00491711234567
    0049-171-1234567 ¦ 0043 (1) 5124567 ¦ 0012125550123 ¦ call 0049 171 1234567 ¦ (030) 123 456 ¦ (030)123456
    (0171) 1234567 ¦ (089) 12 34 56 78 ¦ Büro (040) 1234-567 ¦ (212) 555-0123 ¦ (212)555-0123 ¦ (212) 555 0123
    212-555-0123 ¦ 212.555.0123 ¦ 212 555 0123 ¦ 555-123-4567 ¦ tel: 1234567 ¦ Tel.: 030 123456 ¦ Phone: 12345678
    fax:030-123456 ¦ Mobil: 01711234567 ¦ 0171 1234567 ¦ 0171/1234567 ¦ 0171 / 123 45 67 ¦ 030 123456
    030 123 456 78 ¦ 089/12345678 ¦ 0171-1234567 ¦ 020 7946 0958 ¦ 01 23 45 67 89 ¦ 01.23.45.67.89 ¦ 07911 123456
""")
PHONES += ["+49\xa0171\xa01234567", "+49 171\u20131234567", " 0171 1234567 "]
NEITHER = _split("""
    1234567890 ¦ 00012345 ¦ 0012345678 ¦ 0000123456789 ¦ A-1234567 ¦ 2026-000123 ¦ 123-456-789 ¦ ORD 2026/12345
    302-1234567-1234567 ¦ #1001 ¦ 12345678901234567890 ¦ 4006381333931 ¦ 978-3-16-148410-0 ¦ DE89370400440532013000
    DE89 3704 0044 0532 0130 00 ¦ DE123456789 ¦ 4111 1111 1111 1111 ¦ SKU-0171-1234567 ¦ 0171-12345
    1Z999AA10123456784 ¦ f81d4fae-7dec-11d0-a765-00a0c91e6bf6 ¦ 550e8400-e29b-41d4-a716-446655440000 ¦ 0123-456789
    INV0012345678 ¦ 1234567890.1700000000 ¦ GA1.2.1234567890.1700000000 ¦ FPID2.2.abcDEF123 ¦ UA-12345678-1
    G-1ABCDE2FGH ¦ EAIaIQobChMI1234567890 ¦ Cj0KCQiA-0012345678_wcB ¦ gclid=Cj0KCQiA1234567890 ¦ 123456789012
    AW-123456789/AbC-D_efG ¦ 2026-01-31 ¦ 31.01.2026 ¦ 01/31/2026 ¦ 01/02/2026 ¦ 01 02 2026 ¦ 01-02-2026 ¦ 20260131
    20260131103000 ¦ 2026-01-31 10:00:00 ¦ 2026-01-31T10:00:00+00:00 ¦ 2026-01-31 10:00:00 +0100
    2026-01-31T10:00:00.123456Z ¦ 1767225600 ¦ 1767225600000 ¦ Q1 2026 ¦ KW 05/2026 ¦ 09:30-18:00 ¦ 2025/2026
    01.02.2026 - 28.02.2026 ¦ 10115 ¦ D-10115 ¦ 10115-1234 ¦ SW1A 1AA ¦ 1010 Wien ¦ 00100 ¦ 75008 Paris
    52.520008, 13.404954 ¦ +48.137154 ¦ -33.868820,151.209290 ¦ Bonn ¦ Frankfurt (Oder) ¦ Unter den Linden 77
    12345 Berlin (030) ¦ summer+sale+2026 ¦ brand+20260131 ¦ brand_de_20260131 ¦ newsletter-2026-01 ¦ cpc
    google / cpc ¦ email ¦ utm_campaign=spring%20sale&utm_id=123456789 ¦ brand|exact|123456789 ¦ mobile-20260131
    phone case 12345678 ¦ 1.2.3 ¦ v10.15.7 ¦ 1.23.456.7890 ¦ 192.168.100.100 ¦ Mozilla/5.0 (X11) 123456789
    Chrome/120.0.6099.109 ¦ 1.234,56 ¦ 1,234.56 ¦ 1234567.89 ¦ +15% ¦ +1.5 ¦ -12345678 ¦ € 1 234 567,00 ¦ 1 000 000
    100000000 ¦ 1.23E9 ¦ 10-49 ¦ 1000-4999 ¦ 50-100 employees ¦ (2026) 1234567 ¦ 12 x 34 x 56 ¦ 1/2 ¦ 24/7 ¦ 3+4
    4:3 ¦ @jane ¦ @example.com ¦ jane@ ¦ jane@localhost ¦ jane at example.com ¦ https://social.example/@jane.doe
    a@b ¦ https://www.example.com/maps/@48.137154,11.576124,15z ¦ 50 @ 3.50 ¦ size@2x ¦ %40 ¦ @ ¦ + ¦ 00
""")
NEITHER += ["", " "]


def _looks_like(tmp_path: Path, values: list[str]) -> dict[str, str]:
    """Value -> what it looks like, for those that look personal, by the SQL of the product."""
    [finding] = bind(Path(materialise.__file__).with_name("personal.sql"), {}, {})
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE staged (day DATE, id VARCHAR, params STRUCT(key VARCHAR, value VARCHAR)[])")
        for value in values:
            connection.execute(
                "INSERT INTO staged VALUES ('2026-01-10', $v, [{'key': 'k', 'value': $v}])", {"v": value}
            )
        connection.execute(to_duckdb(finding.tree))
        return dict(connection.execute("SELECT id, looks_like FROM personal").fetchall())


def test_r09_values_that_look_like_an_e_mail_address(tmp_path: Path) -> None:
    assert _looks_like(tmp_path, ADDRESSES) == dict.fromkeys(ADDRESSES, "e-mail address")


def test_r09_values_that_look_like_a_phone_number(tmp_path: Path) -> None:
    assert _looks_like(tmp_path, PHONES) == dict.fromkeys(PHONES, "phone number")


def test_r09_values_that_look_like_neither(tmp_path: Path) -> None:
    assert _looks_like(tmp_path, NEITHER) == {}


def _params(**pairs: str) -> list[dict[str, str]]:
    # DuckDB takes a dictionary of the keys `key`, `value` for a MAP; names of a STRUCT know no case.
    return [{"KEY": key, "value": value} for key, value in pairs.items()]


def _outcome(result: Materialised) -> Outcome:
    return next(outcome for outcome in result.outcomes if outcome.rule.name == "personal_data")


def test_r09_a_day_with_personal_values_keeps_its_last_state_and_the_key_is_named(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, 1.0), order("b", ELEVENTH, 1.0)])
    shop.convert(day("01-10"), day("01-11"))
    personal = _params(city="Bonn", **{"Contact Mail": "jane@example.com"})
    shop.set_orders(
        [
            order("a", TEN, 2.0, params=personal),
            order("c", TEN, params=_params(note="tel: 0171 1234567")),
            order("b", ELEVENTH, 2.0, params=_params(city="Bonn")),
        ]
    )
    result = shop.convert(day("01-10"), day("01-11"))
    outcome = _outcome(result)
    assert (outcome.rule.rules, outcome.rule.blocking, outcome.failing_days) == ("R9", True, (day("01-10"),))
    assert outcome.names == ("contact_mail", "note")
    assert outcome.observed == {day("01-10"): 2.0}
    assert "leave these keys out: contact_mail, note" in outcome.sentence
    assert result.failing_ids["personal_data"] == ["a", "c"]
    assert [(row["key"], row["looks_like"], row["value_count"]) for row in result.personal] == [
        ("contact_mail", "e-mail address", 1),
        ("note", "phone number", 1),
    ]
    assert [(row["id"], row["value"]) for row in shop.stored()] == [("a", 1.0), ("b", 2.0)]


def test_r09_personal_values_go_nowhere(shop: Shop) -> None:
    # A row that is refused for another reason is shown in quarantine: without them.
    shop.set_orders(
        [
            order("a", TEN, float("nan"), params=_params(city="Bonn", mail="jane@example.com")),
            order(None, TEN, params=_params(phone="+49 171 1234567")),
            order("c", TEN, float("nan"), params=_params(city="Ulm")),
        ]
    )
    told: list[str] = []
    with shop.open() as warehouse:
        result = materialise.materialise(
            warehouse, shop.conversion, Days(day("01-10"), day("01-10")), shop.run(), told.append
        )
    page = write_page(shop.folder / "docs", "order", result.days, shop.run(), result.validation)
    everywhere = repr((result, told, shop.quarantine(), shop.stored())) + page.read_text(encoding="utf-8")
    for trace in ("jane", "example.com", "1234567"):
        assert trace not in everywhere
    assert _outcome(result).names == ("mail", "phone")
    rows = {row["id"]: row["row"] for row in shop.quarantine()}
    assert "removed" in rows["a"]
    assert "removed" in rows[None]
    assert "Ulm" in rows["c"]


def test_r09_only_the_days_of_the_run_are_judged(shop: Shop) -> None:
    shop.set_orders([order("a", TEN), order("b", ELEVENTH, params=_params(mail="jane@example.com"))])
    assert _outcome(shop.convert(day("01-10"))).passed


def test_r09_an_address_in_another_column_is_no_matter_of_params(shop: Shop) -> None:
    shop.set_orders([order("a", TEN, user_id="jane@example.com")])
    assert _outcome(shop.convert(day("01-10"))).passed
