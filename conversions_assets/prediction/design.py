"""The features of leads as the columns of a linear model: levels for categories, splines for numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder, SplineTransformer
from sklearn.utils.validation import check_is_fitted

from conversions_assets.prediction.levels import Floats, Levels, categories, is_number, numbers

MIN_LEADS, MAX_LEVELS = 10, 64
MAX_COLUMNS = 300
KNOTS, DEGREE = 5, 3


class CategoryColumn:
    """One-hot levels; those with fewer than 10 leads, and all beyond the 64 largest, share one column."""

    def fit(self, column: pd.Series) -> "CategoryColumn":
        self.encoder = OneHotEncoder(
            min_frequency=MIN_LEADS,
            max_categories=MAX_LEVELS,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        ).fit(_texts(column))
        self.blocks = [len(self.encoder.get_feature_names_out())]
        return self

    def transform(self, column: pd.Series) -> Floats:
        return np.asarray(self.encoder.transform(_texts(column)))


class NumberColumn:
    """A line, its bend (a P-spline with knots at quantiles) and a column for missing values, as three blocks.

    The basis of the bend is scaled so that a ridge on it punishes second differences (Eilers and Marx 1996): shrunk
    to nothing, a straight line is left. Beyond the 1st and 99th percentile the effect is constant.
    """

    def fit(self, column: pd.Series) -> "NumberColumn":
        values = numbers(column)
        known = values[np.isfinite(values)]
        knots = np.unique(np.quantile(known, np.linspace(0.01, 0.99, KNOTS)))
        if len(knots) < 2:
            knots = np.array([known.min(), known.max()])
        self.low, self.high = float(knots[0]), float(knots[-1])
        clipped = np.clip(known, self.low, self.high)
        self.mean, self.deviation = float(clipped.mean()), float(clipped.std()) or 1.0
        self.has_bend, self.has_missing = len(knots) > 2, len(known) < len(values)
        self.blocks = [1]
        if self.has_bend:
            self._fit_bend(knots, clipped)
            self.blocks.append(self.basis.shape[1])
        self.blocks += [1] * self.has_missing
        return self

    def _fit_bend(self, knots: Floats, known: Floats) -> None:
        self.spline = SplineTransformer(knots=knots[:, None], degree=DEGREE).fit(known[:, None])
        differences = np.diff(np.eye(self.spline.n_features_out_), 2, axis=0)
        _, size, rows = np.linalg.svd(differences, full_matrices=False)
        self.basis = rows.T / size
        bent = self.spline.transform(known[:, None]) @ self.basis
        line = (known - self.mean) / self.deviation
        self.level, self.slope = bent.mean(axis=0), line @ bent / len(line)

    def transform(self, column: pd.Series) -> Floats:
        values = numbers(column)
        missing = ~np.isfinite(values)
        filled = np.clip(np.where(missing, self.mean, values), self.low, self.high)
        line = np.where(missing, 0.0, (filled - self.mean) / self.deviation)
        parts = [line[:, None]]
        if self.has_bend:
            bent = self.spline.transform(filled[:, None]) @ self.basis - self.level - np.outer(line, self.slope)
            parts.append(np.where(missing[:, None], 0.0, bent))
        if self.has_missing:
            parts.append(missing[:, None].astype(float))
        return np.hstack(parts)


class FeatureDesign(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns a DataFrame of features into at most 300 columns of a linear model.

    Attributes:
        used_: names of the features that have columns.
        left_out_: name -> reason of the others.
        blocks_: (m,) the block of each column: columns whose coefficients are alike in size.
    """

    def fit(self, X: pd.DataFrame, left_out: Mapping[str, str], target: NDArray[np.bool_]) -> "FeatureDesign":
        """Choose features and learn their levels and knots.

        Args:
            X: (n, features).
            left_out: name -> reason of those not to be used.
            target: (n,) whether the lead has a target: decides which features get the columns if there are too many.
        """
        self.left_out_ = {name: why for name in X.columns if (why := left_out.get(name) or useless(X[name]))}
        encoders: dict[str, Any] = {
            name: (NumberColumn() if is_number(X[name]) else CategoryColumn()).fit(X[name])
            for name in X.columns
            if name not in self.left_out_
        }
        if sum(sum(encoder.blocks) for encoder in encoders.values()) > MAX_COLUMNS:
            encoders = self._most_telling(encoders, X, target)
        self.used_, self.encoders_ = list(encoders), list(encoders.values())
        widths = [width for encoder in self.encoders_ for width in encoder.blocks]
        self.blocks_ = np.repeat(np.arange(len(widths)), widths)
        return self

    def _most_telling(self, encoders: dict[str, Any], X: pd.DataFrame, target: NDArray[np.bool_]) -> dict[str, Any]:
        strength = {name: rate_evidence(X[name], target) for name in encoders}
        kept, room = set(), MAX_COLUMNS
        for name in sorted(encoders, key=lambda name: -strength[name]):
            width = sum(encoders[name].blocks)
            if width <= room:
                kept.add(name)
                room -= width
            else:
                self.left_out_[name] = f"tells less than others, of which {MAX_COLUMNS} columns are full"
        return {name: encoder for name, encoder in encoders.items() if name in kept}

    def transform(self, X: pd.DataFrame) -> Floats:
        """(n, m) columns."""
        check_is_fitted(self, "blocks_")
        columns = np.empty((len(X), len(self.blocks_)))
        start = 0
        for name, encoder in zip(self.used_, self.encoders_, strict=True):
            part = encoder.transform(X[name])
            columns[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return columns


def rate_evidence(column: pd.Series, target: NDArray[np.bool_]) -> float:
    """Log Bayes factor of a rate of targets per level against one rate for all (gamma-Poisson)."""
    codes, names = pd.factorize(Levels.of(column)(column))
    hits = np.bincount(codes, target, len(names))
    expected = np.bincount(codes, minlength=len(names)) * target.mean()
    a = 4.0  # Effects of about a half are expected.
    return float((a * np.log(a) - gammaln(a) + gammaln(a + hits) - (a + hits) * np.log(a + expected) + expected).sum())


def row_hashes(X: pd.DataFrame) -> NDArray[np.uint64]:
    """(n,) a hash of each row's features: an order of leads that does not depend on how they come."""
    plain = pd.DataFrame({name: numbers(X[name]) if is_number(X[name]) else categories(X[name]) for name in X})
    return np.asarray(pd.util.hash_pandas_object(plain, index=False)) if X.shape[1] else np.zeros(len(X), np.uint64)


def useless(column: pd.Series) -> str | None:
    """Why a feature cannot tell leads apart; None where it can."""
    if column.isna().all():
        return "no lead has a value"
    if column.nunique(dropna=False) == 1:
        return "all leads have the same value"
    return None


def _texts(column: pd.Series) -> NDArray[np.object_]:
    return categories(column).to_numpy(dtype=object)[:, None]
