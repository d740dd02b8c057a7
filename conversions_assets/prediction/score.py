"""One run of `predicted/<name>`: the days' leads, scored by the newest model (R25-R29)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from conversions_assets.contract.conversion import Conversion, Days, PredictedValue
from conversions_assets.contract.materialise import create_tables as create_conversion_tables
from conversions_assets.contract.materialise import refuse_other_zone, refuse_uncomputed
from conversions_assets.contract.stage import Run
from conversions_assets.prediction.columns import SCORES
from conversions_assets.prediction.eligibility import Eligibility, judge
from conversions_assets.prediction.features import only_features, read_features
from conversions_assets.prediction.models import NO_MODEL, StoredModel, newest_model
from conversions_assets.prediction.tables import MICROS_PER_DAY, Tables, create_tables, cut_off, link, reading
from conversions_assets.prediction.training import AGE
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.dialect import parse_expression
from conversions_assets.warehouse.script import bind

if TYPE_CHECKING:
    from conversions_assets.prediction.model import PredictedValueModel

FRESH = ("id", "day", "probability", "expected_target_value", "value_source", "model_version")
"""The columns of `fresh`."""
HERE = Path(__file__).parent
DECIMALS = 10
"""What is left of the noise of floats, which depends on how many leads are scored at once."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """What a run of `predicted/<name>` did.

    Attributes:
        model: the newest model; None where there is none for the present settings.
        problem: why new leads got no value; None if they did.
        per_day: `leads`, `predicted`, `fallback`, `without_value`, `without_user_id`, `expected_targets`,
            `predicted_value` (project's currency).
        until: until when targets are known.
    """

    days: Days
    model: StoredModel | None
    eligibility: Eligibility
    problem: str | None
    per_day: Sequence[Mapping[str, Any]]
    until: datetime | None


def predict_days(
    warehouse: Warehouse, conversion: Conversion, days: Days, run: Run, progress: Progress = lambda _: None
) -> Scored:
    """Score the leads of the days, and fill in what mature leads of all days have brought.

    Raises:
        NotComputedError: `conversions/<name>` never covered one of the days.
        ConfigurationError: the project's time zone changed after the first publication.
    """
    predicted = conversion.predicted
    assert predicted is not None
    create_conversion_tables(warehouse, conversion)
    create_tables(warehouse, conversion)
    refuse_other_zone(warehouse, conversion)
    refuse_uncomputed(warehouse, f"conversions/{conversion.name}", conversion.covered, days)
    eligibility = judge(warehouse, conversion, predicted, run)
    model = newest_model(warehouse, conversion)
    estimator, problem = _estimator(conversion, model, eligibility)
    until = cut_off(warehouse, conversion, predicted, run)
    tables = _leave_leads(warehouse, conversion, predicted, days, until)
    if estimator is not None and model is not None:
        leads = _leave_scores(warehouse, model, estimator)
        progress(f"scored {leads:,} leads of {days} with model {model.version}")
    else:
        tables["fresh"] = _kept(conversion)
        progress(f"scores stay as they are: {problem}")
    params = _params(conversion, predicted, days, run, model, until)
    warehouse.execute(bind(HERE / "scores.sql", tables, params))
    params |= _changed(warehouse, days)
    with warehouse.transaction():
        warehouse.execute(bind(HERE / "write_scores.sql", tables, params))
    [summing] = bind(HERE / "score_days.sql", tables, params)
    return Scored(days, model, eligibility, problem, warehouse.query(summing), until)


def _estimator(
    conversion: Conversion, model: StoredModel | None, eligibility: Eligibility
) -> "tuple[PredictedValueModel | None, str | None]":
    """The estimator to score with, or why there is none."""
    if not eligibility.holds:
        return None, eligibility.sentence
    refit = f"run models/{conversion.name} (the schedule `refit` does it daily), then these days again"
    if model is None:
        return None, f"there is no model for these settings yet: {refit}"
    from conversions_assets.prediction.storage import OtherVersion

    try:
        return model.load(), None
    except OtherVersion:
        return None, f"model {model.version} was fitted by another version of the libraries: {refit}"


def _leave_leads(
    warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue, days: Days, until: datetime | None
) -> Tables:
    """Leave `leads` and `first_seen` of the run's days and `linked` of all leads in the session."""
    tables = reading(warehouse, conversion, predicted)
    tables |= {"scores": conversion.scores, "scored_days": conversion.scored_days, "covered": conversion.covered}
    tables["all_leads"] = tables["leads"]
    if until is None:
        tables["linked"] = _NOTHING_LINKED
    else:
        link(warehouse, conversion, predicted, tables, until)
    del tables["leads"]
    range_of_days = {"first_day": days.first, "last_day": days.last}
    for script in ("leads.sql", "first_seen.sql"):
        warehouse.execute(bind(HERE / script, tables, range_of_days))
    return tables


def _leave_scores(warehouse: Warehouse, model: StoredModel, estimator: "PredictedValueModel") -> int:
    """Leave `fresh` in the session: a score for each lead of the days that has a user_id."""
    import numpy as np

    query = exp.select("s.id", "s.day", AGE.copy()).from_("first_seen AS s")
    query = query.where(parse_expression("s.user_id IS NOT NULL"))
    frame = read_features(warehouse, query, model.features, {"cut_off": model.cut_off})
    X, age = only_features(frame, model.features), frame["age_days"].to_numpy(dtype=np.float64)
    fresh = frame[["id", "day"]].copy()
    fresh["probability"] = np.round(estimator.predict_proba(X, age)[:, 1], DECIMALS) if len(X) else 0.0
    fresh["expected_target_value"] = np.round(estimator.predict_target_value(X), DECIMALS) if len(X) else 0.0
    fresh["value_source"] = "FALLBACK" if model.level == "fallback" else "PREDICTED"
    fresh["model_version"] = model.version
    warehouse.load("fresh", fresh, {name: SCORES[name] for name in FRESH})
    return len(fresh)


def _changed(warehouse: Warehouse, days: Days) -> dict[str, date]:
    """The days between which lies what `scores_now` changes: the run's own, and of leads that have matured."""
    first, last = (exp.func(name, exp.column("day")).as_(name.lower()) for name in ("MIN", "MAX"))
    changed = exp.select(first, last).from_("scores_now").where(parse_expression("NOT is_same"))
    [found] = warehouse.query(Statement(changed))
    first_day, last_day = found["min"] or days.first, found["max"] or days.last
    return {"first_changed": min(first_day, days.first), "last_changed": max(last_day, days.last)}


def _kept(conversion: Conversion) -> exp.Query:
    """R25: the scores that are there stay; whoever has none gets none."""
    return exp.select(*FRESH).from_(conversion.scores.expression).where(parse_expression("value_source <> 'NONE'"))


def _params(
    conversion: Conversion,
    predicted: PredictedValue,
    days: Days,
    run: Run,
    model: StoredModel | None,
    until: datetime | None,
) -> dict[str, Any]:
    return {
        "first_day": days.first,
        "last_day": days.last,
        "window_micros": predicted.window_days * MICROS_PER_DAY,
        # 1970: without a target no lead is mature
        "cut_off_micros": 0 if until is None else round(until.timestamp() * 1_000_000),
        "latest_wins": conversion.dedup == "latest",
        "newest_model": model.version if model else NO_MODEL,
        "run_id": run.id,
        "now": run.now,
    }


_NOTHING_LINKED: exp.Query = exp.select(
    exp.cast(exp.null(), "TEXT").as_("id"),
    exp.cast(exp.null(), "BIGINT").as_("target_conversions"),
    exp.cast(exp.null(), "DOUBLE").as_("target_value"),
).where(exp.false())
