"""scikit-learn's own checks of an estimator, over the model of the predicted value.

They call `fit(X, y)`, so an adapter makes leads of y: all are mature, the larger half of y are the values of targets.
Those of regressors do not apply: the model has no y to score against. All others hold.
"""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from conversions_assets.prediction.model import PredictedValueModel
from conversions_assets_tests.prediction.simulation import simulate


class Adapter(PredictedValueModel):
    """The model as the checks call it."""

    def fit(self, X: Any, y: Any) -> "Adapter":  # type: ignore[override]
        """Leads of y."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        value = np.abs(np.ravel(np.asarray(y, dtype=float)))
        super().fit(X, np.full(len(value), 100.0), np.where(value >= np.median(value), 1.0, np.inf), value)
        return self


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([Adapter()])
def test_scikit_learn_conventions(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def test_it_is_cloned_with_its_settings_and_without_its_fit() -> None:
    leads = simulate(300)
    model = PredictedValueModel(30.0, random_state=3).fit(**leads.known)
    copy = clone(model)
    assert copy.get_params() == {"window_days": 30.0, "max_rows": 100_000, "random_state": 3}
    with pytest.raises(NotFittedError):
        copy.predict(leads.X)


def test_inputs_stay_as_they_are_and_names_are_kept() -> None:
    leads = simulate(300)
    known = leads.known
    before = {name: part.copy() for name, part in known.items()}
    model = PredictedValueModel().fit(**known)
    model.predict(known["X"])
    assert all(
        before[name].equals(known[name]) if name == "X" else (before[name] == known[name]).all() for name in known
    )
    assert list(model.feature_names_in_) == ["source", "size"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(known["X"][["size", "source"]])
