"""P(target within the window): delay curve, linear model, drift, and boosted trees where they are better."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit

from conversions_assets.prediction.boosting import BoostedRate, worth_boosting
from conversions_assets.prediction.delay import fit_delay_curve, fit_delay_odds, with_odds
from conversions_assets.prediction.design import FeatureDesign
from conversions_assets.prediction.drift import Exponents, fit_drift, fit_level_drift
from conversions_assets.prediction.leads import Leads
from conversions_assets.prediction.levels import Floats, LevelEffects
from conversions_assets.prediction.rate import CensoredLogit

# Targets from which there is more to say than the base rate.
LOW_CONFIDENCE = 5


class TargetProbability:
    """Estimates P(target within the window) of leads of which some are too young to be judged.

    Args:
        window: days.
        random_state: seed of the boosted trees.

    Attributes:
        base_rate_, drift_factor_, observed_, expected_, delay_curve_, boosted_: see `PredictedValueModel`.
    """

    def __init__(self, window: float, random_state: int) -> None:
        self.window = window
        self.random_state = random_state

    def fit(
        self, X: pd.DataFrame, design: FeatureDesign, age: Floats, delay: Floats, weight: Floats
    ) -> "TargetProbability":
        """Fit to leads ordered by age.

        Args:
            X: (n, features).
            design: fitted.
            age: (n,) days.
            delay: (n,) days, inf: none.
            weight: (n,) how many leads a row stands for.
        """
        target = delay <= np.minimum(age, self.window)
        self._targets = int(target.sum())
        self._curve = fit_delay_curve(age[target], delay[target], self.window)
        self._odds = fit_delay_odds(self._curve, X[target], design.used_, age[target], delay[target])
        self.delay_curve_ = (self._curve.ages, self._curve.share)
        share = with_odds(self._curve(age), self._odds(X))
        leads = Leads(X, age, target, share, weight)
        self.base_rate_ = min(1.0, float((weight * target).sum() / (weight * share).sum()))
        self._level_drift, self.boosted_, self.drift_factor_ = LevelEffects(), False, 1.0
        p = np.full(len(X), self.base_rate_)
        if self._targets >= LOW_CONFIDENCE:
            p = self._fit_rate(leads, design)
            self.drift_factor_ = float(np.exp(self._drift.recent(self.window)))
        young = age < self.window
        self.observed_ = float((weight * target)[young].sum())
        self.expected_ = float((weight * p * share)[young].sum())
        return self

    def _fit_rate(self, leads: Leads, design: FeatureDesign) -> Floats:
        """(n,) probabilities without drift."""
        columns = design.transform(leads.X)
        self._linear = CensoredLogit().fit(columns, leads, np.zeros(len(columns)), design.blocks_)
        p = expit(self._linear.log_odds(columns))
        if worth_boosting(leads, design, columns, p, self.random_state):
            self.boosted_ = True
            self._trees = BoostedRate(self.random_state).fit(leads, design.used_, p)
            log_odds = self._trees.log_odds(leads.X)
            # Trees have seen these leads and do not add up by themselves.
            nothing = np.zeros((len(columns), 0))
            shift = CensoredLogit().fit(nothing, leads, log_odds, np.zeros(0, int))
            self._shift = shift.intercept_
            p = expit(log_odds + self._shift)
        self._fit_drift(leads, design.used_, p)
        self._exponents = Exponents.of(p)
        return np.asarray(p)

    def _fit_drift(self, leads: Leads, features: list[str], p: Floats) -> None:
        known, expected = leads.weight * leads.target, leads.weight * leads.share * p
        self._drift = fit_drift(leads.age, known, expected, self.window)
        young = leads.age < self.window
        followed = expected * np.exp(self._drift(leads.age))
        self._level_drift = fit_level_drift(leads.X[young], features, known[young], followed[young])

    def predict(self, X: pd.DataFrame, columns: Floats, age: Floats | None) -> Floats:
        """(n,) probability.

        Args:
            X: (n, features).
            columns: (n, m) of the design.
            age: (n,) days, or None: see `PredictedValueModel.predict_proba`.
        """
        if self._targets < LOW_CONFIDENCE:
            return np.full(len(X), self.base_rate_)
        log_odds = self._trees.log_odds(X) + self._shift if self.boosted_ else self._linear.log_odds(columns)
        if age is None:
            log_factor = self._drift.recent(self.window) + self._level_drift(X)
        else:
            log_factor = self._drift(age) + np.where(age < self.window, self._level_drift(X), 0.0)
        return np.asarray(-np.expm1(self._exponents(log_factor) * np.log1p(-expit(log_odds))))

    def deviation(self, chunks: Iterable[tuple[slice, Floats]], p: Floats, age: Floats | None) -> float:
        """Standard deviation of the logarithm of the sum of probabilities: coefficients and drift, no chance.

        Args:
            chunks: rows and their columns.
            p: (n,) the leads' probabilities.
            age: as in `predict`.
        """
        if self._targets < LOW_CONFIDENCE:
            return float(np.sqrt(1 / self._targets))
        ages = np.linspace(0.0, self.window, 40, endpoint=False) if age is None else age
        weight = np.ones(len(ages)) if age is None else p
        drift = float(np.average(self._drift.variance(ages), weights=weight))
        slope = np.zeros(len(self._linear.covariance_))
        for rows, columns in chunks:
            spread = p[rows] * (1 - p[rows])
            slope += np.concatenate([[spread.sum()], spread @ columns])
        slope /= p.sum()
        return float(np.sqrt(slope @ self._linear.covariance_ @ slope + drift))
