"""The delay curve: the share of a window's targets that has arrived by an age."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from conversions_assets.prediction.levels import LevelEffects, select_effects

Floats = NDArray[np.float64]

# How many targets the prior curve is worth, and the shapes and scales (in windows) it may have.
PRIOR_TARGETS = 5.0
SHAPES = np.array([0.5, 0.7, 1.0, 1.4, 2.0])
SCALES = np.geomspace(0.02, 3.0, 25)
STEPS = 80
GRID = np.linspace(-3.0, 3.0, 61)  # logarithms of a level's factor
SPREADS = np.array([0.25, 0.5, 1.0])  # standard deviations of their prior


@dataclass
class DelayCurve:
    """F(a): `share` (k,) at `ages` (k,) days, linear between, 1 from the window on."""

    ages: Floats
    share: Floats

    def __call__(self, age: Floats) -> Floats:
        return np.asarray(np.interp(age, self.ages, self.share))


def fit_delay_curve(age: Floats, delay: Floats, window: float) -> DelayCurve:
    """Estimate F from the leads with a target, each of which is seen only because its delay is below its age.

    The product-limit estimator of right-truncated data (Lagakos, Barraj and De Gruttola, Biometrika 1988), which is
    Kaplan-Meier backwards in time. Open leads play no part, so a rate of targets that changes does not bend the
    curve, as it bends Kaplan-Meier over all leads. It is drawn to a Weibull curve, worth a few targets, which also
    stands in for ages that no lead has reached.

    Args:
        age: (t,) days since the lead, of the leads with a target within the window.
        delay: (t,) days from lead to target.
    """
    reach = np.minimum(age, window)
    grid = np.unique(np.concatenate([np.linspace(0.0, window, STEPS + 1), delay]))
    at = np.searchsorted(grid, delay)
    until = np.searchsorted(grid, reach, side="right")
    size = len(grid) + 1
    risk = np.cumsum(np.bincount(at, minlength=size) - np.bincount(until, minlength=size))[:-1]
    prior = np.diff(np.log(_weibull(reach, delay, window, grid)), prepend=0.0)
    prior[0] = 0.0
    hazard = (np.bincount(at, minlength=len(grid)) + PRIOR_TARGETS * prior) / (np.maximum(risk, 0) + PRIOR_TARGETS)
    later = np.cumsum(hazard[::-1])[::-1]
    return DelayCurve(grid, np.exp(-np.append(later[1:], 0.0)))


def _weibull(reach: Floats, delay: Floats, window: float, grid: Floats) -> Floats:
    """(k,) posterior mean of a Weibull curve that ends at the window, over a grid of shapes and scales."""
    shape, scale = (part.ravel()[:, None] for part in np.meshgrid(SHAPES, window * SCALES))
    least = window / STEPS / 2

    def power(days: Floats) -> Floats:
        return np.asarray((np.maximum(days, least) / scale) ** shape)

    hit, seen = power(delay), power(reach)
    density = np.log(shape) + np.log(hit) - np.log(np.maximum(delay, least)) - hit
    log = (density - np.log(-np.expm1(-seen))).sum(axis=1)
    weight = np.exp(log - logsumexp(log))
    return np.asarray(weight @ (np.expm1(-power(grid)) / np.expm1(-power(np.array([window])))))


def with_odds(share: Floats, log_odds: Floats) -> Floats:
    """A share whose odds are multiplied; 0 and 1 stay."""
    factor = np.exp(log_odds)
    return np.asarray(share * factor / (1 + share * (factor - 1)))


def fit_delay_odds(curve: DelayCurve, X: pd.DataFrame, features: list[str], age: Floats, delay: Floats) -> LevelEffects:
    """How much earlier than F the targets of a feature's levels come, where the data show it.

    The odds of having arrived are those of F times a factor (proportional odds, Bennett 1983). Each level's logarithm
    has a normal prior of mean 0: few targets leave it there.

    Args:
        curve: F.
        X: (t, features) of the leads with a target within the window.
        features: names to choose from.
        age, delay: (t,) days.
    """
    arrived, seen = curve(delay), curve(age)
    prior = -0.5 * (GRID / SPREADS[:, None]) ** 2
    prior -= logsumexp(prior, axis=1, keepdims=True)

    def weigh(codes: NDArray[np.int_], size: int, own: Floats) -> tuple[float, Floats]:
        steps = GRID[:, None] + own
        # The derivative of with_odds is factor / (1 + share (factor - 1))^2; only delays up to the age are seen.
        log = steps - 2 * np.log1p(arrived * np.expm1(steps)) - np.log(with_odds(seen, steps))
        by_level = np.stack([np.bincount(codes, row, size) for row in log - log[len(GRID) // 2]])
        joint = by_level[None] + prior[:, :, None]
        evidence = logsumexp(joint, axis=1).sum(axis=1)
        best = joint[int(np.argmax(evidence))]
        mean = (np.exp(best - logsumexp(best, axis=0)) * GRID[:, None]).sum(axis=0)
        return float(logsumexp(evidence) - np.log(len(evidence))), mean

    return select_effects(X, features, weigh)
