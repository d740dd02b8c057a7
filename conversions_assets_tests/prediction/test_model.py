"""The model of the predicted value: thresholds, odd inputs, determinism, sums that are right, leaks, storage."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from conversions_assets.prediction import boosting, storage
from conversions_assets.prediction.leads import Leads as Known
from conversions_assets.prediction.leaks import find_leaks
from conversions_assets.prediction.model import NoTargets, PredictedValueModel
from conversions_assets.prediction.rate import CensoredLogit
from conversions_assets.prediction.sampling import sample_rows
from conversions_assets_tests.prediction.simulation import WINDOW, Leads, simulate, with_targets


def fitted(leads: Leads, **settings: Any) -> PredictedValueModel:
    return PredictedValueModel(WINDOW, **settings).fit(**leads.known)


@pytest.fixture(scope="module")
def leads() -> Leads:
    return simulate(3000, seed=3)


@pytest.fixture(scope="module")
def model(leads: Leads) -> PredictedValueModel:
    return fitted(leads)


def test_no_target_is_refused() -> None:
    with pytest.raises(NoTargets, match="no lead has a target within 40 days"):
        fitted(with_targets(0))


@pytest.mark.parametrize("count", [1, 4])
def test_r29_few_targets_give_base_rate_times_mean_value(count: int) -> None:
    leads = with_targets(count)
    model = fitted(leads)
    assert (model.level_, model.n_targets_, model.features_used_) == ("fallback", count, [])
    assert set(model.features_left_out_) == {"source", "size"}
    assert np.allclose(model.predict_proba(leads.X)[:, 1], count / 400)
    assert np.allclose(model.predict(leads.X), count / 400 * leads.value[:count].mean())


@pytest.mark.parametrize("count", [5, 29])
def test_some_targets_tell_the_probability_and_the_mean_value(count: int) -> None:
    leads = with_targets(count)
    model = fitted(leads)
    assert model.level_ == "low_confidence"
    assert model.features_used_ == ["source", "size"]
    assert np.ptp(model.predict_proba(leads.X)[:, 1]) > 0
    assert np.allclose(model.predict_target_value(leads.X), leads.value[:count].mean())


def test_enough_targets_tell_both() -> None:
    leads = with_targets(30)
    model = fitted(leads)
    assert model.level_ == "full"
    assert np.ptp(model.predict_target_value(leads.X)) > 0
    assert np.isclose(model.predict_target_value(leads.X[:30]).sum(), leads.value[:30].sum())


def test_sums_are_those_of_the_truth(leads: Leads, model: PredictedValueModel) -> None:
    new = simulate(20_000, seed=4, history=WINDOW)
    assert abs(model.predict_proba(new.X)[:, 1].sum() / new.p.sum() - 1) < 2 / np.sqrt(leads.targets)
    assert np.corrcoef(np.log(model.predict_proba(new.X)[:, 1]), np.log(new.p))[0, 1] > 0.9
    assert model.base_rate_ == pytest.approx(leads.p.mean(), rel=0.15)


def test_leads_too_young_to_be_judged_are_no_negatives() -> None:
    """Most leads are young: whoever counts them as none is far too low, and matured leads alone are few."""
    ours, naive = [], []
    for seed in range(6):
        leads = simulate(2000, seed, history=60.0)
        ours.append(fitted(leads).predict_proba(leads.X)[:, 1].sum() / leads.p.sum())
        columns = pd.get_dummies(leads.X["source"])
        none_yet = LogisticRegression().fit(columns, leads.delay <= np.minimum(leads.age, WINDOW))
        naive.append(none_yet.predict_proba(columns)[:, 1].sum() / leads.p.sum())
    assert np.mean(naive) < 0.8
    assert abs(np.mean(ours) - 1) < 0.1


def test_newton_ends_where_em_ends() -> None:
    """One more step of EM by scikit-learn, on open leads split in two, leaves the coefficients as they are."""
    leads = simulate(2000, seed=13, history=80.0)
    columns = np.column_stack([pd.get_dummies(leads.X["source"]), leads.X["size"].fillna(0)]).astype(float)
    target = leads.delay <= np.minimum(leads.age, WINDOW)
    share = np.minimum(leads.age / WINDOW, 1.0) ** 0.5
    known = Known(leads.X, leads.age, target, share, np.ones(2000))
    ours = CensoredLogit().fit(columns, known, np.zeros(2000), np.array([0, 0, 0, 1]))
    future = known.future(expit(ours.log_odds(columns)))
    scale = 1 / np.sqrt(ours.penalty_)
    step = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(
        np.vstack([columns, columns]) * scale, np.repeat([True, False], 2000), np.concatenate([future, 1 - future])
    )
    assert np.allclose(step.coef_[0] * scale, ours.coef_, atol=2e-3)
    assert step.intercept_[0] == pytest.approx(ours.intercept_, abs=5e-3)


@pytest.mark.parametrize(("recent", "factor"), [(2.5, 2.2), (0.3, 0.45)])
def test_a_change_of_the_rate_is_followed(recent: float, factor: float) -> None:
    leads = simulate(8000, seed=5, recent=recent)
    new = simulate(8000, seed=6, history=WINDOW, recent=recent)
    model = fitted(leads)
    assert (model.drift_factor_ > 1.3) if recent > 1 else (model.drift_factor_ < 0.8)
    assert (model.observed_ > model.expected_) == (recent > 1)
    unchanged = leads.p.sum() / new.p.sum()
    assert abs(model.predict_proba(new.X)[:, 1].sum() / new.p.sum() - 1) < abs(unchanged - 1)
    now, before = (model.predict_proba(new.X, np.full(8000, age))[:, 1].mean() for age in (5.0, 100.0))
    assert now / before == pytest.approx(factor, rel=0.25)


def test_delays_of_a_source_of_its_own() -> None:
    leads = simulate(6000, seed=7, rate=0.15)
    slow = (leads.X["source"] == "fair").to_numpy()
    leads.delay[slow] *= 4
    model = fitted(leads)
    assert list(model._probability._odds.tables) == ["source"]
    table = model._probability._odds.tables["source"][1]
    assert table["fair"] < -0.5 < 0 < table["web"]


def test_the_order_of_leads_is_no_matter(leads: Leads) -> None:
    order = np.random.default_rng(0).permutation(len(leads.X))
    # Half of the leads came at the same time of day.
    came = {**leads.known, "age": np.where(leads.age < 90, leads.age, np.floor(leads.age))}
    mixed = {name: part.iloc[order] if name == "X" else part[order] for name, part in came.items()}
    one, other = (PredictedValueModel(WINDOW).fit(**known) for known in (came, mixed))
    assert (other.predict(leads.X) == one.predict(leads.X)).all()
    assert storage.to_bytes(other) == storage.to_bytes(one)


def test_what_comes_after_the_cut_off_is_not_looked_at(leads: Leads, model: PredictedValueModel) -> None:
    known = leads.known
    known["delay"], known["value"] = leads.delay, np.where(leads.delay <= leads.age, leads.value, 1e9)
    assert (PredictedValueModel(WINDOW).fit(**known).predict(leads.X) == model.predict(leads.X)).all()


def test_features_without_use_are_left_out_and_named(leads: Leads, model: PredictedValueModel) -> None:
    X = leads.X.assign(same="a", none=None, nothing=np.nan)
    other = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": X})
    assert other.features_left_out_ == {
        "same": "all leads have the same value",
        "none": "no lead has a value",
        "nothing": "no lead has a value",
    }
    assert np.allclose(other.predict(X), model.predict(leads.X))


def test_no_feature_at_all(leads: Leads) -> None:
    X = leads.X[[]]
    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": X})
    assert np.ptp(model.predict(X)) == 0
    assert model.predict_proba(X)[0, 1] == pytest.approx(leads.p.mean(), rel=0.2)


def test_a_level_never_seen_gets_what_is_left(model: PredictedValueModel) -> None:
    X = pd.DataFrame({"source": ["never seen", None, "web", "ads"], "size": [0.0, 0.0, 0.0, np.inf]})
    p = model.predict_proba(X)[:, 1]
    assert np.isfinite(p).all()
    assert p[3] < p[0] < p[2]


def test_thousands_of_levels(leads: Leads) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 5000, 3000)
    X = leads.X.assign(campaign=[f"c{level}" for level in levels], code=levels.astype(str))
    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": X})
    assert model._design.blocks_.size < 300
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(leads.p.mean(), rel=0.2)


def test_two_hundred_params_keep_those_that_tell_something() -> None:
    leads, new, rng = simulate(1500, seed=8, rate=0.2), simulate(1500, seed=9), np.random.default_rng(0)

    def with_noise(X: pd.DataFrame) -> pd.DataFrame:
        numbers = {f"n{position}": rng.normal(size=1500) for position in range(100)}
        letters = {f"c{position}": rng.choice(list("abcd"), 1500) for position in range(98)}
        return pd.concat([pd.DataFrame(numbers | letters), X], axis=1)

    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": with_noise(leads.X)})
    assert {"source", "size"} <= set(model.features_used_)
    assert set(model.features_left_out_.values()) == {"tells less than others, of which 300 columns are full"}
    p = model.predict_proba(with_noise(new.X))[:, 1]
    assert np.corrcoef(np.log(p), np.log(new.p))[0, 1] > 0.6


def test_zero_negative_and_missing_values_add_up(leads: Leads) -> None:
    value = leads.value.copy()
    hit = np.flatnonzero(leads.known["delay"] <= np.minimum(leads.age, WINDOW))
    value[hit[:10]], value[hit[10:20]], value[hit[20:40]] = 0.0, -50.0, np.nan
    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "value": value})
    assert model.predict_target_value(leads.X.iloc[hit]).sum() == pytest.approx(np.nansum(value[hit]))
    worthless = PredictedValueModel(WINDOW).fit(**{**leads.known, "value": np.full(3000, np.nan)})
    assert (worthless.predict(leads.X) == 0).all()
    assert worthless.predict_sum(leads.X[:100]) == (0.0, 0.0, 0.0)
    refunds = PredictedValueModel(WINDOW).fit(**{**leads.known, "value": -leads.value})
    assert (refunds.predict(leads.X) < 0).all()


def test_all_leads_younger_than_the_window() -> None:
    leads = simulate(3000, seed=9, history=25.0)
    model = fitted(leads)
    seen = leads.delay <= leads.age
    assert seen.mean() < model.base_rate_
    assert model.predict_proba(leads.X)[:, 1].sum() == pytest.approx(leads.p.sum(), rel=0.35)


def test_what_comes_at_once_is_not_waited_for() -> None:
    """No lead is older than five days, and none has waited for longer than an hour: hardly more will come."""
    leads = simulate(1000, seed=14, rate=0.3, history=5.0)
    leads.delay = np.where(np.isfinite(leads.delay), np.minimum(leads.age, leads.delay / 1000), np.inf)
    assert fitted(leads).predict_proba(leads.X)[:, 1].sum() < 1.4 * leads.targets


def test_all_leads_have_a_target() -> None:
    leads = simulate(200, seed=10)
    leads.age, leads.delay = leads.age + WINDOW, np.full(200, 1.0)
    assert (fitted(leads).predict_proba(leads.X)[:, 1] > 0.95).all()


def test_three_hundred_leads() -> None:
    leads = simulate(300, seed=11)
    model = fitted(leads)
    assert model.level_ == "low_confidence"
    assert model.predict_proba(leads.X)[:, 1].sum() == pytest.approx(leads.p.sum(), rel=0.6)


@pytest.mark.parametrize(
    ("part", "wrong", "message"),
    [
        ("age", -1.0, "age is negative"),
        ("age", np.nan, "age is negative, NaN"),
        ("delay", np.nan, "delay is negative or NaN"),
        ("delay", -0.1, "delay is negative or NaN"),
        ("value", np.inf, "value is infinite"),
    ],
)
def test_numbers_that_cannot_be_are_named(part: str, wrong: float, message: str) -> None:
    known = with_targets(30).known
    known[part] = known[part].copy()
    known[part][0] = wrong
    with pytest.raises(ValueError, match=message):
        PredictedValueModel(WINDOW).fit(**known)


def test_shapes_and_settings_that_cannot_be_are_named() -> None:
    known = with_targets(30).known
    with pytest.raises(ValueError, match=r"delay has the shape \(399,\), X has 400 rows"):
        PredictedValueModel(WINDOW).fit(**{**known, "delay": known["delay"][1:]})
    with pytest.raises(ValueError, match="window_days is 0"):
        PredictedValueModel(0).fit(**known)


def test_r28_a_param_that_knows_the_future_is_named_and_left_out(leads: Leads) -> None:
    hit = leads.delay <= leads.age
    contract = np.where(hit, "C-" + pd.Series(range(3000)).astype(str), None)
    stage = np.where(hit, "won", "open")
    lost = np.where(hit, None, np.random.default_rng(0).choice(["price", "time"], 3000))
    invoices = np.where(hit, 3.0, np.nan)
    X = leads.X.assign(contract=contract, stage=stage, lost=lost, invoices=invoices)
    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": X})
    assert model.features_used_ == ["source", "size"]
    reasons = model.features_left_out_
    assert set(reasons) == {"contract", "stage", "lost", "invoices"}
    assert all(reason.startswith("leak: ") for reason in reasons.values())
    assert "where it is" in reasons["contract"]
    assert "C-" not in str(reasons)
    assert "won" not in str(reasons)
    assert {leak.feature for leak in model.leaks_} == set(reasons)


def test_r28_params_that_are_filled_or_lost_for_leads_without_a_target(leads: Leads) -> None:
    hit = leads.delay <= leads.age
    lost = np.where(hit, None, np.random.default_rng(0).choice(list("abcdefgh"), 3000))
    status = np.where(hit, "busy", np.where(leads.X["size"] > 0, "lost", "busy"))
    model = PredictedValueModel(WINDOW).fit(**{**leads.known, "X": leads.X.assign(lost=lost, status=status)})
    assert set(model.features_left_out_) == {"lost", "status"}


def test_a_bad_source_is_no_leak(leads: Leads) -> None:
    mature = leads.age >= WINDOW
    target = leads.delay <= WINDOW
    few = target & (np.random.default_rng(0).random(3000) < 0.03)
    source = np.where(leads.X["size"] > 0, "bad", "good")
    target = np.where(source == "bad", few, target)
    assert not find_leaks(pd.DataFrame({"source": source})[mature], target[mature], np.ones(mature.sum()))


def test_clean_leads_raise_no_alarm() -> None:
    for seed in range(40):
        leads = simulate(3000, 100 + seed)
        mature = leads.age >= WINDOW
        assert not find_leaks(leads.X[mature], leads.delay[mature] <= WINDOW, np.ones(mature.sum()))


def test_a_sample_has_the_same_sums() -> None:
    target = np.random.default_rng(0).random(10_000) < 0.05
    rows, weight = sample_rows(target, 2000)
    assert len(rows) == 2000
    assert set(np.flatnonzero(target)) <= set(rows)
    assert weight.sum() == pytest.approx(10_000)
    assert (weight * target[rows]).sum() == pytest.approx(target.sum())
    mostly, weight = sample_rows(~target, 2000)
    assert len(mostly) == 2000
    assert (weight * ~target[mostly]).sum() == pytest.approx((~target).sum())


def test_a_sampled_fit_keeps_the_sum() -> None:
    leads = simulate(9000, seed=3)
    everything, sampled = fitted(leads), fitted(leads, max_rows=5000)
    assert sampled.n_targets_ == everything.n_targets_ == leads.targets
    assert sampled.base_rate_ == pytest.approx(everything.base_rate_, rel=0.01)
    assert sampled.predict(leads.X).sum() == pytest.approx(everything.predict(leads.X).sum(), rel=0.04)


def test_trees_take_over_only_where_they_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "MIN_TARGETS", 300)
    plain = simulate(4000, seed=12, rate=0.15)
    assert not fitted(plain).boosted_
    rng = np.random.default_rng(0)
    crossed = simulate(4000, seed=12, rate=0.15)
    one, other = rng.choice(["a", "b"], (2, 4000))
    crossed.delay = np.where((one == other) & (rng.random(4000) < 0.4), rng.exponential(15.0, 4000), np.inf)
    crossed.X = crossed.X.assign(one=one, other=other)
    model = fitted(crossed)
    assert model.boosted_
    p = model.predict_proba(crossed.X)[:, 1]
    assert p[one == other].mean() > 5 * p[one != other].mean()
    truth = 0.4 * -np.expm1(-WINDOW / 15.0) * (one == other)
    assert p.sum() == pytest.approx(truth.sum(), rel=0.15)
    assert (storage.from_bytes(storage.to_bytes(model)).predict(crossed.X) == model.predict(crossed.X)).all()


def test_intervals_of_weekly_sums_hold() -> None:
    held, held_large = [], []
    for seed in range(20):
        model = fitted(simulate(1200, 200 + seed))
        # Of thousands of leads chance is small: what the model does not know is left.
        many = simulate(5000, 2000 + seed, history=WINDOW)
        _, low, high = model.predict_sum(many.X)
        held_large.append(low <= many.value[many.delay <= WINDOW].sum() <= high)
        for week in range(5):
            new = simulate(60, 1000 + 10 * seed + week, history=WINDOW)
            total, low, high = model.predict_sum(new.X)
            assert low <= total <= high
            held.append(low <= new.value[new.delay <= WINDOW].sum() <= high)
    assert 0.83 <= np.mean(held) <= 0.97
    assert np.mean(held_large) >= 0.8


def test_an_interval_of_nothing_is_nothing(model: PredictedValueModel, leads: Leads) -> None:
    assert model.predict_sum(leads.X[:0]) == (0.0, 0.0, 0.0)
    assert model.predict(leads.X[:0]).shape == (0,)


def test_r28_a_model_comes_back_from_bytes(leads: Leads, model: PredictedValueModel) -> None:
    back = storage.from_bytes(storage.to_bytes(model))
    assert (back.predict(leads.X) == model.predict(leads.X)).all()
    assert back.features_used_ == model.features_used_


def test_r28_a_model_of_another_version_asks_for_a_refit(
    model: PredictedValueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = storage.to_bytes(model)
    monkeypatch.setattr(storage, "versions", lambda: {"scikit-learn": "0.1"})
    with pytest.raises(storage.OtherVersion, match="fit it again"):
        storage.from_bytes(stored)
    with pytest.raises(storage.OtherVersion, match="fit it again"):
        storage.from_bytes(pickle.dumps("something else"))
