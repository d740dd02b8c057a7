"""Expected value of the targets of a lead that has one."""

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
