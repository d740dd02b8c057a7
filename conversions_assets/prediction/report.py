"""What is told of a model, as it is stored with it: sums, the delay curve, params and the back-test; no row, no id."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conversions_assets.prediction.training import Summary, Training

if TYPE_CHECKING:
    from conversions_assets.prediction.model import PredictedValueModel

LEVELS = {
    "fallback": "Too few targets to tell leads apart: each gets the base rate times the mean value (FALLBACK)",
    "low_confidence": "Low confidence: params tell the probability, and every target counts as worth the mean value",
    "full": "Enough targets: params tell the probability and the value",
}
MOST_DRIFT = 0.2
POINTS = 41


def make_report(estimator: "PredictedValueModel", training: Training, summary: Summary) -> dict[str, Any]:
    """A dictionary of plain values, which JSON can hold."""
    left_out = training.left_out | {str(name): why for name, why in estimator.features_left_out_.items()}
    leaks = {name: why for name, why in left_out.items() if why.startswith("leak")}
    return {
        "leads": len(training.X),
        "targets": estimator.n_targets_,
        "base_rate": float(estimator.base_rate_),
        "level_sentence": f"{LEVELS[estimator.level_]} ({estimator.n_targets_:,} targets)",
        "drift": _drift(estimator),
        "delay_curve": _delay_curve(estimator),
        "features_used": [str(name) for name in estimator.features_used_],
        "features_left_out": [{"param": name, "why": why} for name, why in sorted(left_out.items())],
        "leaks": [{"param": name, "why": why} for name, why in sorted(leaks.items())],
        "features_as_of": summary.sentence,
        "verdict": {"fit": "no", "line": "fit for bidding: no, because nothing was back-tested yet"},
        "backtest": {},
    }


def _drift(estimator: "PredictedValueModel") -> Mapping[str, Any]:
    factor = float(estimator.drift_factor_)
    badge = abs(factor - 1) > MOST_DRIFT
    found = (
        f"Young leads have brought {estimator.observed_:,.0f} targets where {estimator.expected_:,.0f} were expected; "
        f"scores are multiplied by about {factor:.2f}"
    )
    return {
        "factor": factor,
        "observed": float(estimator.observed_),
        "expected": float(estimator.expected_),
        "badge": badge,
        "sentence": f"{found}. Something has changed: look at it before budgets follow" if badge else found,
    }


def _delay_curve(estimator: "PredictedValueModel") -> list[dict[str, float]]:
    import numpy as np

    ages, share = (np.asarray(part, dtype=float) for part in estimator.delay_curve_)
    if not len(ages):
        return []
    shown = np.linspace(0, estimator.window_days, POINTS)
    return [
        {"age_days": float(age), "share": float(at)}
        for age, at in zip(shown, np.interp(shown, ages, share), strict=True)
    ]
