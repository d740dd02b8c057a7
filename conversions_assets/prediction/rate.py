"""Logistic regression for leads of which some are too young to be judged, with a ridge per feature."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from conversions_assets.prediction.leads import Leads
from conversions_assets.prediction.levels import Floats
from conversions_assets.prediction.shrinkage import BlockPrior

ROUNDS = 50
TOLERANCE = 1e-4
LARGEST_STEP = 2.0
PRIOR_SCALE = 0.5  # log odds
INTERCEPT_PENALTY = 1e-3  # Keeps the intercept finite where all leads have a target.
# Open leads tell less than judged ones, and at worst nothing; their curvature keeps this share of a judged lead's.
LEAST_CURVATURE = 0.05


class CensoredLogit:
    """P(target within the window) by the likelihood of delayed feedback (Chapelle, KDD 2014).

    A lead with a target counts log p, an open lead log(1 - p F), where F is the share of the window's targets that have
    arrived by its age. EM, which splits open leads into p(1 - F)/(1 - pF) targets and the rest, ends at the same
    place; Newton's method gets there in a few steps and leaves the covariance.

    Attributes:
        intercept_, coef_: (m,) log odds.
        penalty_: (m,) weight of a coefficient's square in the penalty, twice.
        covariance_: (m + 1, m + 1), the intercept first.
    """

    def fit(self, columns: Floats, leads: Leads, offset: Floats, blocks: NDArray[np.int_]) -> "CensoredLogit":
        """Fit.

        Args:
            columns: (n, m).
            leads: (n,) leads.
            offset: (n,) log odds that are given.
            blocks: (m,) the block of each column.
        """
        design = np.column_stack([np.ones(len(columns)), columns])
        prior = BlockPrior(blocks, PRIOR_SCALE)
        exposure = leads.weight * leads.share
        rate = np.clip(leads.weight @ leads.target / exposure.sum(), 1e-6, 1 - 1e-6)
        centre = np.zeros(design.shape[1])
        centre[0] = np.log(rate / (1 - rate)) - np.average(offset, weights=exposure)
        beta = centre
        for _ in range(ROUNDS):
            penalty = np.concatenate([[INTERCEPT_PENALTY], prior.penalty])
            p = expit(design @ beta + offset)
            future, spread = leads.future(p), p * (1 - p)
            curvature = leads.weight * np.maximum(spread - future * (1 - future), LEAST_CURVATURE * spread)
            hessian = design.T @ (design * curvature[:, None])
            hessian[np.diag_indices_from(hessian)] += penalty
            factor = cho_factor(hessian)
            step = cho_solve(factor, design.T @ (leads.weight * (future - p)) - penalty * (beta - centre))
            size = float(np.abs(step).max())
            beta = beta + step * min(1.0, LARGEST_STEP / max(size, TOLERANCE))
            self.covariance_ = cho_solve(factor, np.eye(len(beta)))
            settled = prior.update(beta[1:], np.diag(self.covariance_)[1:])
            if settled and size < TOLERANCE:
                break
        self.intercept_, self.coef_, self.penalty_ = float(beta[0]), beta[1:], penalty[1:]
        return self

    def log_odds(self, columns: Floats) -> Floats:
        """(n,) log odds, without offset."""
        return np.asarray(self.intercept_ + columns @ self.coef_)
