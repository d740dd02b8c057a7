"""The drift factor: how far the rate of targets has moved away from what the features explain."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, logsumexp, polygamma

from conversions_assets.prediction.levels import LevelEffects, select_effects

Floats = NDArray[np.float64]

BINS_PER_WINDOW, MAX_BINS = 20, 240
# A change in the rate is expected with the hazard CHANGES / (age + window / 4) per day of lead age.
CHANGES = 1.0
# The factor of a stretch of time between two changes has a gamma prior of mean 1, worth this many expected targets.
PRIOR_TARGETS = 5.0
# A level's own drift: candidates for the same.
LEVEL_PRIORS = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


@dataclass
class DriftFactor:
    """Observed / expected targets by age of the lead in days before the cut-off; constant within a bin.

    Attributes:
        edges: (k + 1,) days.
        log_factor: (k,) logarithm of the factor, midway between its arithmetic and its geometric posterior mean.
        log_variance: (k,) its posterior variance.
    """

    edges: Floats
    log_factor: Floats
    log_variance: Floats

    def __call__(self, age: Floats) -> Floats:
        """(n,) the factor's logarithm at ages in days."""
        return self.log_factor[bins_of(age, self.edges)]

    def variance(self, age: Floats) -> Floats:
        """(n,) its posterior variance."""
        return self.log_variance[bins_of(age, self.edges)]

    def recent(self, window: float) -> float:
        """Logarithm of the mean factor of a window's days before the cut-off."""
        return float(np.log(np.mean(np.exp(self(np.linspace(0.0, window, 80, endpoint=False))))))


def bins_of(age: Floats, edges: Floats) -> NDArray[np.int_]:
    """(n,) the bin of each age, ages beyond the edges in the first or last one."""
    return np.clip(np.searchsorted(edges, age, side="right") - 1, 0, len(edges) - 2)


def fit_drift(age: Floats, observed: Floats, expected: Floats, window: float) -> DriftFactor:
    """Estimate the factor by averaging over all ways to cut the leads' time line into stretches of constant rate.

    A product partition model (Barry and Hartigan, JASA 1993) with Poisson counts and gamma priors; the sum over all
    partitions is exact (forward-backward as in Fearnhead, Statistics and Computing 2006). Recent changes are held to be
    likelier than old ones, because the model itself follows old ones. Midway between the arithmetic mean, which is too
    high for a rate that has fallen, and the geometric one, which is too low for one that has risen.

    Args:
        age: (n,) days before the cut-off.
        observed: (n,) targets known.
        expected: (n,) targets that the model expects to be known.
        window: days.
    """
    span = max(float(age.max()), window)
    count = min(MAX_BINS, int(np.ceil(span / (window / BINS_PER_WINDOW))))
    edges = np.linspace(0.0, span, count + 1)
    at = bins_of(age, edges)
    shape, rate = (
        PRIOR_TARGETS + _between(np.bincount(at, part, count).astype(float)) for part in (observed, expected)
    )
    hazard = -np.expm1(-CHANGES * edges[1] / (edges + window / 4))
    hazard[0] = hazard[-1] = 0.0
    posterior = _segments(gammaln(shape) - shape * np.log(rate), hazard)
    mean = digamma(shape) - np.log(rate)
    log_mean, mean_log = np.log(_over_bins(posterior * shape / rate)), _over_bins(posterior * mean)
    variance = _over_bins(posterior * (mean**2 + polygamma(1, shape))) - mean_log**2
    return DriftFactor(edges, (log_mean + mean_log) / 2, variance)


@dataclass
class Exponents:
    """Turns a factor k on the number of targets into the exponent e of 1 - (1 - p)^e that brings k times as many.

    For small p both are the same; with larger ones k targets per target ask for more than k times the hazard.
    """

    log_factor: Floats  # (k,) rising
    exponent: Floats  # (k,)

    @classmethod
    def of(cls, p: Floats) -> "Exponents":
        """Learn from the (n,) probabilities of leads like those that will be scored."""
        typical = np.quantile(p, (np.arange(200) + 0.5) / 200)
        exponent = np.exp(np.linspace(-4.0, 4.0, 81))
        factor = (1 - (1 - typical[:, None]) ** exponent).mean(axis=0) / typical.mean()
        return cls(np.log(factor), exponent)

    def __call__(self, log_factor: Floats) -> Floats:
        """(n,) exponents."""
        return np.asarray(np.exp(np.interp(log_factor, self.log_factor, np.log(self.exponent))))


def fit_level_drift(X: pd.DataFrame, features: list[str], observed: Floats, expected: Floats) -> LevelEffects:
    """The logarithm of a level's own drift beside the common one, where the data show it (gamma-Poisson).

    Args:
        X: (n, features) of the leads younger than the window.
        features: names to choose from.
        observed, expected: (n,) targets, the common drift included in what is expected.
    """
    if not observed.sum():
        return LevelEffects()
    expected = expected * (observed.sum() / expected.sum())

    def weigh(codes: NDArray[np.int_], size: int, own: Floats) -> tuple[float, Floats]:
        known = np.bincount(codes, observed, size)
        awaited = np.bincount(codes, expected * np.exp(own), size)
        a = LEVEL_PRIORS[:, None]
        log = a * np.log(a) - gammaln(a) + gammaln(a + known) - (a + known) * np.log(a + awaited) + awaited
        evidence = log.sum(axis=1)
        best = float(LEVEL_PRIORS[int(np.argmax(evidence))])
        return float(logsumexp(evidence) - np.log(len(evidence))), digamma(best + known) - np.log(best + awaited)

    return select_effects(X, features, weigh)


def _between(counts: Floats) -> Floats:
    """(k + 1, k + 1) sum of counts from bin start (row) up to bin end (column), 0 where end <= start."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    return np.triu(total[None, :] - total[:, None])


def _segments(evidence: Floats, hazard: Floats) -> Floats:
    """(k + 1, k + 1) posterior probability that a segment runs from start (row) to end (column)."""
    size = len(hazard)
    starts, ends = np.triu_indices(size, 1)
    unchanged = np.concatenate([[0.0], np.cumsum(np.log1p(-hazard))])
    weight = np.full((size, size), -np.inf)
    prior = PRIOR_TARGETS * np.log(PRIOR_TARGETS) - gammaln(PRIOR_TARGETS)
    weight[starts, ends] = prior + evidence[starts, ends] + unchanged[ends] - unchanged[starts + 1]
    change = np.log(hazard, where=hazard > 0, out=np.zeros(size))
    forward, backward = np.zeros(size), np.zeros(size)
    for end in range(1, size):
        forward[end] = np.logaddexp.reduce(forward[:end] + change[:end] + weight[:end, end])
    for start in range(size - 2, -1, -1):
        backward[start] = np.logaddexp.reduce(backward[start + 1 :] + change[start + 1 :] + weight[start, start + 1 :])
    total = forward[:, None] + backward[None, :] + weight + change[:, None] + change[None, :]
    return np.asarray(np.exp(total - forward[-1]))


def _over_bins(values: Floats) -> Floats:
    """(k,) per bin the sum over the segments that cover it."""
    covered = np.cumsum(values, axis=0)
    return np.array([covered[position, position + 1 :].sum() for position in range(len(values) - 1)])
