"""E(value | target): a regression on the logarithm, scaled so that the sum of the values seen comes out."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from conversions_assets.prediction.levels import Floats
from conversions_assets.prediction.shrinkage import BlockPrior

ROUNDS = 50
PRIOR_SCALE = 0.2  # logarithm of the value


class BlockRidge:
    """Linear regression with a ridge per block, whose strength is learnt from the data."""

    def fit(self, columns: Floats, y: Floats, blocks: NDArray[np.int_]) -> "BlockRidge":
        """Fit to (t, m) columns and (t,) y."""
        self.centre_, self.intercept_ = columns.mean(axis=0), float(y.mean())
        centred, residual = columns - self.centre_, y - self.intercept_
        gram, moment = centred.T @ centred, centred.T @ residual
        prior = BlockPrior(blocks, PRIOR_SCALE)
        self.noise_ = max(float(residual.var()), 1e-9)
        for _ in range(ROUNDS):
            factor = cho_factor(gram / self.noise_ + np.diag(prior.penalty))
            self.coef_ = cho_solve(factor, moment / self.noise_)
            covariance = cho_solve(factor, np.eye(len(self.coef_)))
            error = residual - centred @ self.coef_
            self.noise_ = max(float(error @ error + np.sum(gram * covariance)) / len(y), 1e-9)
            if prior.update(self.coef_, np.diag(covariance)):
                break
        return self

    def predict(self, columns: Floats) -> Floats:
        """(n,) expected y."""
        return np.asarray(self.intercept_ + (columns - self.centre_) @ self.coef_)


class TargetValue:
    """Expected value of the targets of a lead that has one, in the values' unit.

    Up to `min_targets` values, or where they are not a positive sum, it is the mean. A target without a value (NaN)
    adds nothing to the sum, so it counts as 0: what is predicted must add up to what is realised.

    Attributes:
        mean_: mean value of a target.
        scale_: factor that makes the fitted values add up.
        deviation_: standard deviation of the logarithm of the sum's error.
        ratios_: (t,) value / expected value of the targets seen, mean 1.
    """

    def __init__(self, min_targets: int) -> None:
        self.min_targets = min_targets

    def fit(self, columns: Floats, value: Floats, blocks: NDArray[np.int_]) -> "TargetValue":
        """Fit.

        Args:
            columns: (t, m) of the leads with a target.
            value: (t,) NaN: none.
            blocks: (m,) the block of each column.
        """
        known = np.nan_to_num(value, nan=0.0)
        self.mean_, self.scale_, self.ridge_ = float(known.mean()), 1.0, None
        positive = known > 0
        if positive.sum() >= self.min_targets and known.sum() > 0 and columns.shape[1]:
            self.ridge_ = BlockRidge().fit(columns[positive], np.log(known[positive]), blocks)
            self.scale_ = float(known.sum() / np.exp(self.ridge_.predict(columns)).sum())
        self.ratios_ = self._ratios(columns, known)
        self.deviation_ = float(min(np.std(self.ratios_) / np.sqrt(len(known)), 1.0)) if len(known) > 1 else 1.0
        return self

    def _ratios(self, columns: Floats, known: Floats) -> Floats:
        if not self.mean_:
            return np.ones(len(known))
        ratios = known / self.predict(columns)
        if self.ridge_ is not None:
            # Values that were fitted lie closer to the line than new ones will.
            positive = ratios > 0
            log = np.log(ratios[positive])
            wider = np.sqrt(self.ridge_.noise_ / max(float(log.var()), 1e-12)) if len(log) > 1 else 1.0
            ratios[positive] = np.exp(log.mean() + (log - log.mean()) * np.clip(wider, 1.0, 1.5))
            ratios /= ratios.mean()
        return np.asarray(ratios)

    def predict(self, columns: Floats) -> Floats:
        """(n,) expected value."""
        if self.ridge_ is None:
            return np.full(len(columns), self.mean_)
        return np.asarray(self.scale_ * np.exp(self.ridge_.predict(columns)))
