"""One run of `models/<name>`: fit on what is known at the cut-off, and store the model with its report (R28)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversions_assets.contract.conversion import Conversion, PredictedValue
from conversions_assets.contract.materialise import create_tables as create_conversion_tables
from conversions_assets.contract.materialise import refuse_other_zone
from conversions_assets.contract.stage import Run
from conversions_assets.prediction.eligibility import Eligibility, judge
from conversions_assets.prediction.models import StoredModel, newest_model, store
from conversions_assets.prediction.report import make_report
from conversions_assets.prediction.tables import create_tables, cut_off
from conversions_assets.prediction.training import (
    Summary,
    Training,
    fit_fingerprint,
    read_training,
    settings_hash,
    summarise,
)
from conversions_assets.warehouse.base import Warehouse

if TYPE_CHECKING:
    from conversions_assets.prediction.model import PredictedValueModel

HERE = Path(__file__).parent
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """What a run of `models/<name>` did.

    Attributes:
        model: the newest model; None where none could ever be fitted.
        is_new: whether this run has added it.
        problem: why no model was fitted; None if one was, or if nothing changed since the newest one.
        summary: what the leads held; None where the target was never published.
    """

    eligibility: Eligibility
    model: StoredModel | None
    is_new: bool
    problem: str | None
    summary: Summary | None

    @property
    def sentence(self) -> str:
        """What the run did."""
        if self.problem is not None:
            return f"no new model: {self.problem}"
        assert self.model is not None
        if not self.is_new:
            return f"model {self.model.version} stands: nothing has changed since it was fitted"
        return f"fitted model {self.model.version} on {self.model.report['targets']:,} targets"


def fit_model(warehouse: Warehouse, conversion: Conversion, run: Run, progress: Progress = lambda _: None) -> Fitted:
    """Fit a model unless the newest one was fitted on the same data, for the same day and settings.

    Raises:
        ConfigurationError: the project's time zone changed after the first publication.
    """
    predicted = conversion.predicted
    assert predicted is not None
    create_conversion_tables(warehouse, conversion)
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    eligibility, newest = judge(warehouse, conversion, predicted, run), newest_model(warehouse, conversion)
    until = cut_off(warehouse, conversion, predicted, run)
    if until is None or not eligibility.holds:
        return Fitted(eligibility, newest, False, eligibility.sentence, None)
    summary = summarise(warehouse, conversion, predicted, until)
    settings = settings_hash(predicted, conversion.project.currency)
    fingerprint = fit_fingerprint(summary, settings, until)
    if newest is not None and newest.fingerprint == fingerprint:
        return Fitted(eligibility, newest, False, None, summary)
    training = read_training(warehouse, predicted, until)
    progress(f"fitting on {len(training.X):,} leads, {len(training.features)} features")
    fitted = _fit(training, summary, predicted, conversion, until)
    if isinstance(fitted, str):
        return Fitted(eligibility, newest, False, fitted, summary)
    estimator, report = fitted
    model = _stored(estimator, report, training, conversion, run, until, fingerprint)
    return Fitted(eligibility, store(warehouse, conversion, model, run.id), True, None, summary)


def _fit(
    training: Training, summary: Summary, predicted: PredictedValue, conversion: Conversion, until: datetime
) -> "tuple[PredictedValueModel, Mapping[str, Any]] | str":
    """The estimator and its report, or why there is none."""
    from conversions_assets.prediction.model import NoTargets, PredictedValueModel

    try:
        estimator = PredictedValueModel(window_days=float(predicted.window_days)).fit(
            training.X, training.age, training.delay, training.value
        )
    except NoTargets:
        return (
            f"no lead has a {predicted.target} within {predicted.window_days} days of it, as far as is known on "
            f"{conversion.project.local_date(until)}: there is nothing to learn from"
        )
    return estimator, make_report(estimator, training, summary, until.timestamp() / 86_400)


def _stored(
    estimator: "PredictedValueModel",
    report: Mapping[str, Any],
    training: Training,
    conversion: Conversion,
    run: Run,
    until: datetime,
    fingerprint: str,
) -> StoredModel:
    from conversions_assets.prediction.storage import to_bytes

    return StoredModel(
        version=f"{conversion.project.local_date(until)}-{fingerprint[:8]}",
        fitted_at=run.now,
        cut_off=until,
        fingerprint=fingerprint,
        level=estimator.level_,
        features=training.features,
        report=report,
        model=to_bytes(estimator),
    )
