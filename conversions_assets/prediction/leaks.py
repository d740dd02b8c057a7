"""Params that know the future: filled in, or changed, once a lead has become a target or is lost."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from conversions_assets.prediction.levels import MISSING, Floats, Levels

MIN_LEADS = 30
# A rate below this share of the base rate, or above this rate. A source may well be five times worse than the others,
# so a value has to have next to no target before it counts; that a param is filled, or missing, tells of its time.
LOW, LOW_VALUE, HIGH = 0.2, 0.02, 0.9
P_VALUE = 1e-8


@dataclass(frozen=True)
class Leak:
    """A level whose rate of targets no lead could have had by itself.

    Attributes:
        feature: its name.
        level: 'missing', 'filled', or 'one value': the value itself may be personal data.
        leads, targets: counts among mature leads.
        base_rate: share of all mature leads that have a target.
    """

    feature: str
    level: str
    leads: int
    targets: int
    base_rate: float

    @property
    def reason(self) -> str:
        """For `features_left_out_`."""
        where = {"missing": "where it is missing", "filled": "where it is filled"}.get(self.level, "with one value")
        return (
            f"leak: {where}, {self.targets:,} of {self.leads:,} leads have a target "
            f"({self.targets / self.leads:.1%}; all leads: {self.base_rate:.1%})"
        )


def find_leaks(X: pd.DataFrame, target: NDArray[np.bool_], weight: Floats) -> list[Leak]:
    """The clearest leak of each feature that has one.

    A level (missing and filled are levels too) leaks if it has at least 30 leads, its rate of targets is below a fifth
    of the base rate (a fiftieth where the level is a value) or above 0.9, and the binomial probability of that under
    the base rate is below 1e-8.

    Args:
        X: (n, features) of mature leads: older than the window.
        target: (n,) whether the lead has a target within the window.
        weight: (n,) how many leads a row stands for.
    """
    if len(X) < MIN_LEADS or not target.any() or target.all():
        return []
    return [leak for name in X.columns if (leak := _leak_of(X[name], target, weight)) is not None]


def _leak_of(column: pd.Series, target: NDArray[np.bool_], weight: Floats) -> Leak | None:
    codes, names = pd.factorize(Levels.of(column)(column))
    leads: Floats = np.round(np.bincount(codes, weight, len(names)))
    hits: Floats = np.round(np.bincount(codes, weight * target, len(names)))
    labels = np.where(names == MISSING, "missing", "one value")
    if (labels == "missing").any():
        filled = labels != "missing"
        leads, hits = np.append(leads, leads[filled].sum()), np.append(hits, hits[filled].sum())
        labels = np.append(labels, "filled")
    base = float(np.average(target, weights=weight))
    chance = _chance(leads, hits, base)
    suspect = (leads >= MIN_LEADS) & (chance < P_VALUE)
    low = np.where(labels == "one value", LOW_VALUE, LOW)
    suspect &= (hits < low * base * leads) | (hits > HIGH * leads)
    if not suspect.any():
        return None
    # Missing and filled say more than a value does.
    order = np.lexsort((chance, labels == "one value", ~suspect))
    worst = int(order[0])
    return Leak(str(column.name), str(labels[worst]), int(leads[worst]), int(hits[worst]), base)


def _chance(leads: Floats, hits: Floats, base: float) -> Floats:
    """Binomial probability of so few, or so many, under the base rate."""
    return np.asarray(np.minimum(binom.cdf(hits, leads, base), binom.sf(hits - 1, leads, base)))
