"""What leads are scored with, and when not (R25, R27, R28, R29)."""

from datetime import timedelta
from typing import Any

import pytest

from conversions_assets.contract.materialise import NotComputedError
from conversions_assets_tests.prediction.crm import START, Crm, deal, lead, simulated

TODAY = 100


def ready(crm: Crm, leads: list[dict[str, Any]], deals: list[dict[str, Any]]) -> None:
    """The leads are converted, the deals published, on day TODAY."""
    crm.at(TODAY + 0.25).place(leads, deals)


def some(targets: int, leads: int = 300, **columns: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Leads over 90 days, of which the first ones of every few have a deal 5 days later."""
    made = [lead(f"l{n}", n * 90 / leads, source=("ads", "mail")[n % 2], **columns) for n in range(leads)]
    won = [leads - 1 - n for n in range(targets)]
    return made, [deal(f"d{n}", n * 90 / leads + 5, 100.0 + n, user_id=f"l{n}") for n in won]


# --- R25: when there is nothing to predict from ---------------------------------------------------------------------


@pytest.mark.both_engines
def test_r25_without_a_published_target_leads_get_no_value(crm: Crm) -> None:
    ready(crm, [lead("a")], [])
    crm.query("DELETE FROM adjusted._deal_days")
    done, fitted = crm.predict(), crm.fit()
    assert (fitted.model, fitted.is_new, fitted.problem) == (None, False, done.problem)
    crm.query("DROP TABLE adjusted.deal")
    assert crm.predict().eligibility.sentence.startswith("deal was never published: run adjusted/deal first.")
    row = crm.scores()["a"]
    assert (row["predicted_value"], row["value_source"], row["model_version"]) == (None, "NONE", None)


def test_r25_no_target_in_the_look_back_keeps_scores_and_gives_new_leads_none(crm: Crm) -> None:
    leads, deals = some(40, 200)
    ready(crm, leads, deals)
    crm.fit()
    crm.predict()
    before = crm.scores()
    crm.at(TODAY + 60.25).place([*leads, lead("new", TODAY + 50.0)], deals)
    done = crm.predict()
    assert not done.eligibility.holds
    assert str(done.problem).startswith(
        "No deal with a user_id that is not unqualified in the 60 days before the run (the last one was on 2026-04-05)"
    )
    assert crm.fit().problem == done.problem
    after = crm.scores()
    assert after.pop("new")["value_source"] == "NONE"
    kept = ("probability", "predicted_value", "value_source", "model_version", "scored_at")
    assert {id: [row[name] for name in kept] for id, row in after.items()} == {
        id: [row[name] for name in kept] for id, row in before.items()
    }


@pytest.mark.parametrize(
    ("columns", "eligible"),
    [
        ({"is_qualified": False}, False),
        ({"user_id": None}, False),
        ({"status": "lost"}, False),
        ({"is_qualified": True}, True),
        ({"is_qualified": None}, True),
        ({"value": None}, True),
    ],
    ids=str,
)
def test_r25_what_counts_as_a_target(crm: Crm, columns: dict[str, Any], eligible: bool) -> None:
    ready(crm, [lead("a", 90.0)], [deal("d", 95.0, user_id="a") | columns])
    assert crm.predict().eligibility.holds == eligible


@pytest.mark.parametrize(("days", "eligible"), [(40.0, True), (39.99, False), (99.9, True)])
def test_r25_the_look_back_ends_60_days_before_the_run(crm: Crm, days: float, eligible: bool) -> None:
    ready(crm, [lead("a", 30.0)], [deal("d", days, user_id="a")])
    assert crm.predict().eligibility.holds == eligible


def test_r25_user_ids_that_never_meet_are_an_error(crm: Crm) -> None:
    leads = [lead(f"l{n}", 60.0) for n in range(30)]
    ready(crm, leads, [deal(f"d{n}", 70.0, user_id=f"other {n}") for n in range(19)])
    assert crm.predict().eligibility.mismatch is False  # too few to tell
    crm.place(leads, [deal(f"d{n}", 70.0, user_id=f"other {n}") for n in range(20)])
    done = crm.predict()
    assert done.eligibility.mismatch
    assert done.eligibility.sentence.startswith(
        "The identifiers do not match: none of the 20 persons of deal is a lead."
    )
    assert "other" not in done.eligibility.sentence
    crm.place(leads, [deal(f"d{n}", 70.0, user_id=f"l{n}") for n in range(20)])
    assert crm.predict().eligibility.holds


def test_r25_without_a_model_new_leads_get_no_value_and_are_told_why(crm: Crm) -> None:
    ready(crm, *some(40))
    done = crm.predict()
    assert done.eligibility.holds
    assert str(done.problem).startswith("there is no model for these settings yet: run models/lead (the schedule")
    crm.fit()
    assert crm.predict().problem is None
    crm.configure(window_days=20)
    assert str(crm.predict().problem).startswith("there is no model for these settings yet")
    assert {row["value_source"] for row in crm.scores().values()} == {"PREDICTED"}


def test_days_that_were_never_converted_cannot_be_scored_nor_unscored_ones_published(crm: Crm) -> None:
    with pytest.raises(NotComputedError, match="conversions/lead was never computed for 100 of 100 days"):
        crm.predict()
    crm.place([lead("a")])
    with pytest.raises(NotComputedError, match="predicted/lead was never computed for 100 of 100 days"):
        crm.publish_leads()


# --- R27: the value -------------------------------------------------------------------------------------------------


def test_r27_the_value_is_probability_times_expected_value(crm: Crm) -> None:
    leads, deals = simulated(8, 95, seed=3)
    leads[5]["user_id"] = leads[6]["user_id"] = None
    ready(crm, leads, deals)
    model = crm.fit().model
    done = crm.predict()
    assert model is not None
    rows = crm.scores()
    assert len(rows) == len(leads)
    for row in rows.values():
        if row["user_id"] is None:
            assert (row["predicted_value"], row["probability"], row["value_source"]) == (None, None, "NONE")
        else:
            assert row["predicted_value"] == pytest.approx(row["probability"] * row["expected_target_value"])
            assert 0 < row["probability"] < 1
            assert (row["value_source"], row["model_version"]) == ("PREDICTED", model.version)
            assert row["scored_at"] == crm.now
    assert sum(day["without_user_id"] for day in done.per_day) == 2
    assert sum(day["leads"] for day in done.per_day) == len(leads)


def test_r27_what_a_mature_lead_has_brought_is_filled_in_and_follows_late_changes(crm: Crm) -> None:
    leads = [lead("won", 10.0), lead("lost", 10.0), lead("nobody", 10.0, user_id=None), lead("young", 60.0)]
    deals = [
        deal("d", 15.0, 70.0, user_id="won"),
        deal("e", 20.0, None, user_id="won"),
        deal("y", 61.0, user_id="young"),
    ]

    def realised(id: str) -> tuple[int | None, float | None]:
        row = crm.scores()[id]
        return row["target_conversions"], row["realised_target_value"]

    crm.at(50.25).place(leads, deals)  # targets are known before day 50: the leads are 40 days old, and not older
    crm.predict()
    assert realised("won") == (None, None)
    crm.at(TODAY + 0.25).place(leads, deals)
    crm.predict()
    assert realised("won") == (2, 70.0)
    assert realised("lost") == (0, 0.0)
    assert realised("nobody") == realised("young") == (None, None)
    scored_at = crm.scores()["won"]["scored_at"]
    # Frozen by now, and still followed: a run over one other day fills it in.
    deals[0]["value"] = 80.0
    crm.at(TODAY + 5.25).place(leads, deals)
    crm.predict(crm.today - timedelta(days=1))
    assert realised("young") == (1, 100.0)
    assert realised("won") == (2, 80.0)
    assert crm.scores()["won"]["scored_at"] == scored_at


def test_r27_targets_are_valued_in_the_projects_currency_or_not_at_all(crm: Crm) -> None:
    ready(crm, [lead("a", 1.0)], [deal("d", 2.0, 100.0, user_id="a", currency="XPF"), deal("e", 2.0, 1.0, user_id="a")])
    crm.predict()
    row = crm.scores()["a"]
    assert (row["target_conversions"], row["realised_target_value"]) == (2, 1.0)


def test_r12_scoring_twice_changes_nothing_and_a_lead_that_is_gone_loses_its_score(crm: Crm) -> None:
    leads, deals = some(40)
    ready(crm, leads, deals)
    crm.fit()
    crm.predict()
    before = crm.scores(), crm.query("SELECT * FROM predicted._lead_days ORDER BY day")
    crm.at(TODAY + 0.5)
    crm.predict()
    crm.predict(START.date() + timedelta(days=20), START.date() + timedelta(days=30))
    assert before == (crm.scores(), crm.query("SELECT * FROM predicted._lead_days ORDER BY day"))
    crm.place(leads[1:], deals)
    crm.predict()
    assert "l0" not in crm.scores()
    assert len(crm.scores()) == len(leads) - 1


# --- R29: thresholds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "level", "source"),
    [
        (1, "fallback", "FALLBACK"),
        (4, "fallback", "FALLBACK"),
        (5, "low_confidence", "PREDICTED"),
        (29, "low_confidence", "PREDICTED"),
        (30, "full", "PREDICTED"),
    ],
)
def test_r29_few_targets(crm: Crm, targets: int, level: str, source: str) -> None:
    ready(crm, *some(targets, 200))
    model = crm.fit().model
    assert model is not None
    assert model.level == level
    crm.predict()
    rows = crm.scores().values()
    assert {row["value_source"] for row in rows} == {source}
    distinct = len({(row["probability"], row["expected_target_value"]) for row in rows})
    assert (distinct == 1) == (level == "fallback")
    assert f"({targets:,} targets)" in model.report["level_sentence"]


def test_r29_without_a_linked_target_there_is_no_model(crm: Crm) -> None:
    ready(crm, [lead("a", 10.0), lead("b", 20.0)], [deal("d", 5.0, user_id="a"), deal("e", 90.0, user_id="a")])
    crm.configure(lookback_days=100)
    fitted = crm.fit()
    assert fitted.model is None
    assert fitted.problem == (
        "no lead has a deal within 40 days of it, as far as is known on 2026-04-11: there is nothing to learn from"
    )
    assert str(crm.predict().problem).startswith("there is no model")


# --- R28: versions --------------------------------------------------------------------------------------------------


def test_r28_a_refit_on_the_same_data_adds_no_version(crm: Crm) -> None:
    leads, deals = some(40)
    ready(crm, leads, deals)
    first, again = crm.fit(), crm.fit()
    assert (first.is_new, again.is_new) == (True, False)
    assert again.model is not None
    assert again.model == first.model
    assert again.sentence == f"model {again.model.version} stands: nothing has changed since it was fitted"
    crm.place(leads, [deals[0] | {"value": 1.0}, *deals[1:]])
    changed = crm.fit()
    assert changed.is_new
    versions = crm.query("SELECT version, fingerprint, octet_length(model) AS size FROM predicted.lead_models")
    assert len({row["version"] for row in versions}) == len({row["fingerprint"] for row in versions}) == 2
    assert all(row["size"] > 0 for row in versions)
    crm.predict()
    assert changed.model is not None
    assert {row["model_version"] for row in crm.scores().values()} == {changed.model.version}


@pytest.mark.parametrize("value", [None, 0.0, -5.0])
def test_r29_targets_without_value_make_scores_that_nobody_should_bid_on(crm: Crm, value: float | None) -> None:
    leads, deals = some(40)
    ready(crm, leads, [row | {"value": value} for row in deals])
    model = crm.fit().model
    assert model is not None
    assert model.report["verdict"]["fit"] == "no"
    assert "the targets have no values" in model.report["verdict"]["line"]
    crm.predict()
    assert sum(row["predicted_value"] for row in crm.scores().values()) <= 0
    assert 0.05 < sum(row["probability"] for row in crm.scores().values()) / len(leads) < 0.2


def test_r28_the_same_settings_and_data_give_the_same_model(crm: Crm) -> None:
    ready(crm, *some(40))
    first = crm.fit().model
    crm.query("DELETE FROM predicted.lead_models")
    second = crm.fit().model
    assert first is not None
    assert second is not None
    assert (first.version, first.report) == (second.version, second.report)


def test_r28_the_newest_model_is_the_newest_one_under_a_clock_that_goes_back(crm: Crm) -> None:
    leads, deals = some(40)
    ready(crm, leads, deals)
    crm.fit()
    crm.at(TODAY - 5)
    older = crm.fit()
    assert older.is_new
    assert older.model is not None
    crm.predict()
    assert {row["model_version"] for row in crm.query("SELECT DISTINCT model_version FROM predicted.lead")} == {
        older.model.version
    }
