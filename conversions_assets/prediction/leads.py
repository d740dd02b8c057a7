"""What is known of the leads that a probability is fitted on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversions_assets.prediction.levels import Floats


@dataclass
class Leads:
    """Leads at a cut-off.

    Attributes:
        X: (n, features).
        age: (n,) days.
        target: (n,) whether the lead has a target within the window.
        share: (n,) F at the lead's age: the probability that a target that will come has come.
        weight: (n,) how many leads of the whole a row stands for.
    """

    X: pd.DataFrame
    age: Floats
    target: NDArray[np.bool_]
    share: Floats
    weight: Floats

    def take(self, rows: NDArray[np.int_]) -> "Leads":
        """Some of the rows."""
        return Leads(
            self.X.iloc[rows].reset_index(drop=True),
            self.age[rows],
            self.target[rows],
            self.share[rows],
            self.weight[rows],
        )

    def future(self, p: Floats) -> Floats:
        """(n,) probability that the lead has or will have its target, given (n,) probabilities at its creation."""
        return np.where(self.target, 1.0, p * (1 - self.share) / np.maximum(1 - p * self.share, 1e-12))
