"""The predicted value of a lead: P(target within the window) x E(value | target)."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from conversions_assets.prediction.delay import fit_delay_curve
from conversions_assets.prediction.design import FeatureDesign
from conversions_assets.prediction.drift import fit_drift
from conversions_assets.prediction.rate import CensoredLogit
from conversions_assets.prediction.values import BlockRidge

Floats = NDArray[np.float64]

LOW_CONFIDENCE, FULL = 5, 30


class NoTargets(ValueError):
    """No lead has a target within the window: there is nothing to learn from."""


class PredictedValueModel(BaseEstimator):  # type: ignore[misc]
    """Predicts the value that a lead brings within a window."""

    def __init__(self, window_days: float = 40.0, random_state: int = 0) -> None:
        self.window_days = window_days
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, age: Any, delay: Any, value: Any) -> "PredictedValueModel":
        X = pd.DataFrame(X)
        age, delay, value = (np.asarray(part, dtype=float) for part in (age, delay, value))
        window = float(self.window_days)
        target = delay <= np.minimum(age, window)
        self.n_targets_ = int(target.sum())
        if not self.n_targets_:
            raise NoTargets("no lead has a target within the window")
        self.level_ = (
            "fallback" if self.n_targets_ < LOW_CONFIDENCE else "low_confidence" if self.n_targets_ < FULL else "full"
        )
        self._delay = fit_delay_curve(age[target], delay[target], window)
        self.delay_curve_ = (self._delay.ages, self._delay.share)
        share = self._delay(age)
        self.base_rate_ = min(1.0, self.n_targets_ / float(share.sum()))
        weight = np.ones(len(X))
        offset = np.zeros(len(X))
        known = np.where(target, np.nan_to_num(value, nan=0.0), 0.0)[target]
        self.mean_value_ = float(known.mean())
        self.features_used_: list[str] = []
        self.features_left_out_: dict[str, str] = {}
        self.n_features_in_ = X.shape[1]
        self._rate = None
        self._ridge = None
        self.drift_factor_ = 1.0
        self.observed_ = self.expected_ = float(self.n_targets_)
        if self.level_ == "fallback":
            return self
        self._design = FeatureDesign().fit(X)
        self.features_used_ = [str(name) for name in self._design.used_]
        self.features_left_out_ = dict(self._design.left_out_)
        columns = self._design.transform(X)
        for _ in range(2):
            self._rate = CensoredLogit().fit(columns, target, share, offset, weight, self._design.blocks_)
            p = expit(self._rate.log_odds(columns))
            self._drift = fit_drift(age, target.astype(float), p * share, window)
            offset = np.log(self._drift(age))
        recent = np.linspace(0, window, 81)[:-1]
        self.drift_factor_ = float(self._drift(recent).mean())
        young = age < window
        self.observed_, self.expected_ = float(target[young].sum()), float((p * share)[young].sum())
        self._scale = 1.0
        positive = known > 0
        if self.level_ == "full" and positive.sum() >= FULL and known.sum() > 0 and columns.shape[1]:
            rows = columns[target]
            self._ridge = BlockRidge().fit(rows[positive], np.log(known[positive]), self._design.blocks_)
            self._scale = float(known.sum() / np.exp(self._ridge.predict(rows)).sum())
        return self

    def _probability(self, X: pd.DataFrame) -> Floats:
        check_is_fitted(self)
        X = pd.DataFrame(X)
        if self._rate is None:
            return np.full(len(X), self.base_rate_)
        p = expit(self._rate.log_odds(self._design.transform(X)))
        return np.asarray(1 - (1 - p) ** self.drift_factor_)

    def predict_proba(self, X: pd.DataFrame) -> Floats:
        """(n, 2) probability of no target and of a target within the window."""
        p = self._probability(X)
        return np.column_stack([1 - p, p])

    def predict_target_value(self, X: pd.DataFrame) -> Floats:
        """(n,) expected value of the targets of a lead that has one."""
        check_is_fitted(self)
        X = pd.DataFrame(X)
        if self._ridge is None:
            return np.full(len(X), self.mean_value_)
        return np.asarray(self._scale * np.exp(self._ridge.predict(self._design.transform(X))))

    def predict(self, X: pd.DataFrame) -> Floats:
        """(n,) predicted value."""
        return np.asarray(self._probability(X) * self.predict_target_value(X))
