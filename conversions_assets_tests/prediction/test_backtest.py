"""The back-test and the verdict: only what was known then, sums that agree, a line that says why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conversions_assets.prediction import backtest
from conversions_assets.prediction.backtest import BackTest, back_test, poisson_interval
from conversions_assets.prediction.model import PredictedValueModel
from conversions_assets.prediction.verdict import drift_badge, judge_model
from conversions_assets_tests.prediction.simulation import WINDOW, Leads, simulate, with_targets

NOW = 500.0


def back(leads: Leads, **settings: Any) -> BackTest:
    return back_test(leads.X, NOW - leads.age, leads.delay, leads.value, NOW, WINDOW, **settings)


@pytest.fixture(scope="module")
def leads() -> Leads:
    return simulate(4000, seed=20)


@pytest.fixture(scope="module")
def model(leads: Leads) -> PredictedValueModel:
    return PredictedValueModel(WINDOW).fit(**leads.known)


@pytest.fixture(scope="module")
def tested(leads: Leads) -> BackTest:
    return back(leads)


def test_cut_offs_lie_a_fortnight_apart_and_what_they_score_is_mature(tested: BackTest) -> None:
    starts = [row["cut_off"] for row in tested.cut_offs]
    assert set(np.diff(starts)) == {14.0}
    assert starts[-1] + 14 <= NOW - WINDOW
    assert starts[0] >= NOW - 180 + WINDOW
    assert [row["from_day"] for row in tested.by_week] == starts
    assert all(
        earlier["targets"] < later["targets"]
        for earlier, later in zip(tested.cut_offs, tested.cut_offs[1:], strict=False)
    )


def test_a_short_history_has_weekly_cut_offs_and_a_shorter_one_none() -> None:
    leads = simulate(1500, seed=21, history=110.0)
    assert set(np.diff([row["cut_off"] for row in back(leads).cut_offs])) == {7.0}
    assert back(simulate(500, seed=21, history=80.0)) == BackTest()
    assert back_test(leads.X[:0], [], [], [], NOW) == BackTest()


def test_all_tables_hold_the_same_leads(leads: Leads, tested: BackTest) -> None:
    scored = (NOW - leads.age >= tested.by_week[0]["from_day"]) & (NOW - leads.age < tested.by_week[-1]["to_day"])
    came = scored & (leads.delay <= WINDOW)
    assert tested.total["leads"] == scored.sum()
    assert tested.total["actual_targets"] == came.sum()
    assert tested.total["actual_value"] == pytest.approx(leads.value[came].sum())
    assert tested.group_feature == "source"
    assert {row["group"] for row in tested.by_group} == {"ads", "fair", "web"}
    assert [row["decile"] for row in tested.by_decile] == list(range(1, 11))
    for table in (tested.by_week, tested.by_group, tested.by_decile):
        for name in ("leads", "predicted_targets", "actual_targets", "predicted_value", "actual_value"):
            assert sum(row[name] for row in table) == pytest.approx(tested.total[name])


def test_scores_that_are_right_test_well(tested: BackTest) -> None:
    assert tested.total["ratio"] == pytest.approx(1, rel=0.25)
    assert tested.total["ratio_low"] < tested.total["ratio"] < tested.total["ratio_high"]
    assert tested.total["ratio"] == tested.total["predicted_targets"] / tested.total["actual_targets"]
    assert tested.gini is not None
    assert 0.3 < tested.gini < 1
    assert tested.lift is not None
    assert tested.lift > 1.5
    assert tested.log_loss is not None
    assert tested.constant_log_loss is not None
    assert tested.log_loss < tested.constant_log_loss
    assert tested.by_decile[0]["actual_targets"] > 3 * tested.by_decile[-1]["actual_targets"]


def test_a_cut_off_knows_nothing_of_what_came_later(leads: Leads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MAX_CUT_OFFS", 1)
    before = back(leads)
    [row] = before.cut_offs
    later = NOW - leads.age + leads.delay > row["cut_off"]
    poisoned = replace(leads, delay=np.where(later, 30.0, leads.delay), value=np.where(later, 1e9, leads.value))
    # A lead's own target may not move to before the cut-off.
    poisoned.delay = np.where(
        NOW - leads.age + poisoned.delay <= row["cut_off"], np.where(later, np.inf, poisoned.delay), poisoned.delay
    )
    after = back(poisoned)
    assert after.cut_offs == before.cut_offs
    assert after.total["predicted_value"] == before.total["predicted_value"]
    assert after.total["actual_value"] != before.total["actual_value"]


def test_groups_can_be_chosen_and_few_are_shown(leads: Leads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MAX_CUT_OFFS", 1)
    by_size = back(leads, group="size")
    assert by_size.group_feature == "size"
    assert [row["group"] for row in by_size.by_group][-1] == "(missing)"
    assert len(by_size.by_group) == 5
    monkeypatch.setattr(backtest, "MAX_GROUPS", 2)
    assert [row["group"] for row in back(leads).by_group] == ["ads", "fair", "(others)"]


def test_poisson_intervals_are_exact() -> None:
    # Garwood 1936, 90 %: none seen, ten seen.
    assert poisson_interval(0) == (0.0, pytest.approx(2.9957, abs=1e-4))
    assert poisson_interval(10) == (pytest.approx(5.4254, abs=1e-4), pytest.approx(16.9622, abs=1e-4))


def test_fit_for_bidding(model: PredictedValueModel, tested: BackTest) -> None:
    verdict = judge_model(model, tested)
    assert verdict.line == "fit for bidding: yes"
    assert (verdict.reasons, verdict.drift_badge) == ([], None)


def off(row: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**row, "predicted_targets": factor * row["actual_targets"]}


def test_sums_that_are_wrong_are_no(model: PredictedValueModel, tested: BackTest) -> None:
    verdict = judge_model(model, replace(tested, total=off(tested.total, 2.5)))
    assert verdict.fit == "no"
    assert verdict.line.startswith("fit for bidding: no, because in the back-test the scores promised ")
    verdict = judge_model(model, replace(tested, total=off(tested.total, 1.4)))
    assert (verdict.fit, len(verdict.reasons)) == ("with care", 1)


def test_a_source_that_is_wrong_is_named(model: PredictedValueModel, tested: BackTest) -> None:
    groups = [off(row, 2.0) if row["group"] == "web" else row for row in tested.by_group]
    verdict = judge_model(model, replace(tested, by_group=groups))
    assert verdict.fit == "with care"
    assert "for source = web they promised " in verdict.line


def test_doubts_are_said(model: PredictedValueModel, tested: BackTest) -> None:
    no_better = replace(tested, log_loss=0.3, constant_log_loss=0.2)
    assert "no better than one value for all" in judge_model(model, no_better).line
    assert "only 40% of the weeks" in judge_model(model, replace(tested, coverage=0.4)).line
    assert "too little history" in judge_model(model, BackTest()).line
    few = replace(tested, total={**tested.total, "predicted_targets": 9.0, "actual_targets": 9})
    assert "brought only 9 targets" in judge_model(model, few).line


@pytest.mark.parametrize(("count", "fit", "said"), [(4, "no", "only 4 targets"), (29, "with care", "only 29 targets")])
def test_r29_few_targets_are_said(count: int, fit: str, said: str, tested: BackTest) -> None:
    verdict = judge_model(PredictedValueModel(WINDOW).fit(**with_targets(count).known), tested)
    assert verdict.fit == fit
    assert said in verdict.line


def test_drift_has_a_badge(tested: BackTest) -> None:
    leads = simulate(8000, seed=22, recent=0.3)
    verdict = judge_model(PredictedValueModel(WINDOW).fit(**leads.known), tested)
    assert verdict.fit == "with care"
    assert verdict.drift_badge is not None
    assert "fewer targets than usual" in verdict.drift_badge
    assert drift_badge(1.21, 30, 20) is not None
    assert drift_badge(1.19, 30, 20) is None
    assert drift_badge(0.79, 10, 20) is not None
