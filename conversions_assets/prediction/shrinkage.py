"""How far coefficients are shrunk: a normal prior per feature, its variance learnt from the data."""

import numpy as np
from numpy.typing import NDArray

from conversions_assets.prediction.levels import Floats

# How many columns the expected variance is worth to a block, and how many blocks it is worth to all of them.
COLUMNS, BLOCKS = 1.0, 10.0
SETTLED = 0.02


class BlockPrior:
    """Normal priors of mean 0 whose variance is common to the columns of a block.

    The variances are estimated with the coefficients (MacKay, Neural Computation 1992; Tipping, JMLR 2001), so a
    feature without effect shrinks to nothing and one with a large effect is hardly shrunk. They in turn are drawn to a
    common scale (scaled inverse chi-squared), which falls where most blocks tell nothing: so many useless params do
    little harm.

    Args:
        blocks: (m,) the block of each column, 0, 1, ...
        scale: standard deviation that is expected of a coefficient.

    Attributes:
        variances: per block.
    """

    def __init__(self, blocks: NDArray[np.int_], scale: float) -> None:
        self.blocks = blocks
        self.sizes = np.bincount(blocks)
        self.expected = scale**2
        self.variances = np.full(len(self.sizes), self.expected)

    @property
    def penalty(self) -> Floats:
        """(m,) 1 / variance of each column."""
        return 1 / self.variances[self.blocks]

    def update(self, coefficients: Floats, uncertainty: Floats) -> bool:
        """Learn from (m,) coefficients and their (m,) posterior variances; whether it changed next to nothing."""
        count = len(self.sizes)
        common = (count + BLOCKS) / ((1 / self.variances).sum() + BLOCKS / self.expected)
        squares = np.bincount(self.blocks, coefficients**2 + uncertainty, minlength=count)
        before, self.variances = self.variances, (squares + COLUMNS * common) / (self.sizes + COLUMNS)
        return bool(np.all(np.abs(np.log(self.variances / before)) < SETTLED))
