"""The features of leads as the columns of a linear model: levels for categories, splines for numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder, SplineTransformer
from sklearn.utils.validation import check_is_fitted

Floats = NDArray[np.float64]

MISSING = "\0missing"
MAX_LEVELS = 64
KNOTS = 5
DEGREE = 3


def categories(column: pd.Series) -> pd.Series:
    """A column as text, missing entries as a level of their own."""
    text = column.astype(object)
    missing = text.isna()
    return text.where(missing, text.map(str)).where(~missing, MISSING)


def is_number(column: pd.Series) -> bool:
    """Numbers get a spline; everything else, flags included, counts as a category."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and not bool(pd.api.types.is_bool_dtype(column.dtype))


@dataclass
class CategoryColumn:
    """One-hot levels; those with fewer leads than `min_leads`, and all beyond the largest, share one column."""

    min_leads: int
    max_levels: int

    def fit(self, column: pd.Series) -> "CategoryColumn":
        self.encoder = OneHotEncoder(
            min_frequency=self.min_leads,
            max_categories=self.max_levels,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        ).fit(_frame(categories(column)))
        return self

    @property
    def blocks(self) -> list[int]:
        """Widths of the blocks: one."""
        return [len(self.encoder.get_feature_names_out())]

    def transform(self, column: pd.Series) -> Floats:
        return np.asarray(self.encoder.transform(_frame(categories(column))))


@dataclass
class NumberColumn:
    """A line, its bend (a P-spline with knots at quantiles) and a column for missing values, as three blocks.

    The basis of the bend is scaled so that a ridge on it punishes second differences (Eilers and Marx 1996): shrunk
    to nothing, a straight line is left. Beyond the 1st and 99th percentile the effect is constant.
    """

    def fit(self, column: pd.Series) -> "NumberColumn":
        values = _numbers(column)
        known = values[np.isfinite(values)]
        self.has_missing = len(known) < len(values)
        knots = np.unique(np.quantile(known, np.linspace(0.01, 0.99, KNOTS)))
        if len(knots) < 2:
            knots = np.array([known.min(), known.max()])
        self.low, self.high = float(knots[0]), float(knots[-1])
        clipped = np.clip(known, self.low, self.high)
        self.mean, self.deviation = float(clipped.mean()), float(clipped.std()) or 1.0
        self.spline, self.bend = None, np.zeros((0, 0))
        if len(knots) > 2:
            self.spline = SplineTransformer(knots=knots[:, None], degree=DEGREE).fit(known[:, None])
            differences = np.diff(np.eye(self.spline.n_features_out_), 2, axis=0)
            _, size, rows = np.linalg.svd(differences, full_matrices=False)
            self.bend = rows.T / size
            basis = self._bent(clipped)
            line = (clipped - self.mean) / self.deviation
            self.level, self.slope = basis.mean(axis=0), line @ basis / len(line)
        return self

    def _bent(self, values: Floats) -> Floats:
        return np.asarray(self.spline.transform(values[:, None]) @ self.bend)

    @property
    def blocks(self) -> list[int]:
        """Widths of the blocks."""
        return [1] + ([self.bend.shape[1]] if self.spline else []) + [1] * self.has_missing

    def transform(self, column: pd.Series) -> Floats:
        values = _numbers(column)
        missing = ~np.isfinite(values)
        filled = np.clip(np.where(missing, self.mean, values), self.low, self.high)
        line = (filled - self.mean) / self.deviation
        line[missing] = 0.0
        parts = [line[:, None]]
        if self.spline:
            parts.append(np.where(missing[:, None], 0.0, self._bent(filled) - self.level - np.outer(line, self.slope)))
        if self.has_missing:
            parts.append(missing[:, None].astype(float))
        return np.hstack(parts)


class FeatureDesign(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns a DataFrame of features into the columns of a linear model.

    Args:
        min_leads: levels of a category with fewer leads are grouped.
        max_columns: bound on the number of columns.

    Attributes:
        used_: names of the features that have columns.
        left_out_: name -> reason of the others.
        blocks_: (m,) for each column the position of its feature in `used_`.
    """

    def __init__(self, min_leads: int = 10, max_columns: int = 400) -> None:
        self.min_leads = min_leads
        self.max_columns = max_columns

    def fit(self, X: pd.DataFrame, y: object = None) -> "FeatureDesign":
        self.left_out_ = {str(name): reason for name in X.columns if (reason := useless(X[name]))}
        self.used_ = [name for name in X.columns if str(name) not in self.left_out_]
        self.encoders_: list[Any] = []
        widths: list[int] = []
        for name in self.used_:
            column = X[name]
            encoder = NumberColumn() if is_number(column) else CategoryColumn(self.min_leads, MAX_LEVELS)
            self.encoders_.append(encoder.fit(column))
            widths += encoder.blocks
        self.blocks_ = np.repeat(np.arange(len(widths)), widths)
        return self

    def transform(self, X: pd.DataFrame) -> Floats:
        check_is_fitted(self)
        parts: Sequence[Floats] = [
            encoder.transform(X[name]) for name, encoder in zip(self.used_, self.encoders_, strict=True)
        ]
        return np.column_stack(parts) if parts else np.zeros((len(X), 0))


def useless(column: pd.Series) -> str | None:
    """Why a feature cannot tell leads apart; None where it can."""
    if column.isna().all():
        return "no lead has a value"
    if column.nunique(dropna=False) == 1:
        return "all leads have the same value"
    return None


def _frame(column: pd.Series) -> NDArray[np.object_]:
    return column.to_numpy(dtype=object)[:, None]


def _numbers(column: pd.Series) -> Floats:
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
