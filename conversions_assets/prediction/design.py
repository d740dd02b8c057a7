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

    def transform(self, column: pd.Series) -> Floats:
        return np.asarray(self.encoder.transform(_frame(categories(column))))


@dataclass
class NumberColumn:
    """A cubic spline with knots at quantiles, constant outside of the data seen, and a column for missing values."""

    def fit(self, column: pd.Series) -> "NumberColumn":
        values = _numbers(column)
        known = values[np.isfinite(values)]
        self.median = float(np.median(known))
        self.has_missing = len(known) < len(values)
        knots = np.unique(np.quantile(known, np.linspace(0.01, 0.99, KNOTS)))
        if len(knots) < 2:
            knots = np.array([known.min(), known.max()])
        self.low, self.high = float(knots[0]), float(knots[-1])
        self.spline = SplineTransformer(knots=knots[:, None], degree=min(DEGREE, len(knots) - 1)).fit(known[:, None])
        return self

    def transform(self, column: pd.Series) -> Floats:
        values = _numbers(column)
        missing = ~np.isfinite(values)
        filled = np.clip(np.where(missing, self.median, values), self.low, self.high)
        basis = np.asarray(self.spline.transform(filled[:, None]))
        if not self.has_missing:
            return basis
        basis[missing] = 0.0
        return np.column_stack([basis, missing.astype(float)])


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
        widths = []
        for name in self.used_:
            column = X[name]
            encoder = NumberColumn() if is_number(column) else CategoryColumn(self.min_leads, MAX_LEVELS)
            self.encoders_.append(encoder.fit(column))
            widths.append(encoder.transform(column.iloc[:1]).shape[1])
        self.blocks_ = np.repeat(np.arange(len(self.used_)), widths)
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
