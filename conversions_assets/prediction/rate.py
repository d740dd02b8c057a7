"""Logistic regression for leads of which some are too young to be judged, with a ridge per feature."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

Floats = NDArray[np.float64]

ROUNDS = 40
TOLERANCE = 1e-4
INTERCEPT_PENALTY = 1e-3  # Keeps the intercept finite where all leads have a target.


class CensoredLogit:
    """P(target within the window) by the likelihood of delayed feedback (Chapelle, KDD 2014).

    A lead with a target counts log p, an open lead log(1 - p F) where F is the share of the window's targets that
    arrive by its age. This is what EM with open leads split into p(1-F)/(1-pF) and the rest converges to; Newton's
    method gets there in a few steps and leaves the covariance. The coefficients of a feature share a normal prior whose
    variance is estimated with them (MacKay 1992), so a feature without effect shrinks to nothing and one with a large
    effect is hardly shrunk.

    Args:
        prior_scale: standard deviation (log odds) that is expected of a feature's effects.
        prior_weight: how many columns that expectation is worth.

    Attributes:
        intercept_, coef_: (m,) log odds.
        covariance_: (m + 1, m + 1), the intercept first.
        variances_: per block.
    """

    def __init__(self, prior_scale: float = 0.5, prior_weight: float = 2.0) -> None:
        self.prior_scale = prior_scale
        self.prior_weight = prior_weight

    def fit(
        self,
        columns: Floats,
        target: NDArray[np.bool_],
        share: Floats,
        offset: Floats,
        weight: Floats,
        blocks: NDArray[np.int_],
    ) -> "CensoredLogit":
        design = np.column_stack([np.ones(len(columns)), columns])
        n_blocks = int(blocks.max(initial=-1)) + 1
        variances = np.full(n_blocks, self.prior_scale**2)
        sizes = np.bincount(blocks, minlength=n_blocks)
        beta = np.zeros(design.shape[1])
        rate = np.clip(weight[target].sum() / (weight * share).sum(), 1e-6, 1 - 1e-6)
        start = beta[0] = np.log(rate / (1 - rate)) - np.average(offset, weights=weight * share)
        centre = np.zeros(len(beta))
        centre[0] = start
        for _ in range(ROUNDS):
            penalty = np.concatenate([[INTERCEPT_PENALTY], 1 / variances[blocks]])
            p = expit(design @ beta + offset)
            future = np.where(target, 1.0, p * (1 - share) / (1 - p * share))
            curvature = weight * np.maximum(p * (1 - p) - future * (1 - future), 1e-3 * p * (1 - p))
            hessian = design.T @ (design * curvature[:, None])
            hessian[np.diag_indices_from(hessian)] += penalty
            factor = cho_factor(hessian)
            step = cho_solve(factor, design.T @ (weight * (future - p)) - penalty * beta + penalty[0] * centre)
            step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
            beta = beta + step
            covariance = cho_solve(factor, np.eye(len(beta)))
            squares = np.bincount(blocks, beta[1:] ** 2 + np.diag(covariance)[1:], minlength=n_blocks)
            updated = (squares + self.prior_weight * self.prior_scale**2) / (sizes + self.prior_weight)
            settled = np.abs(step).max() < TOLERANCE and np.all(np.abs(np.log(updated / variances)) < 0.02)
            variances = updated
            if settled:
                break
        self.intercept_, self.coef_ = float(beta[0]), beta[1:]
        self.covariance_ = covariance
        self.variances_ = variances
        return self

    def log_odds(self, columns: Floats) -> Floats:
        """(n,) log odds."""
        return np.asarray(self.intercept_ + columns @ self.coef_)
