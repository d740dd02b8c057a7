"""What is told of a model, as it is stored with it: sums, the delay curve, params and the back-test; no row, no id."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from conversions_assets.prediction.training import Summary, Training

if TYPE_CHECKING:
    from conversions_assets.prediction.backtest import BackTest
    from conversions_assets.prediction.model import PredictedValueModel

LEVELS = {
    "fallback": "Too few targets to tell leads apart: each gets the base rate times the mean value (FALLBACK)",
    "low_confidence": "Low confidence: params tell the probability, and every target counts as worth the mean value",
    "full": "Enough targets: params tell the probability and the value",
}
WORTHLESS = "fit for bidding: no, because the targets have no values, or values that add up to nothing"
POINTS = 41
FEWEST_LEADS = 10
"""A level of a param with fewer leads is not shown by name: it could tell a person."""
MOST_TESTED = 200_000
DAY_ZERO = date(1970, 1, 1)


def make_report(estimator: "PredictedValueModel", training: Training, summary: Summary, now: float) -> dict[str, Any]:
    """A dictionary of plain values, which JSON can hold.

    Args:
        now: the cut-off in days since 1970.
    """
    import numpy as np

    from conversions_assets.prediction.backtest import back_test
    from conversions_assets.prediction.verdict import judge_model

    # A part of very many leads tells as much, and a back-test fits a dozen models.
    step = -(-len(training.X) // MOST_TESTED)
    part = slice(None, None, max(step, 1))
    tested = back_test(
        training.X[list(estimator.features_used_)].iloc[part],  # a leak would tell most, and its levels be shown
        training.created[part],
        training.delay[part],
        training.value[part],
        now,
        estimator.window_days,
    )
    verdict = judge_model(estimator, tested)
    worthless = not np.nansum(np.where(np.isfinite(training.delay), training.value, 0.0)) > 0
    left_out = training.left_out | {str(name): why for name, why in estimator.features_left_out_.items()}
    leaks = {name: why for name, why in left_out.items() if why.startswith("leak")}
    return {
        "leads": len(training.X),
        "targets": estimator.n_targets_,
        "base_rate": float(estimator.base_rate_),
        "level_sentence": f"{LEVELS[estimator.level_]} ({estimator.n_targets_:,} targets)",
        "drift": _drift(estimator, verdict.drift_badge),
        "delay_curve": _delay_curve(estimator),
        "features_used": [str(name) for name in estimator.features_used_],
        "features_left_out": [{"param": name, "why": why} for name, why in sorted(left_out.items())],
        "leaks": [{"param": name, "why": why} for name, why in sorted(leaks.items())],
        "features_as_of": summary.sentence,
        "verdict": {"fit": "no", "line": WORTHLESS} if worthless else {"fit": verdict.fit, "line": verdict.line},
        "backtest": _back_test(tested, step),
    }


def _back_test(tested: "BackTest", step: int) -> dict[str, Any]:
    """The back-test by week, by the levels of a param, and by decile; {} where there is too little history."""
    if not tested.total:
        return {}
    groups = [row for row in tested.by_group if row["leads"] >= FEWEST_LEADS]
    return {
        "group_feature": tested.group_feature,
        "weeks": [_row(str(DAY_ZERO + timedelta(days=round(row["from_day"]))), row) for row in tested.by_week],
        "groups": [_row(row["group"], row) for row in groups],
        "deciles": [_row(str(row["decile"]), row) for row in tested.by_decile],
        "figures": {
            **({"part of the leads that was tested": f"1 of {step}"} if step > 1 else {}),
            "leads scored": tested.total["leads"],
            "targets predicted": tested.total["predicted_targets"],
            "targets that came": tested.total["actual_targets"],
            "value predicted": tested.total["predicted_value"],
            "value that came": tested.total["actual_value"],
            "normalised gini (1: perfect order, 0: chance)": tested.gini,
            "lift of the best tenth": tested.lift,
            "log loss": tested.log_loss,
            "log loss of one rate for all": tested.constant_log_loss,
            "weeks whose value lies in its 90 % interval": tested.coverage,
        },
    }


def _row(label: str, row: Mapping[str, Any]) -> dict[str, Any]:
    from conversions_assets.prediction.backtest import poisson_interval

    low, high = poisson_interval(row["actual_targets"])
    return {
        "label": label,
        "leads": row["leads"],
        "predicted": row["predicted_targets"],
        "actual": row["actual_targets"],
        "low": low,
        "high": high,
        "predicted_value": row["predicted_value"],
        "actual_value": row["actual_value"],
    }


def _drift(estimator: "PredictedValueModel", badge: str | None) -> Mapping[str, Any]:
    factor = float(estimator.drift_factor_)
    found = (
        f"Young leads have brought {estimator.observed_:,.0f} targets where {estimator.expected_:,.0f} were expected: "
        f"drift factor {factor:.2f}"
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
