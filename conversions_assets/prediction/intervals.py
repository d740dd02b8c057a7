"""Intervals for the sum of what leads will bring."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
MAX_VALUES = 2_000_000


def draw_sums(
    probability: Floats,
    target_value: Floats,
    level_deviation: float,
    value_deviation: float,
    ratios: Floats,
    rng: np.random.Generator,
) -> Floats:
    """(DRAWS,) sums of realised value over a set of leads, as uncertain as they are.

    Each draw takes a level of the rate and of the values (log-normal, mean 1), a number of targets (binomial with the
    mean and variance of the leads' own probabilities), which leads they fall on, and how far each target's value is
    from the expected one (drawn from the targets that the model has seen).

    Args:
        probability, target_value: (n,) of the leads.
        level_deviation: standard deviation of the logarithm of the probabilities' common factor.
        value_deviation: the same of the values' common factor.
        ratios: (t,) value / expected value of targets that have been seen, mean 1.
    """
    mean = float(probability.sum())
    if mean <= 0:
        return np.zeros(DRAWS)
    factors = np.exp(level_deviation * rng.standard_normal(DRAWS) - level_deviation**2 / 2)
    scales = np.exp(value_deviation * rng.standard_normal(DRAWS) - value_deviation**2 / 2)
    share = float((probability**2).sum()) / mean
    trials = max(round(mean / share), 1)
    counts = rng.binomial(trials, np.minimum(mean / trials * factors, 1.0))
    if counts.sum() > MAX_VALUES:
        expected = np.average(target_value, weights=probability)
        square = np.average(target_value**2, weights=probability) * np.mean(ratios**2)
        noise = np.sqrt(max(square - expected**2, 0.0)) * np.sqrt(counts) * rng.standard_normal(DRAWS)
        return np.asarray(scales * (counts * expected + noise))
    leads = rng.choice(len(probability), counts.sum(), p=probability / mean)
    values = target_value[leads] * rng.choice(ratios, len(leads))
    return np.asarray(scales * np.bincount(np.repeat(np.arange(DRAWS), counts), values, DRAWS))
