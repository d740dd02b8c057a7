"""The back-test: what the model would have said at earlier cut-offs, beside what came."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from conversions_assets.prediction.design import rate_evidence
from conversions_assets.prediction.levels import MISSING, Floats, Levels, is_number
from conversions_assets.prediction.model import NoTargets, PredictedValueModel

CONFIDENCE = 0.9
EVERY_DAYS = (7.0, 14.0)
MAX_CUT_OFFS = 12
MAX_ROWS = 20_000
MAX_GROUPS = 15
OTHERS = "(others)"

Row = dict[str, Any]


@dataclass(frozen=True)
class BackTest:
    """Predicted and realised, for leads that were scored by a model that knew only what was known before them.

    Rows of the tables hold `leads`, `predicted_targets`, `actual_targets`, `predicted_value`, `actual_value` (in the
    values' unit), `ratio` (predicted / actual targets) with its 90 % Poisson interval `ratio_low`, `ratio_high` (None:
    without end), and what names the row.

    Attributes:
        cut_offs: per model: `cut_off` (days, as `created`), `leads` and `targets` known to it, `level`, `drift_factor`.
        total: one row over all leads.
        by_week: per cut-off `from_day`, `to_day` of created, and the model's 90 % interval `value_low`, `value_high`.
        by_group: `group`: a level of the feature `group_feature`.
        by_decile: `decile` of the predicted value, 1 the highest.
        group_feature: None where there is no category.
        gini: normalised gini of the predicted value against the realised one: 1 perfect, 0 chance.
        lift: share of the realised value in the tenth of leads with the highest predicted value, over a tenth.
        log_loss, constant_log_loss: of the probability, and of each model's base rate for every lead.
        coverage: share of weeks whose realised value lies in the interval.
    """

    cut_offs: list[Row] = field(default_factory=list)
    total: Row = field(default_factory=dict)
    by_week: list[Row] = field(default_factory=list)
    by_group: list[Row] = field(default_factory=list)
    by_decile: list[Row] = field(default_factory=list)
    group_feature: str | None = None
    gini: float | None = None
    lift: float | None = None
    log_loss: float | None = None
    constant_log_loss: float | None = None
    coverage: float | None = None


@dataclass
class _Scored:
    """Leads with what was predicted of them and what came."""

    p: Floats
    value: Floats
    base_rate: Floats
    target: Floats
    realised: Floats

    def row(self, chosen: NDArray[np.bool_] | slice, **names: Any) -> Row:
        """One row of a table."""
        predicted, actual = float(self.p[chosen].sum()), int(self.target[chosen].sum())
        low, high = poisson_interval(actual)
        return {
            **names,
            "leads": len(self.p[chosen]),
            "predicted_targets": predicted,
            "actual_targets": actual,
            "predicted_value": float(self.value[chosen].sum()),
            "actual_value": float(self.realised[chosen].sum()),
            "ratio": predicted / actual if actual else None,
            "ratio_low": predicted / high,
            "ratio_high": predicted / low if low else None,
        }


def back_test(
    X: pd.DataFrame,
    created: Any,
    delay: Any,
    value: Any,
    cut_off: float,
    window_days: float = 40.0,
    group: str | None = None,
    random_state: int = 0,
) -> BackTest:
    """Go back to earlier cut-offs, fit on what was known then, score the leads that came next, and compare.

    The cut-offs lie a week apart, or two where that leaves more than twelve; the last one is older than a window, so
    that all that was scored is mature. A model sees the leads created before its cut-off and the targets that had come
    by then, and scores the leads from its cut-off to the next.

    Args:
        X: (n, features).
        created: (n,) days on any clock.
        delay: (n,) days from the lead to its target as known now; inf: none.
        value: (n,) value of the targets; NaN: without value, counts as 0.
        cut_off: now, on the clock of `created`.
        window_days: as in `PredictedValueModel`.
        group: the feature to compare sums by; None: the category whose rates differ most clearly.

    Returns:
        An empty back-test where there is too little history.
    """
    created, delay, value = (np.asarray(part, dtype=float) for part in (created, delay, value))
    leads = _Leads(X.reset_index(drop=True), created, delay, value, float(window_days))
    step, starts = _cut_offs(created, cut_off, leads.window)
    tested = [found for start in starts if (found := _test_at(leads, start, step, random_state)) is not None]
    if not tested:
        return BackTest()
    arrays = zip(*(vars(one.scored).values() for one in tested), strict=True)
    everything = _Scored(*(np.concatenate(parts) for parts in arrays))
    X = leads.X.iloc[np.concatenate([one.rows for one in tested])].reset_index(drop=True)
    return _summed_up(X, everything, [one.cut_off for one in tested], [one.week for one in tested], group)


@dataclass
class _Leads:
    X: pd.DataFrame
    created: Floats
    delay: Floats
    value: Floats
    window: float


@dataclass
class _Tested:
    """One cut-off: the rows that were scored, and what is told of it."""

    rows: NDArray[np.int_]
    scored: _Scored
    cut_off: Row
    week: Row


def _test_at(leads: _Leads, start: float, step: float, random_state: int) -> _Tested | None:
    """None where nothing was known by then, or nothing came."""
    rows = np.flatnonzero((leads.created >= start) & (leads.created < start + step))
    known = np.flatnonzero(leads.created < start)
    if not len(rows) or not len(known):
        return None
    age, delay = start - leads.created[known], leads.delay[known]
    model = PredictedValueModel(leads.window, max_rows=MAX_ROWS, random_state=random_state)
    try:
        model.fit(leads.X.iloc[known], age, np.where(delay <= age, delay, np.inf), leads.value[known])
    except NoTargets:
        return None
    newest, after = leads.X.iloc[rows], start - leads.created[rows]
    target = leads.delay[rows] <= leads.window
    scored = _Scored(
        p=model.predict_proba(newest, after)[:, 1],
        value=model.predict(newest, after),
        base_rate=np.full(len(rows), model.base_rate_),
        target=target.astype(float),
        realised=np.where(target, np.nan_to_num(leads.value[rows], nan=0.0), 0.0),
    )
    _, low, high = model.predict_sum(newest, after, CONFIDENCE)
    told = {"leads": len(known), "targets": model.n_targets_, "level": model.level_}
    return _Tested(
        rows,
        scored,
        {"cut_off": start, **told, "drift_factor": model.drift_factor_},
        scored.row(slice(None), from_day=start, to_day=start + step, value_low=low, value_high=high),
    )


def _cut_offs(created: Floats, now: float, window: float) -> tuple[float, list[float]]:
    """Days between cut-offs, and the cut-offs: after a window of history, before the last window."""
    if not len(created):
        return EVERY_DAYS[0], []
    room = now - window - (float(created.min()) + window)
    step = EVERY_DAYS[0] if room < MAX_CUT_OFFS * EVERY_DAYS[0] else EVERY_DAYS[1]
    count = min(MAX_CUT_OFFS, int(room // step))
    return step, [now - window - step * back for back in range(count, 0, -1)]


def _summed_up(X: pd.DataFrame, scored: _Scored, cut_offs: list[Row], weeks: list[Row], group: str | None) -> BackTest:
    group = group if group is not None else _telling_category(X, scored.target.astype(bool))
    inside = [row["value_low"] <= row["actual_value"] <= row["value_high"] for row in weeks]
    perfect = _gini(scored.realised, scored.realised)
    order = np.argsort(-scored.value, kind="stable")
    decile = np.empty(len(order), int)
    decile[order] = np.arange(len(order)) * 10 // len(order) + 1
    top = scored.realised[decile == 1].sum()
    total = scored.realised.sum()
    return BackTest(
        cut_offs=cut_offs,
        total=scored.row(slice(None)),
        by_week=weeks,
        by_group=_by_group(X[group], scored) if group is not None else [],
        by_decile=[scored.row(decile == tenth, decile=tenth) for tenth in range(1, 11) if (decile == tenth).any()],
        group_feature=group,
        gini=_gini(scored.realised, scored.value) / perfect if perfect else None,
        lift=float(top / total / np.mean(decile == 1)) if total else None,
        log_loss=_log_loss(scored.target, scored.p),
        constant_log_loss=_log_loss(scored.target, scored.base_rate),
        coverage=float(np.mean(inside)),
    )


def _telling_category(X: pd.DataFrame, target: NDArray[np.bool_]) -> str | None:
    names = [
        name for name in X.columns if not is_number(X[name]) and 1 < X[name].nunique(dropna=False) <= 10 * MAX_GROUPS
    ]
    return max(names, key=lambda name: rate_evidence(X[name], target), default=None)


def _by_group(column: pd.Series, scored: _Scored) -> list[Row]:
    level = Levels.of(column)(column)
    largest = (
        level.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable").index[:MAX_GROUPS]
    )
    shown = level.where(level.isin(largest), OTHERS).replace({MISSING: "(missing)"})
    rows = [scored.row((shown == name).to_numpy(), group=str(name)) for name in shown.unique()]
    return sorted(rows, key=lambda row: (-row["leads"], row["group"]))


def poisson_interval(count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact interval of the mean of a Poisson count (Garwood, Biometrika 1936)."""
    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count) / 2) if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2) / 2)


def _gini(actual: Floats, score: Floats) -> float:
    """Area between the share of the actual sum that the best-scored leads bring and the diagonal."""
    if not actual.sum():
        return 0.0
    gained = np.cumsum(actual[np.argsort(-score, kind="stable")]) / actual.sum()
    return float((gained - np.arange(1, len(actual) + 1) / len(actual)).mean())


def _log_loss(target: Floats, p: Floats) -> float:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return float(-np.mean(np.where(target > 0, np.log(p), np.log1p(-p))))
