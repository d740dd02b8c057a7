"""What `adjusted` makes of scores: the published value, its limits, its ledger (R15, R16, R21-R23, R27, R28, R30)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from sqlglot import exp

from conversions_assets.adjustment.columns import OF_A_SCORE, PUBLISHED
from conversions_assets.adjustment.explain import explain
from conversions_assets.adjustment.publish import audit_drift
from conversions_assets.adjustment.report import Published
from conversions_assets.contract.conversion import Days
from conversions_assets.prediction.tables import create_tables
from conversions_assets.project import Clock
from conversions_assets.warehouse.base import Statement
from conversions_assets.warehouse.dialect import parse_bigquery
from conversions_assets_tests.adjustment.conftest import QuickWarehouse
from conversions_assets_tests.prediction.crm import START, Crm, lead, simulated

SCORE = ("value", "value_source", "probability", "expected_target_value", "model_version")
FIRST = START.date()


SCORING = """
DELETE FROM predicted.lead WHERE TRUE;
INSERT INTO predicted.lead (
  id, user_id, day, probability, expected_target_value, predicted_value, model_version, scored_at, value_source
)
SELECT
  c.id, c.user_id, c.day, IF(v.id IS NULL, NULL, 0.5), v.value * 2, v.value, IF(v.id IS NULL, NULL, @model), @now,
  IF(v.id IS NULL, 'NONE', 'PREDICTED')
