"""The predicted value of a lead: P(target within the window) x E(value | target)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from conversions_assets.prediction.design import FeatureDesign, row_hashes
from conversions_assets.prediction.intervals import draw_sums
from conversions_assets.prediction.leaks import find_leaks
from conversions_assets.prediction.levels import Floats
from conversions_assets.prediction.probability import LOW_CONFIDENCE, TargetProbability
from conversions_assets.prediction.sampling import sample_rows
from conversions_assets.prediction.values import TargetValue

# Targets from which features tell the value too.
FULL = 30
MAX_ROWS = 100_000
CHUNK = 50_000
# Several threads would wait for each other beside the other runs of the machine, and add up in another order.
ONE_THREAD = threadpool_limits.wrap(limits=1)


class NoTargets(ValueError):
    """No lead has a target within the window: there is nothing to learn from."""


class PredictedValueModel(BaseEstimator):  # type: ignore[misc]
    """Predicts the value that a lead brings within a window, from leads of which some are too young to be judged.

    The probability is a logistic regression with the likelihood of delayed feedback (Chapelle, KDD 2014), followed
    by boosted trees where there are enough targets and they are better; a drift factor corrects for a rate of targets
    that has moved away from what the features explain; the value is a regression on its logarithm. See
    docs/decisions/0009-predicted-value.md. Equal leads give an equal model, in whatever order they come.

    Args:
        window_days: a target counts when it comes within so many days of its lead.
        max_rows: leads to fit on; above, every target and a sample of the others, weighted.
        random_state: seed of the boosted trees and of the draws of intervals.

    Attributes:
        n_targets_: leads with a target within the window, known at the cut-off.
        level_: 'fallback' (1 to 4 targets: base rate and mean value), 'low_confidence' (5 to 29: features for the
            probability, mean value) or 'full'.
        base_rate_: P(target within the window) of all leads together.
        drift_factor_: targets of the leads of the window before the cut-off / targets that the features explain.
        observed_, expected_: targets of these leads that are known, and that were expected without the factor.
        delay_curve_: ages in days (k,) and share (k,) of a window's targets that has arrived by them.
        features_used_: names.
        features_left_out_: name -> reason.
        leaks_: what the leak test has found.
        boosted_: whether boosted trees took over.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(self, window_days: float = 40.0, max_rows: int = MAX_ROWS, random_state: int = 0) -> None:
        self.window_days = window_days
        self.max_rows = max_rows
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    @ONE_THREAD  # type: ignore[untyped-decorator]
    def fit(self, X: Any, age: Any, delay: Any, value: Any) -> "PredictedValueModel":
        """Fit to the leads that are known at a cut-off.

        Args:
            X: (n, features) DataFrame; object, string and category columns are categories, others numbers; missing
                values are allowed. An array counts as numbers.
            age: (n,) days from the lead to the cut-off.
            delay: (n,) days from the lead to its target, inf: none. A target later than the cut-off is not looked at.
            value: (n,) value of the targets; NaN: a target without value. Not looked at where there is no target.

        Raises:
            NoTargets: no lead has a target within the window that is known at the cut-off.
            ValueError: the arrays do not fit together, an age or delay is negative or NaN, or a value is infinite.
        """
        X = self._checked(X, reset=True)
        age, delay, value = _checked_leads(len(X), age, delay, value, float(self.window_days))
        order = _order(X, age, delay, value)
        age, delay, value = age[order], delay[order], value[order]
        target = delay <= np.minimum(age, self.window_days)
        rows, weight = sample_rows(target, self.max_rows)
        X, age, delay, value = X.iloc[order[rows]].reset_index(drop=True), age[rows], delay[rows], value[rows]
        self.n_targets_ = int(target.sum())
        if not self.n_targets_:
            raise NoTargets(
                f"no lead has a target within {self.window_days:g} days that is known at the cut-off: nothing to learn"
            )
        target = target[rows]
        self.level_ = (
            "fallback" if self.n_targets_ < LOW_CONFIDENCE else "low_confidence" if self.n_targets_ < FULL else "full"
        )
        mature = age >= self.window_days
        self.leaks_ = find_leaks(X[mature], target[mature], weight[mature])
        left_out = {leak.feature: leak.reason for leak in self.leaks_}
        if self.level_ == "fallback":
            left_out = dict.fromkeys(X.columns, "too few targets to tell leads apart") | left_out
        self._design = FeatureDesign().fit(X, left_out, target)
        self.features_used_, self.features_left_out_ = list(self._design.used_), dict(self._design.left_out_)
        self._probability = TargetProbability(self.window_days, self.random_state).fit(
            X, self._design, age, delay, weight
        )
        for name in ("base_rate_", "drift_factor_", "observed_", "expected_", "delay_curve_", "boosted_"):
            setattr(self, name, getattr(self._probability, name))
        hits = np.flatnonzero(target)
        columns = np.vstack([part for _, part in self._chunks(X.iloc[hits])])
        self._value = TargetValue(FULL).fit(columns, value[hits], self._design.blocks_)
        return self

    def predict_proba(self, X: Any, age: Any = None) -> Floats:
        """(n, 2) probability of no target and of a target within the window.

        Args:
            X: (n, features).
            age: (n,) days from the lead to the cut-off of `fit`, for the drift at that time; 0 or less: after it.
                None: some lead of the window before the cut-off.
        """
        p = self._scores(X, age)[0]
        return np.column_stack([1 - p, p])

    def predict_target_value(self, X: Any) -> Floats:
        """(n,) expected value of the targets of a lead that has one."""
        X = self._checked(X)
        return np.concatenate([self._value.predict(columns) for _, columns in self._chunks(X)])

    def predict(self, X: Any, age: Any = None) -> Floats:
        """(n,) predicted value: P(target within the window) x E(value | target)."""
        p, value = self._scores(X, age)
        return np.asarray(p * value)

    def predict_sum(self, X: Any, age: Any = None, confidence: float = 0.9) -> tuple[float, float, float]:
        """Sum of the predicted values of some leads, and the interval in which the realised sum will lie.

        The interval holds what chance does with so many leads, how uncertain rate, drift and values are, and how far
        single values scatter.

        Args:
            X: (n, features) of the leads of a week, a source, ...
            age: as in `predict_proba`.
            confidence: share of such intervals that hold the realised sum.

        Returns:
            Sum, lower and upper end, in the values' unit.
        """
        p, value = self._scores(X, age)
        if not len(p):
            return 0.0, 0.0, 0.0
        deviation = self._probability.deviation(self._chunks(self._checked(X)), p, age)
        rng = np.random.default_rng(self.random_state)
        sums = draw_sums(p, value, deviation, self._value.deviation_, self._value.ratios_, rng)
        low, high = np.quantile(sums, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float((p * value).sum()), float(low), float(high)

    @ONE_THREAD  # type: ignore[untyped-decorator]
    def _scores(self, X: Any, age: Any) -> tuple[Floats, Floats]:
        """(n,) probabilities and (n,) expected values."""
        X = self._checked(X)
        ages = None if age is None else np.asarray(age, dtype=float)
        p, value = [np.zeros(0)], [np.zeros(0)]
        for rows, columns in self._chunks(X):
            p.append(self._probability.predict(X.iloc[rows], columns, None if ages is None else ages[rows]))
            value.append(self._value.predict(columns))
        return np.concatenate(p), np.concatenate(value)

    def _chunks(self, X: pd.DataFrame) -> Iterator[tuple[slice, Floats]]:
        """Rows and their columns, so many at a time that memory stays small."""
        for start in range(0, len(X), CHUNK):
            rows = slice(start, start + CHUNK)
            yield rows, self._design.transform(X.iloc[rows])

    def _checked(self, X: Any, reset: bool = False) -> pd.DataFrame:
        if not reset:
            check_is_fitted(self)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X.reset_index(drop=True)
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        return pd.DataFrame(array, columns=[f"x{position}" for position in range(array.shape[1])])


def _order(X: pd.DataFrame, age: Floats, delay: Floats, value: Floats) -> NDArray[np.int_]:
    """(n,) rows by age, and where that leaves a choice by what is in them: the order they come in is no matter."""
    _, place, count = np.unique(age, return_inverse=True, return_counts=True)
    tied = np.flatnonzero(count[place] > 1)
    hashes = np.zeros(len(X), np.uint64)
    hashes[tied] = row_hashes(X.iloc[tied])
    return np.lexsort((value, delay, hashes, age))


def _checked_leads(n: int, age: Any, delay: Any, value: Any, window: float) -> tuple[Floats, Floats, Floats]:
    """Arrays of length n; the value is NaN where there is no target.

    Raises:
        ValueError: they do not fit together, or a number cannot be.
    """
    if not window > 0:
        raise ValueError(f"window_days is {window}: give the days in which a target counts, more than 0")
    age, delay, value = (np.asarray(part, dtype=float) for part in (age, delay, value))
    for name, part in (("age", age), ("delay", delay), ("value", value)):
        if part.shape != (n,):
            raise ValueError(f"{name} has the shape {part.shape}, X has {n} rows: give one number per row")
    if not (np.isfinite(age) & (age >= 0)).all():
        raise ValueError("age is negative, NaN or infinite: give days from the lead to the cut-off, no later leads")
    if not (delay >= 0).all():
        raise ValueError("delay is negative or NaN: give days from the lead to its target, inf where there is none")
    value = np.where(delay <= np.minimum(age, window), value, np.nan)
    if np.isinf(value).any():
        raise ValueError("value is infinite: give the value of the targets, NaN where it is not known")
    return age, delay, value
