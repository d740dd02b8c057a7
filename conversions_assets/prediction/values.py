"""E(value | target): a regression on the logarithm, scaled so that the sum of the values seen comes out."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Floats = NDArray[np.float64]


class BlockRidge:
    """Linear regression whose coefficients share a normal prior per block, its variance estimated (MacKay 1992)."""

    def __init__(self, prior_scale: float = 0.2, prior_weight: float = 2.0) -> None:
        self.prior_scale = prior_scale
        self.prior_weight = prior_weight

    def fit(self, columns: Floats, y: Floats, blocks: NDArray[np.int_]) -> "BlockRidge":
        self.centre_, self.intercept_ = columns.mean(axis=0), float(y.mean())
        centred, residual = columns - self.centre_, y - self.intercept_
        gram, moment = centred.T @ centred, centred.T @ residual
        n_blocks = int(blocks.max(initial=-1)) + 1
        sizes = np.bincount(blocks, minlength=n_blocks)
        variances = np.full(n_blocks, self.prior_scale**2)
        noise = float(residual.var()) or 1.0
        for _ in range(50):
            factor = cho_factor(gram / noise + np.diag(1 / variances[blocks]))
            beta = cho_solve(factor, moment / noise)
            covariance = cho_solve(factor, np.eye(len(beta)))
            squares = np.bincount(blocks, beta**2 + np.diag(covariance), minlength=n_blocks)
            updated = (squares + self.prior_weight * self.prior_scale**2) / (sizes + self.prior_weight)
            error = residual - centred @ beta
            noise = max(float(error @ error + np.sum(gram * covariance)) / len(y), 1e-9)
            if np.all(np.abs(np.log(updated / variances)) < 0.02):
                break
            variances = updated
        self.coef_, self.noise_ = beta, noise
        return self

    def predict(self, columns: Floats) -> Floats:
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
