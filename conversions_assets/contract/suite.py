"""Great Expectations over the profile: one row per day in, one outcome per rule family out.

The suite never sees rows of a conversion, only the aggregates of profile.sql, so its cost does not grow with them.
"""

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from conversions_assets.project import Thresholds

if TYPE_CHECKING:
    import great_expectations as gx

Profile = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Rule:
    """One rule family as an expectation on a column of the profile.

    Attributes:
        name: the asset check's name.
        rules: their numbers in docs/rules.md.
        blocking: a day that fails keeps its last good state; else it is a warning.
        limit: the largest value that a day may have.
        sentence: what a person reads when a day has more.
    """

    name: str
    rules: str
    column: str
    blocking: bool
    limit: Callable[[Thresholds], float]
    description: str
    sentence: str


RULES: tuple[Rule, ...] = (
    Rule(
        "quarantine",
        "R6, R7, R10",
        "quarantined_share",
        True,
        lambda t: t.quarantined_share,
        "Refused rows are in quarantine; a day with too many keeps its last good state.",
        "more than {limit:.0%} of the day's rows are refused: see the quarantine table for the reasons",
    ),
    Rule(
        "conflicting_ids",
        "R5",
        "conflicting_ids_share",
        True,
        lambda t: t.conflicting_ids_share,
        "Ids whose rows differ within one day, as a share of the result's ids.",
        "more than {limit:.0%} of the ids have rows that differ: let the SQL return one row per id",
    ),
    Rule(
        "client_ids",
        "R8",
        "damaged_client_ids",
        True,
        lambda t: 0,
        "Client ids are text; as a number they have lost digits.",
        "client ids of the form 1.23E9 have lost digits: cast the original text, not a number",
    ),
    Rule(
        "duplicate_ids",
        "R5",
        "conflicting_ids",
        False,
        lambda t: 0,
        "Identical rows of an id collapse; of rows that differ one is kept.",
        "some ids have rows that differ: one of them was kept by R5",
    ),
    Rule(
        "attribution",
        "R8",
        "not_attributed_rise",
        False,
        lambda t: t.not_attributed_rise,
        "The share of (not attributed) against its mean over the 28 days before.",
        "the share of (not attributed) rose by more than {limit:.0%} of all conversions: look at the client id",
    ),
    Rule(
        "params",
        "R9",
        "repeated_keys",
        False,
        lambda t: 0,
        "A key that is there twice in params keeps its first non-empty value.",
        "some rows have a key twice in params: the first non-empty value was kept",
    ),
    Rule(
        "negative_values",
        "R6",
        "negative_values",
        False,
        lambda t: 0,
        "Negative values are kept.",
        "negative values were kept: refunds belong to the order they take value off",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a rule family says of a run.

    Attributes:
        failing_days: the days that break it, oldest first.
        observed: the profile column per failing day.
    """

    rule: Rule
    limit: float
    failing_days: tuple[date, ...] = ()
    observed: Mapping[date, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.failing_days

    @property
    def sentence(self) -> str:
        return "" if self.passed else self.rule.sentence.format(limit=self.limit)


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
    """Great Expectations imports scipy.stats for distributions that the suite never asks: a third of its import."""
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


def validate(profile: Profile, thresholds: Thresholds) -> tuple[Outcome, ...]:
    """Check a profile (one mapping per day: profile.sql, shares, rises) and say which days break which rule."""
    limits = {rule.name: float(rule.limit(thresholds)) for rule in RULES}
    if not profile:
        return tuple(Outcome(rule, limits[rule.name]) for rule in RULES)
    results = _run_suite(profile, limits)
    outcomes = []
    for rule in RULES:
        days = tuple(sorted(results[rule.name]))
        observed = {row["day"]: float(row[rule.column]) for row in profile if row["day"] in days}
        outcomes.append(Outcome(rule, limits[rule.name], days, observed))
    return tuple(outcomes)


def _run_suite(profile: Profile, limits: Mapping[str, float]) -> dict[str, list[date]]:
    gx = _library.get()
    import pandas as pd

    context = gx.get_context(mode="ephemeral")  # type: ignore[attr-defined]
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("profile").add_dataframe_asset("days")
    batch = asset.add_batch_definition_whole_dataframe("run").get_batch(
        {"dataframe": pd.DataFrame([dict(row) for row in profile])}
    )
    suite = gx.ExpectationSuite(  # type: ignore[attr-defined]
        name="contract",
        expectations=[
            gx.expectations.ExpectColumnValuesToBeBetween(  # type: ignore[attr-defined]
                column=rule.column, max_value=limits[rule.name], meta={"rule": rule.name}
            )
            for rule in RULES
        ],
    )
    validation = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["day"]}
    )
    failing: dict[str, list[date]] = {}
    for result in validation.results:
        if result.exception_info and result.exception_info.get("raised_exception"):
            raise RuntimeError(f"Great Expectations could not check the profile: {result.exception_info}")
        indexes = result.result.get("unexpected_index_list") or []
        failing[result.expectation_config.meta["rule"]] = [index["day"] for index in indexes]
    return failing
