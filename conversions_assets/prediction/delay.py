"""The delay curve: the share of a window's targets that has arrived by an age."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIOR_TARGETS = 2.0
STEPS = 80


@dataclass
class DelayCurve:
    """F(a): `share` (k,) at `ages` (k,) days, linear between, 1 from the window on."""

    ages: Floats
    share: Floats

    def __call__(self, age: Floats) -> Floats:
        return np.asarray(np.interp(age, self.ages, self.share))


def fit_delay_curve(age: Floats, delay: Floats, window: float, weight: Floats | None = None) -> DelayCurve:
    """Estimate F from the leads with a target, each of which is seen only because its delay is below its age.

    The product-limit estimator of right-truncated data (Lagakos, Barraj and De Gruttola, Biometrika 1988), which is
    Kaplan-Meier backwards in time. Open leads play no part, so a rate of targets that changes does not bend the
    curve, as it bends Kaplan-Meier over all leads. A prior curve sqrt(a / window), worth two targets, stands in for
    ages that no lead has reached.

    Args:
        age: (t,) days since the lead, of the leads with a target within the window.
        delay: (t,) days from lead to target.
        weight: (t,) power of a lead's own curve relative to F; None: 1.
    """
    weight = np.ones(len(age)) if weight is None else weight
    grid = np.unique(np.concatenate([np.linspace(0.0, window, STEPS + 1), delay]))
    at = np.searchsorted(grid, delay)
    until = np.searchsorted(grid, np.minimum(age, window), side="right")
    size = len(grid) + 1
    risk = np.cumsum(np.bincount(at, weight, size) - np.bincount(until, weight, size))[:-1]
    prior = np.diff(0.5 * np.log(np.maximum(grid, window / STEPS / 2)), prepend=np.log(window / STEPS / 2) / 2)
    hazard = (np.bincount(at, minlength=len(grid)) + PRIOR_TARGETS * prior) / (np.maximum(risk, 0) + PRIOR_TARGETS)
    later = np.cumsum(hazard[::-1])[::-1]
    return DelayCurve(grid, np.exp(-np.append(later[1:], 0.0)))
