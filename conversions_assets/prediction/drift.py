"""The drift factor: how far the rate of targets has moved away from what the features explain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]

MAX_BINS = 180


@dataclass
class DriftFactor:
    """Factor on the expected targets by age of the lead (days before the cut-off)."""

    edges: Floats  # (k + 1,) days
    factor: Floats  # (k,) posterior mean
    variance: Floats  # (k,) posterior variance

    def __call__(self, age: Floats) -> Floats:
        return self.factor[self._bin(age)]

    def _bin(self, age: Floats) -> NDArray[np.int_]:
        return np.clip(np.searchsorted(self.edges, age, side="right") - 1, 0, len(self.factor) - 1)


def fit_drift(
    age: Floats, observed: Floats, expected: Floats, window: float, rate: float = 1 / 400, concentration: float = 6.0
) -> DriftFactor:
    """Product partition model of a Poisson rate with a gamma prior (Barry and Hartigan 1992; Fearnhead 2006).

    The leads' time line is cut into segments of constant factor; each boundary is a change with a small prior
    probability, and all segmentations are averaged exactly.

    Args:
        age: (n,) days before the cut-off.
        observed: (n,) targets known.
        expected: (n,) targets that the model expects to be known.
        rate: changes per day that are expected.
        concentration: shape and rate of the gamma prior of a segment's factor: the expected number of targets that it is worth.
    """
    bins = min(MAX_BINS, max(1, int(np.ceil(age.max() / (window / 20)))))
    edges = np.linspace(0.0, max(age.max(), window) + 1e-9, bins + 1)
    at = np.clip(np.searchsorted(edges, age, side="right") - 1, 0, bins - 1)
    total_o = np.concatenate([[0.0], np.cumsum(np.bincount(at, observed, bins))])
    total_e = np.concatenate([[0.0], np.cumsum(np.bincount(at, expected, bins))])
    a = concentration
    shape = a + total_o[None, :] - total_o[:, None]
    scale = a + total_e[None, :] - total_e[:, None]
    valid = np.triu(np.ones((bins + 1, bins + 1), bool), 1)
    shape, scale = np.where(valid, shape, a), np.where(valid, scale, a)
    evidence = a * np.log(a) - gammaln(a) + gammaln(shape) - shape * np.log(scale)
    change = 1 - np.exp(-rate * (edges[1] - edges[0]))
    length = np.arange(bins + 1)[None, :] - np.arange(bins + 1)[:, None]
    weight = np.where(valid, evidence + (length - 1) * np.log1p(-change), -np.inf)
    forward, backward = np.full(bins + 1, -np.inf), np.full(bins + 1, -np.inf)
    forward[0] = backward[bins] = 0.0
    for end in range(1, bins + 1):
        jump = np.where(np.arange(end) > 0, np.log(change), 0.0)
        forward[end] = np.logaddexp.reduce(forward[:end] + jump + weight[:end, end])
    for start in range(bins - 1, -1, -1):
        ends = np.arange(start + 1, bins + 1)
        jump = np.where(ends < bins, np.log(change), 0.0)
        backward[start] = np.logaddexp.reduce(backward[ends] + jump + weight[start, ends])
    jumps = (
        np.where(np.arange(bins + 1) > 0, np.log(change), 0.0)[:, None]
        + np.where(np.arange(bins + 1) < bins, np.log(change), 0.0)[None, :]
    )
    posterior = np.where(valid, np.exp(forward[:, None] + backward[None, :] + weight + jumps - forward[bins]), 0.0)
    mean = shape / scale
    square = shape * (shape + 1) / scale**2

    def over_bins(values: Floats) -> Floats:
        # bin j lies in segments with start <= j < end
        starts = np.cumsum(posterior * values, axis=0)
        return np.array([starts[j, j + 1 :].sum() for j in range(bins)])

    factor = over_bins(mean)
    return DriftFactor(edges, factor, over_bins(square) - factor**2)
