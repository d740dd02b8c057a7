"""Features cut into levels, and effects of levels that are taken in only where the data show them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Effects = dict[str, float]
Weigh = Callable[[NDArray[np.int_], int, Floats], tuple[float, Floats]]

LARGEST = 1e100
MISSING = "\0missing"
# Log Bayes factor from which evidence counts as "positive" (Kass and Raftery, JASA 1995).
EVIDENCE = 2.0
MAX_FEATURES = 3


def categories(column: pd.Series) -> pd.Series:
    """A column as text, missing entries as a level of their own."""
    values = column.to_numpy(dtype=object)
    text = [MISSING if missing else str(value) for value, missing in zip(values, pd.isna(values), strict=True)]
    return pd.Series(text, index=column.index, dtype=object)


def is_number(column: pd.Series) -> bool:
    """Numbers have an order; everything else, flags included, counts as a category."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and not bool(pd.api.types.is_bool_dtype(column.dtype))


def numbers(column: pd.Series) -> Floats:
    """A column as floats; missing and infinite entries are NaN, larger ones than can be squared are cut."""
    values = np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


@dataclass
class Levels:
    """Cuts a feature into levels: a category's own, quarters of a number; missing is a level."""

    edges: Floats | None = None

    @classmethod
    def of(cls, column: pd.Series) -> "Levels":
        """Learn the quarters of a number."""
        if not is_number(column):
            return cls()
        values = numbers(column)
        known = values[np.isfinite(values)]
        return cls(np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0))

    def __call__(self, column: pd.Series) -> pd.Series:
        """(n,) the level of each lead."""
        if self.edges is None:
            return categories(column)
        values = numbers(column)
        quarter = np.searchsorted(self.edges, values, side="left").astype(str).astype(object)
        return pd.Series(np.where(np.isfinite(values), quarter, MISSING), index=column.index)


@dataclass
class LevelEffects:
    """Sum of the effects of a lead's levels.

    Attributes:
        tables: feature -> (how it is cut into levels, level -> effect).
    """

    tables: dict[str, tuple[Levels, Effects]] = field(default_factory=dict)

    def __call__(self, X: pd.DataFrame) -> Floats:
        """(n,) the sum; a level that is not known adds 0."""
        total = np.zeros(len(X))
        for name, (levels, table) in self.tables.items():
            total += levels(X[name]).map(table).fillna(0.0).to_numpy(dtype=float)
        return total


def select_effects(X: pd.DataFrame, features: list[str], weigh: Weigh) -> LevelEffects:
    """Take features in one by one, the best first, while there is evidence that their levels differ.

    Args:
        X: (n, features).
        features: names to choose from.
        weigh: of level codes (n,), number of levels, and the effects (n,) taken so far: the log Bayes factor of an own
            effect per level against none, and the effects, shrunk.
    """
    effects = LevelEffects()
    cuts = {name: Levels.of(X[name]) for name in features}
    coded = {name: pd.factorize(cut(X[name])) for name, cut in cuts.items()}
    for _ in range(MAX_FEATURES):
        own = effects(X)
        found = {name: weigh(codes, len(names), own) for name, (codes, names) in coded.items()}
        best = max(found, key=lambda name: found[name][0], default=None)
        if best is None or found[best][0] < EVIDENCE:
            break
        names = coded.pop(best)[1]
        effects.tables[best] = (cuts[best], dict(zip(names, found[best][1].tolist(), strict=True)))
    return effects