FROM conversions.lead AS c
LEFT JOIN known AS v ON v.id = c.id;
DELETE FROM predicted._lead_days WHERE TRUE;
INSERT INTO predicted._lead_days (day, fingerprint) SELECT day, CONCAT('f ', @model) FROM conversions._lead_days
"""


@pytest.fixture
def crm_settings() -> dict[str, Any]:
    """On the 13th of January: all days lie in the window of 30 days. The SQL reports values."""
    return {"value": "value, currency,", "now": START + timedelta(days=12.25)}


def score(crm: Crm, values: Mapping[str, float | None], model: str = "m1") -> None:
    """Scores as `predicted/lead` would leave them; a lead that is not named has none."""
    known = pd.DataFrame([(id, value) for id, value in values.items() if value is not None], columns=["id", "value"])
    given = {"model": model, "now": crm.now}
    with crm.warehouse(crm.path) as session:
        create_tables(session, crm.lead)
        session.load("known", known, {"id": "STRING", "value": "FLOAT64"})
        for tree in parse_bigquery(SCORING):
            used = {parameter.name for parameter in tree.find_all(exp.Parameter)}
            crm.write(session, [Statement(tree, {name: value for name, value in given.items() if name in used})])


def publish(crm: Crm, values: Mapping[str, float | None], model: str = "m1") -> Published:
    """One run over all closed days with these scores; the ledger must give what is published."""
    score(crm, values, model)
    done = crm.publish_leads()
    assert done.replay.holds
    return done


def place(crm: Crm, *rows: dict[str, Any]) -> None:
    """These leads are what the CRM holds and `conversions/lead` says."""
    crm.place(rows)


def reasons(crm: Crm, id: str = "a") -> list[str]:
    return [row["reason"] for row in crm.ledger(id)]


A = lead("a", 3.0, value=7.0, currency="USD")


def test_r27_r22_the_value_is_the_score_and_what_was_reported_is_kept(crm: Crm) -> None:
    place(crm, A, lead("b", 3.0))
    publish(crm, {"a": 100.0})
    rows = crm.published()
    assert [rows["a"][name] for name in SCORE] == [100.0, "PREDICTED", 0.5, 200.0, "m1"]
    assert (rows["a"]["currency"], rows["a"]["value_project"], rows["a"]["fx_rate"]) == ("EUR", 100.0, 1.0)
    assert (rows["a"]["reported_value"], rows["a"]["reported_currency"]) == (7.0, "USD")
    assert rows["a"]["scored_at"] == crm.now
    assert [rows["b"][name] for name in SCORE] == [None, "NONE", None, None, None]
    assert list(rows["a"]) == [*PUBLISHED, *OF_A_SCORE]
    publish(crm, {"a": 200.0}, "m2")
    with crm.warehouse(crm.path) as session:
        story = explain(session, crm.lead, "a", Clock(crm.now, replaced=True))
    assert story is not None
    assert "version 2, RESCORED" in story
    assert "value 100.00 -> 200.00, model_version m1 -> m2" in story


LIMITS = {
    (100.0, 104.9): False,
    (100.0, 105.0): True,
    (100.0, 95.0): True,
    (100.0, 95.1): False,
    (10.0, 10.99): False,  # 9.9 %, but less than one unit
    (10.0, 11.0): True,
    (10.0, 9.0): True,
    (19.0, 20.0): True,  # 5.3 % and one unit
    (21.0, 22.0): False,  # one unit, but 4.8 %
    (0.0, 0.9): False,
    (0.0, 1.0): True,
}


def test_r30_a_change_of_5_percent_and_one_unit_is_published(crm: Crm) -> None:
    cases = {f"l{n}": case for n, case in enumerate(LIMITS)}
    place(crm, *(lead(id, 3.0) for id in cases))
    publish(crm, {id: before for id, (before, _) in cases.items()})
    publish(crm, {id: after for id, (_, after) in cases.items()}, "m2")
    rows = crm.published()
    for id, (before, after) in cases.items():
        row = rows[id]
        if LIMITS[before, after]:
            assert [row[name] for name in SCORE] == [after, "PREDICTED", 0.5, after * 2, "m2"]
            assert reasons(crm, id) == ["PUBLISHED", "RESCORED"]
            assert (row["adjustment_type"], row["adjustment_reason"]) == ("RESTATEMENT", "RESCORED")
            assert (row["original_value"], row["previous_value"], row["adjustment_count"]) == (before, before, 1)
            assert crm.ledger(id)[1]["value_delta"] == pytest.approx(after - before)
        else:
            # Where the value stands, its score stands.
            assert [row[name] for name in SCORE] == [before, "PREDICTED", 0.5, before * 2, "m1"]
            assert reasons(crm, id) == ["PUBLISHED"]


def test_r30_at_most_three_times_per_id(crm: Crm) -> None:
    """Other versions do not count, nor does size where there was no score or is none any more. A lead that loses its
    user_id loses its value at any time."""
    place(crm, A, lead("b", 3.0), lead("c", 3.0), lead("d", 3.0))
    for number, value in enumerate((100.0, 120.0, 150.0, 190.0, 300.0)):
        place(crm, A, lead("b", 3.0, is_qualified=number % 2 == 0), lead("c", 3.0), lead("d", 3.0))
        first = {0: None, 1: 0.5}.get(number)
        publish(crm, {"a": value, "b": 100.0 + number, "c": value, "d": first}, f"m{number}")
        assert crm.published()["d"]["value"] == first
    assert reasons(crm, "a") == ["PUBLISHED", "RESCORED", "RESCORED", "RESCORED"]
    assert [crm.published()["a"][name] for name in SCORE] == [190.0, "PREDICTED", 0.5, 380.0, "m3"]
    assert reasons(crm, "b") == ["PUBLISHED", *["QUALIFICATION_CHANGED"] * 4]
    assert [crm.published()["b"][name] for name in SCORE] == [100.0, "PREDICTED", 0.5, 200.0, "m0"]
    assert reasons(crm, "d") == ["PUBLISHED", "RESCORED", "RESCORED"]
    place(crm, A, lead("b", 3.0), lead("c", 3.0, user_id=None), lead("d", 3.0))
    publish(crm, {"a": 500.0, "b": 200.0}, "m9")
    rows = crm.published()
    assert [rows[id]["value"] for id in "abc"] == [190.0, 200.0, None]
    assert (rows["c"]["value_source"], rows["c"]["model_version"]) == ("NONE", None)


def test_r15_rescored_stands_in_the_place_of_value_changed(crm: Crm) -> None:
    """Before QUALIFICATION_CHANGED, MOVED and ATTRIBUTE_CHANGED, behind VANISHED and REAPPEARED."""
    place(crm, A)
    publish(crm, {"a": 100.0})
    place(crm, A | {"is_qualified": True, "created": A["created"] + timedelta(days=2), "source": "ads"})
    publish(crm, {"a": 200.0}, "m2")
    row = crm.published()["a"]
    assert (row["is_qualified"], row["day"], row["value"]) == (True, FIRST + timedelta(days=5), 200.0)
    place(crm)
    publish(crm, {})
    gone = crm.published()["a"]
    assert [gone[name] for name in SCORE] == [0.0, "PREDICTED", 0.5, 400.0, "m2"]
    assert (gone["status"], gone["previous_value"], gone["reported_value"]) == ("RETRACTED", 200.0, 7.0)
    place(crm, A)
    publish(crm, {"a": 201.0}, "m3")
    assert reasons(crm) == ["PUBLISHED", "RESCORED", "VANISHED", "REAPPEARED"]
    assert [crm.published()["a"][name] for name in SCORE] == [201.0, "PREDICTED", 0.5, 402.0, "m3"]


def test_r15_a_reported_value_that_changes_is_a_version_and_no_adjustment(crm: Crm) -> None:
    place(crm, A)
    publish(crm, {"a": 100.0})
    for changed in ({"value": None}, {"currency": "EUR", "value": 9.0}):
        place(crm, A | changed)
        publish(crm, {"a": 101.0}, "m2")
    row = crm.published()["a"]
    assert (row["reported_value"], row["reported_currency"]) == (9.0, "EUR")
    assert (row["value"], row["model_version"], row["adjustment_type"], row["adjustment_count"]) == (
        100.0,
        "m1",
        "NONE",
        0,
    )
    assert reasons(crm) == ["PUBLISHED", *["ATTRIBUTE_CHANGED"] * 2]
    assert [entry["version"] for entry in crm.ledger("a")] == [1, 2, 3]
    assert publish(crm, {"a": 101.0}, "m2").changes == []


def test_r21_frozen_leads_keep_their_score_and_their_drift_is_what_is_reported(crm: Crm) -> None:
    place(crm, A, lead("b", 3.0))
    publish(crm, {"a": 100.0, "b": 50.0})
    crm.at(50.25)
    place(crm, A | {"value": 8.0}, lead("b", 3.0))
    publish(crm, {"a": 500.0, "b": 500.0}, "m2")
    assert [crm.published()[id]["value"] for id in "ab"] == [100.0, 50.0]

    def drift() -> list[tuple[Any, ...]]:
        rows = crm.query("SELECT * FROM adjusted.lead_drift ORDER BY id, field")
        # As numbers: the emulator's text of one is another.
        return [
            (row["id"], row["kind"], row["field"], float(row["frozen_value"]), float(row["crm_value"])) for row in rows
        ]

    assert drift() == [("a", "VALUE", "reported_value", 7.0, 8.0)]
    with crm.warehouse(crm.path) as session:
        audit_drift(session, crm.lead, crm.run())
    assert drift() == [("a", "VALUE", "reported_value", 7.0, 8.0)]
    with crm.warehouse(crm.path) as session:
        from conversions_assets.adjustment.publish import publish as publish_days

        days = Days(FIRST, FIRST + timedelta(days=5))
        done = publish_days(session, crm.lead, days, replace(crm.run(), thaw="the model was wrong"))
    assert done.replay.holds
    assert [crm.published()[id]["value"] for id in "ab"] == [500.0, 500.0]
    assert reasons(crm) == ["PUBLISHED", "THAWED"]
    assert crm.published()["a"]["reported_value"] == 8.0


def test_r16_a_prediction_that_is_switched_on_and_off_keeps_the_ledger_whole(crm: Crm) -> None:
    predicted, without = crm.lead, replace(crm.lead, predicted=None)
    rows = [A, lead("b", 3.0, value=5.0), lead("c", 3.0, value=1.0)]
    crm.lead = without
    place(crm, *rows)
    assert crm.publish_leads().replay.holds
    assert list(crm.published()["a"]) == list(PUBLISHED)
    crm.lead = predicted
    QuickWarehouse.made.clear()  # the table gets its columns
    publish(crm, {})
    assert [crm.published()[id]["value"] for id in "abc"] == [7.0, 5.0, 1.0]  # until there is a score
    place(crm, *rows[:2], rows[2] | {"value": 2.0})
    publish(crm, {"a": 100.0, "b": 50.0})
    row = crm.published()["a"]
    assert (row["value"], row["currency"], row["reported_value"], row["reported_currency"]) == (
        100.0,
        "EUR",
        7.0,
        "USD",
    )
    assert (crm.published()["c"]["value"], crm.published()["c"]["value_source"]) == (2.0, "REPORTED")
    crm.lead = without
    done = crm.publish_leads()
    assert done.replay.holds
    row = crm.published()["a"]
    assert (row["value"], row["currency"], row["value_source"], row["model_version"]) == (7.0, "USD", "REPORTED", None)
    assert reasons(crm) == ["PUBLISHED", "RESCORED", "VALUE_CHANGED"]
    assert reasons(crm, "c") == ["PUBLISHED", "VALUE_CHANGED"]


def test_r23_r28_a_newer_model_makes_the_window_one_run_and_then_nothing(crm: Crm) -> None:
    leads, deals = simulated(6, 80, seed=4)
    crm.at(80.25).place(leads, deals)
    crm.load(leads, deals)
    crm.convert()
    crm.fit()
    crm.predict()
    crm.publish_leads()

    def scanned() -> tuple[Any, Any]:
        found = crm.scan()
        assert found is not None
        return list(found.convert), list(found.publish)

    assert scanned() == ([], [])
    crm.configure(exclude=("size",))
    assert crm.fit().is_new
    window = Days(crm.today - timedelta(days=30), crm.today - timedelta(days=1))
    assert scanned() == ([], [window])
    found = crm.scan()
    assert found is not None
    assert found.sentence.startswith("30 days changed (30 by a newer model) and 0 were never published: rerun of")
    crm.predict(window.first, window.last)
    assert scanned() == ([], [window])  # scored, and not published yet
    done = crm.publish_leads(window.first, window.last)
    assert done.replay.holds
    assert scanned() == ([], [])
    assert {row["reason"] for row in done.changes} == {"RESCORED"}
    # A run of `adjusted` alone, by hand: what conversions hold was not scored, so it is found again.
    crm.load([*leads[:-12], leads[-12] | {"user_id": None}, *leads[-11:]], deals)
    assert len(scanned()[0]) == 1
    crm.convert(window.first, window.last)
    crm.publish_leads(window.first, window.last)
    assert len(scanned()[1]) == 1
    [days] = scanned()[1]
    crm.predict(days.first, days.last)
    crm.publish_leads(days.first, days.last)
    assert scanned() == ([], [])
    assert crm.published()[leads[-12]["id"]]["value_source"] == "NONE"
