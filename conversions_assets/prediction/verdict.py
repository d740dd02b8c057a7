"""One line for a marketer: whether budgets can follow the predicted values, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conversions_assets.prediction.backtest import CONFIDENCE, BackTest, Row, poisson_interval
from conversions_assets.prediction.model import PredictedValueModel

Fit = Literal["yes", "with care", "no"]

DRIFT = 0.2
# Realised targets from which a back-test says something.
TESTED_TARGETS = 20
# Predicted / actual: off by so much, and not by chance, is worth a word; by so much, a no.
OFF, FAR_OFF = 1.25, 2.0
# Share of back-tests in which chance alone may blame a group.
GROUP_ERROR = 0.05
FEW_WEEKS, LOW_COVERAGE = 6, 0.6


@dataclass(frozen=True)
class Verdict:
    """Fit for bidding or not.

    Attributes:
        fit: 'yes', 'with care' or 'no'.
        reasons: why not, the most serious first; empty for 'yes'.
        drift_badge: shown where the drift factor is more than 0.2 away from 1; None: no badge.
    """

    fit: Fit
    reasons: Sequence[str]
    drift_badge: str | None

    @property
    def line(self) -> str:
        """The line that is shown."""
        if not self.reasons:
            return "fit for bidding: yes"
        return f"fit for bidding: {self.fit}, because {'; and '.join(self.reasons)}"


def judge_model(model: PredictedValueModel, test: BackTest) -> Verdict:
    """Weigh the number of targets, the back-test and the drift.

    Args:
        model: fitted.
        test: its back-test; an empty one counts as not tested.
    """
    badge = drift_badge(model.drift_factor_, model.observed_, model.expected_)
    refused = [*_too_few(model), *_wrong(test)]
    careful = [*_low_confidence(model), *_untested(test), *_doubts(test)]
    if badge:
        careful.append(f"the rate of targets has changed lately ({badge}), and scores follow a change only slowly")
    return Verdict("no" if refused else "with care" if careful else "yes", [*refused, *careful], badge)


def drift_badge(factor: float, observed: float, expected: float) -> str | None:
    """What a badge says where the drift factor is more than 0.2 away from 1; None: no badge."""
    if abs(factor - 1) <= DRIFT:
        return None
    way = "more" if factor > 1 else "fewer"
    return f"{way} targets than usual: {observed:,.0f} of young leads are known, {expected:,.0f} were expected"


def _too_few(model: PredictedValueModel) -> list[str]:
    if model.level_ != "fallback":
        return []
    return [f"there are only {model.n_targets_} targets, so every lead gets the same value"]


def _low_confidence(model: PredictedValueModel) -> list[str]:
    if model.level_ != "low_confidence":
        return []
    return [f"there are only {model.n_targets_} targets, so sums are rough and every target counts as worth the same"]


def _untested(test: BackTest) -> list[str]:
    if not test.total:
        return ["there is too little history to test the scores on earlier leads"]
    if (actual := test.total["actual_targets"]) < TESTED_TARGETS:
        return [f"the scores were tested on leads that brought only {actual} targets"]
    return []


def _wrong(test: BackTest) -> list[str]:
    if not test.total or not _off(test.total, FAR_OFF):
        return []
    return [f"in the back-test the scores promised {_said(test.total)}"]


def _doubts(test: BackTest) -> list[str]:
    if not test.total:
        return []
    doubts = []
    if _off(test.total, OFF) and not _off(test.total, FAR_OFF):
        doubts.append(f"in the back-test the scores promised {_said(test.total)}")
    # Of many groups some are off by chance: each has to be off more clearly.
    wrong = [row for row in test.by_group if _off(row, OFF, 1 - GROUP_ERROR / len(test.by_group))]
    if wrong:
        worst = max(wrong, key=lambda row: abs(row["predicted_targets"] - row["actual_targets"]))
        doubts.append(f"for {test.group_feature} = {worst['group']} they promised {_said(worst)}")
    if test.log_loss is not None and test.constant_log_loss is not None and test.log_loss >= test.constant_log_loss:
        doubts.append("the scores tell leads apart no better than one value for all would")
    if len(test.by_week) >= FEW_WEEKS and test.coverage is not None and test.coverage < LOW_COVERAGE:
        doubts.append(f"only {test.coverage:.0%} of the weeks brought a value within what was promised for 90 %")
    return doubts


def _off(row: Row, factor: float, confidence: float = CONFIDENCE) -> bool:
    """Whether predicted / actual is off by more than the factor, and by more than chance explains."""
    predicted, actual = row["predicted_targets"], row["actual_targets"]
    low, high = poisson_interval(actual, confidence)
    return not low <= predicted <= high and not 1 / factor <= predicted / max(actual, 0.5) <= factor


def _said(row: Row) -> str:
    return f"{row['predicted_targets']:,.0f} targets where {row['actual_targets']:,} came"
