"""Great Expectations over the profile: one row per day in, one outcome per rule family out.

The suite never sees rows of a conversion, only the aggregates of profile.sql, so its cost does not grow with them.
"""

import importlib.util
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from typing import TYPE_CHECKING, Any

from conversions_assets.contract.families import RULES, Rule
from conversions_assets.project import Thresholds

if TYPE_CHECKING:
    import great_expectations as gx

Profile = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What a rule family says of a run.

    Attributes:
        threshold: what project.yaml says for the rule.
        failing_days: the days that break it, oldest first.
        observed: what each of them has too much of, summed over the rule's columns.
        names: what is at fault, where the rule tells it by name.
    """

    rule: Rule
    threshold: float
    failing_days: tuple[date, ...] = ()
    observed: Mapping[date, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failing_days

    @property
    def sentence(self) -> str:
        return "" if self.passed else self.rule.sentence.format(threshold=self.threshold, names=", ".join(self.names))


@dataclass(frozen=True)
class Validation:
    """A run's outcomes, and what Great Expectations says (None where no day was checked)."""

    outcomes: tuple[Outcome, ...]
    result: Any = None


class _Library:
    """Great Expectations takes seconds to import: a thread does it while the warehouse works."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def preload(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._import, name="import great_expectations", daemon=True)
            self._thread.start()

    def get(self) -> "gx":  # type: ignore[valid-type]
        self.preload()
        assert self._thread is not None
        self._thread.join()
        import great_expectations

        return great_expectations

    @staticmethod
    def _import() -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        _import_on_first_use("scipy.stats")
        import great_expectations  # noqa: F401


def _import_on_first_use(name: str) -> None:
    """Great Expectations imports scipy.stats for distributions that the suite never asks."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # `from scipy import stats` finds it here; the import system would ask the module itself, which loads it.
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    spec.loader.exec_module(module)


_library = _Library()
preload = _library.preload


def validate(profile: Profile, thresholds: Thresholds) -> Validation:
    """Check a profile (one mapping per day, see read_profile) and say which days break which rule."""
    if not profile:
        return Validation(tuple(Outcome(rule, rule.threshold(thresholds)) for rule in RULES))
    result = _run_suite(profile, thresholds)
    failing: dict[str, dict[date, float]] = {rule.name: {} for rule in RULES}
    for found in result.results:
        if found.exception_info and found.exception_info.get("raised_exception"):
            raise RuntimeError(f"Great Expectations could not check the profile: {found.exception_info}")
        column, observed = found.expectation_config.kwargs["column"], failing[found.expectation_config.meta["rule"]]
        for row in found.result.get("unexpected_index_list") or []:
            observed[row["day"]] = observed.get(row["day"], 0.0) + float(row[column])
    outcomes = []
    for rule in RULES:
        days = tuple(sorted(failing[rule.name]))
        listed = {name for row in profile if rule.names and row["day"] in days for name in row[rule.names]}
        outcomes.append(Outcome(rule, rule.threshold(thresholds), days, failing[rule.name], tuple(sorted(listed))))
    return Validation(tuple(outcomes), result)


def _run_suite(profile: Profile, thresholds: Thresholds) -> Any:
    gx = _library.get()
    import pandas as pd

    checked = [(rule, column) for rule in RULES for column in rule.columns if column in profile[0]]
    days = pd.DataFrame([{"day": row["day"], **{column: row[column] for _, column in checked}} for row in profile])
    context = gx.get_context(mode="ephemeral")  # type: ignore[attr-defined]
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("profile").add_dataframe_asset("days")
    batch = asset.add_batch_definition_whole_dataframe("run").get_batch({"dataframe": days})
    suite = gx.ExpectationSuite(  # type: ignore[attr-defined]
        name="contract", expectations=[_expectation(gx, rule, column, thresholds) for rule, column in checked]
    )
    return batch.validate(suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["day"]})


def _expectation(gx: Any, rule: Rule, column: str, thresholds: Thresholds) -> Any:
    limit, kind = rule.limit(thresholds), "an error: the day keeps its last state" if rule.blocking else "a warning"
    setting = f" ({rule.setting}: {rule.threshold(thresholds):g} in project.yaml)" if rule.setting else ""
    says = dict(rule.meanings).get(column, rule.description)
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column=column,
        max_value=limit,
        description=f"{rule.rules}: {escape(says)} At most {limit:g} per day{setting}; more is {kind}.",
        severity="critical" if rule.blocking else "warning",
        meta={"rule": rule.name},
    )
