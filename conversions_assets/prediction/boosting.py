"""Gradient boosting, for data sets with enough targets to learn what levels do together."""

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder

from conversions_assets.prediction.design import FeatureDesign
from conversions_assets.prediction.leads import Leads
from conversions_assets.prediction.levels import Floats, categories, is_number, numbers
from conversions_assets.prediction.rate import CensoredLogit
from conversions_assets.prediction.sampling import sample_rows

MIN_TARGETS = 1000
FOLDS = 3
CROSS_VALIDATION_ROWS = 30_000
MAX_LEVELS = 200


class BoostedRate:
    """P(target within the window) by boosted trees; open leads are split by what the linear model expects of them.

    An open lead counts as a target with p(1 - F) / (1 - pF) and as none with the rest: one step of the EM of Chapelle
    (KDD 2014), whose start is the linear model.
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, leads: Leads, features: list[str], p: Floats) -> "BoostedRate":
        """Fit.

        Args:
            leads: (n,) leads.
            features: names to use.
            p: (n,) probabilities of the linear model.
        """
        future = leads.future(p)
        self.features = features
        self.is_category = [not is_number(leads.X[name]) for name in features]
        self.encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_LEVELS, min_frequency=10
        )
        rows = self._encode(leads.X, fit=True)
        open_leads = np.flatnonzero(~leads.target & (future > 0))
        self.trees = HistGradientBoostingClassifier(
            learning_rate=0.06,
            max_iter=150,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=5.0,
            early_stopping=False,
            categorical_features=self.is_category,
            random_state=self.random_state,
        ).fit(
            np.vstack([rows, rows[open_leads]]),
            np.concatenate([leads.target, np.ones(len(open_leads), bool)]),
            sample_weight=np.concatenate(
                [leads.weight * np.where(leads.target, 1.0, 1 - future), (leads.weight * future)[open_leads]]
            ),
        )
        return self

    def log_odds(self, X: pd.DataFrame) -> Floats:
        """(n,) log odds."""
        return np.asarray(self.trees.decision_function(self._encode(X)))

    def _encode(self, X: pd.DataFrame, fit: bool = False) -> Floats:
        encoded = np.empty((len(X), len(self.features)))
        text = [name for name, category in zip(self.features, self.is_category, strict=True) if category]
        if text:
            levels = np.column_stack([categories(X[name]).to_numpy(dtype=object) for name in text])
            encoded[:, self.is_category] = self.encoder.fit_transform(levels) if fit else self.encoder.transform(levels)
        for position, name in enumerate(self.features):
            if not self.is_category[position]:
                encoded[:, position] = numbers(X[name])
        return encoded


def worth_boosting(leads: Leads, design: FeatureDesign, columns: Floats, p: Floats, random_state: int) -> bool:
    """Whether trees have a lower cross-validated log loss than the linear model; never below 1,000 targets.

    Args:
        leads: (n,) leads, ordered by age.
        design: fitted.
        columns: (n, m) of the design.
        p: (n,) probabilities of the linear model, for the open leads.
    """
    if leads.target.sum() < MIN_TARGETS or not design.used_:
        return False
    rows, weight = sample_rows(leads.target, CROSS_VALIDATION_ROWS)
    leads, columns, p = leads.take(rows), columns[rows], p[rows]
    leads.weight = leads.weight * weight
    fold = np.arange(len(rows)) % FOLDS
    gain = 0.0
    for held_out in range(FOLDS):
        train, test = np.flatnonzero(fold != held_out), leads.take(np.flatnonzero(fold == held_out))
        seen = leads.take(train)
        linear = CensoredLogit().fit(columns[train], seen, np.zeros(len(train)), design.blocks_)
        trees = BoostedRate(random_state).fit(seen, design.used_, p[train])
        gain += _loss(test, linear.log_odds(columns[fold == held_out])) - _loss(test, trees.log_odds(test.X))
    return bool(gain > 0)


def _loss(leads: Leads, log_odds: Floats) -> float:
    """Sum of the loss of delayed feedback: -log p of a target, -log(1 - pF) of an open lead."""
    p = np.clip(expit(log_odds), 1e-9, 1 - 1e-9)
    return float(leads.weight @ -np.where(leads.target, np.log(p), np.log1p(-p * leads.share)))
