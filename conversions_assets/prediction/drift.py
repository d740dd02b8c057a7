"""The drift factor: how far the rate of targets has moved away from what the features explain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, logsumexp, polygamma

Floats = NDArray[np.float64]

BINS_PER_WINDOW, MAX_BINS = 20, 240
# A change in the rate is expected with the hazard CHANGES / (age + window / 4) per day of lead age.
CHANGES = 0.6
# The factor of a stretch of time between two changes has a gamma prior of mean 1, worth this many expected targets.
PRIOR_TARGETS = 6.0


@dataclass
class DriftFactor:
    """Observed / expected targets by age of the lead in days before the cut-off; constant within a bin.

    Attributes:
        edges: (k + 1,) days.
        log_factor: (k,) posterior mean of the factor's logarithm.
        log_variance: (k,) its posterior variance.
    """

    edges: Floats
    log_factor: Floats
    log_variance: Floats

    def __call__(self, age: Floats) -> Floats:
        """(n,) the factor at ages in days."""
        return np.asarray(np.exp(self.log_factor[bins_of(age, self.edges)]))


def bins_of(age: Floats, edges: Floats) -> NDArray[np.int_]:
    """(n,) the bin of each age, ages beyond the edges in the first or last one."""
    return np.clip(np.searchsorted(edges, age, side="right") - 1, 0, len(edges) - 2)


def fit_drift(age: Floats, observed: Floats, expected: Floats, window: float) -> DriftFactor:
    """Estimate the factor by averaging over all ways to cut the leads' time line into stretches of constant rate.

    A product partition model (Barry and Hartigan, JASA 1993) with Poisson counts and gamma priors; the sum over all
    partitions is exact (forward-backward as in Fearnhead, Statistics and Computing 2006). Recent changes are held to be likelier
    than old ones, because the model itself follows old ones. The logarithm is averaged, so that too high and
    too low by the same factor weigh the same.

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
    shape, rate = (PRIOR_TARGETS + _between(np.bincount(at, part, count)) for part in (observed, expected))
    hazard = -np.expm1(-CHANGES * edges[1] / (edges + window / 4))
    hazard[0] = hazard[-1] = 0.0
    posterior = _segments(gammaln(shape) - shape * np.log(rate), hazard)
    mean = digamma(shape) - np.log(rate)
    log_factor = _over_bins(posterior * mean)
    return DriftFactor(edges, log_factor, _over_bins(posterior * (mean**2 + polygamma(1, shape))) - log_factor**2)


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
        forward[end] = logsumexp(forward[:end] + change[:end] + weight[:end, end])
    for start in range(size - 2, -1, -1):
        backward[start] = logsumexp(backward[start + 1 :] + change[start + 1 :] + weight[start, start + 1 :])
    total = forward[:, None] + backward[None, :] + weight + change[:, None] + change[None, :]
    return np.asarray(np.exp(total - forward[-1]))


def _over_bins(values: Floats) -> Floats:
    """(k,) per bin the sum over the segments that cover it."""
    covered = np.cumsum(values, axis=0)
    return np.array([covered[position, position + 1 :].sum() for position in range(len(values) - 1)])
