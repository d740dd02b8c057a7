"""Leads with a known truth, for tests of the model: a source, a number, a delay and a log-normal value."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HISTORY, WINDOW = 180.0, 40.0
MEAN_DELAY = 15.0


@dataclass
class Leads:
    """Leads and, for each, what is true and what is known at the cut-off (day 0)."""

    X: pd.DataFrame
    age: Floats
    delay: Floats  # inf: never
    value: Floats
    p: Floats  # P(target within the window)

    @property
    def known(self) -> dict[str, Any]:
        """What `fit` takes."""
        return {
            "X": self.X,
            "age": self.age,
            "delay": np.where(self.delay <= self.age, self.delay, np.inf),
            "value": self.value,
        }

    @property
    def targets(self) -> int:
        """Targets known at the cut-off."""
        return int((self.delay <= np.minimum(self.age, WINDOW)).sum())


def simulate(
    n: int, seed: int = 0, rate: float = 0.08, history: float = HISTORY, recent: float = 1.0, recent_days: float = 30.0
) -> Leads:
    """n leads over `history` days; targets of the last `recent_days` are `recent` times as likely."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, history, n)
    source = rng.choice(["ads", "fair", "web"], n, p=[0.5, 0.3, 0.2])
    size = rng.normal(size=n)
    effect = pd.Series(source).map({"ads": -0.5, "fair": 0.3, "web": 1.0}).to_numpy() + 0.5 * size
    ever = rate * np.exp(effect) / np.mean(np.exp(effect)) * np.where(age < recent_days, recent, 1.0)
    ever = np.minimum(ever, 0.95)
    delay = np.where(rng.random(n) < ever, rng.exponential(MEAN_DELAY, n), np.inf)
    value = np.exp(6 + 0.5 * size + 0.8 * rng.normal(size=n))
    X = pd.DataFrame({"source": source, "size": np.where(rng.random(n) < 0.1, np.nan, size)})
    X["source"] = X["source"].astype(object)
    return Leads(X, age, delay, value, ever * -np.expm1(-WINDOW / MEAN_DELAY))


def with_targets(count: int, n: int = 400, seed: int = 1) -> Leads:
    """n mature leads of which exactly so many have a target."""
    leads = simulate(n, seed)
    leads.age = 41.0 + leads.age
    leads.delay = np.full(n, np.inf)
    leads.delay[:count] = np.linspace(0.5, 39.5, count)
    return leads
