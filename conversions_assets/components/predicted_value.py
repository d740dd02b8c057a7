"""`predicted_value:` in YAML: a lead's value is predicted from what leads before it became (R25-R28)."""

import difflib
from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import ConfigDict, field_validator, model_validator

from conversions_assets.components.located import yaml_error
from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.conversion import MAX_WINDOW_DAYS, Conversion, Link, PredictedValue
from conversions_assets.project import ConfigurationError


class FeatureChoice(dg.Model, dg.Resolvable):
    """Which keys of params a model learns from.

    Attributes:
        include: only these; without it all that are neither free text nor ids.
        exclude: all but these. `day_of_week` may be named, too.
    """

    model_config = ConfigDict(title="features")

    include: list[str] | None = None
    exclude: list[str] = []

    @field_validator("include", "exclude")
    @classmethod
    def _keys(cls, keys: list[str] | None) -> list[str] | None:
        for key in keys or ():
            if key != key.strip().lower().replace(" ", "_").replace("-", "_") or not key:
                raise ValueError(
                    f"'{key}' is no key of params as they are stored (R9): write lower-case letters, digits and _"
                )
        return keys

    @model_validator(mode="after")
    def _apart(self) -> "FeatureChoice":
        both = sorted(set(self.include or ()) & set(self.exclude))
        if both:
            raise ValueError(f"{', '.join(both)} stands in include and in exclude: remove it from one of them")
        if self.include == []:
            raise ValueError("`include` is empty: name the keys to learn from, or leave it out")
        return self


class PredictedValueSettings(dg.Model, dg.Resolvable):
    """What the value of a conversion is predicted from.

    Attributes:
        target: the conversion whose value is predicted.
        conversion_window_days: how long after a lead its target counts, in days of 24 hours.
        link: which leads of a person a target belongs to.
        features: which params are learnt from.
        target_lookback_days: without a target in so many days nothing is predicted.
    """

    model_config = ConfigDict(title="predicted_value")

    target: str
    conversion_window_days: int = 40
    link: Link = "latest"
    features: FeatureChoice = FeatureChoice()
    target_lookback_days: int = 60

    @field_validator("conversion_window_days", "target_lookback_days")
    @classmethod
    def _days(cls, days: int) -> int:
        if not 1 <= days <= MAX_WINDOW_DAYS:
            raise ValueError(f"R25: {days} days cannot be: write a whole number from 1 to {MAX_WINDOW_DAYS}")
        return days

    def resolved(self) -> PredictedValue:
        """The settings as the stations receive them."""
        include = self.features.include
        return PredictedValue(
            target=self.target,
            window_days=self.conversion_window_days,
            link=self.link,
            include=None if include is None else tuple(sorted(include)),
            exclude=tuple(sorted(self.features.exclude)),
            lookback_days=self.target_lookback_days,
        )


def refuse_wrong_targets(conversions: Sequence[Conversion], refused: Sequence[str], catalog: Catalog) -> None:
    """Judge what can be judged before anything runs (R25).

    Args:
        refused: names of conversions whose SQL is refused already.

    Raises:
        ConfigurationError: a target that does not exist, is the conversion itself or is predicted; SQL without user_id.
    """
    known = {conversion.name: conversion for conversion in conversions}
    problems = [
        problem
        for conversion in conversions
        if conversion.predicted is not None
        for problem in _problems(conversion, conversion.predicted, known, refused, catalog)
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))


def _problems(
    conversion: Conversion,
    predicted: PredictedValue,
    known: dict[str, Conversion],
    refused: Sequence[str],
    catalog: Catalog,
) -> Iterator[str]:
    name = predicted.target
    folder, target = conversion.query.path.parent, known.get(name)

    def at_target(problem: str) -> str:
        return yaml_error(folder, ["predicted_value", "target"], f"R25: {problem}")

    if name == conversion.name:
        yield at_target(f"{name} cannot be predicted from itself: name another conversion, which a lead may become")
        return
    if target is None and name not in refused:
        others = sorted(other for other in known if other != conversion.name)
        near = difflib.get_close_matches(name, others, n=1) or others
        yield at_target(
            f"there is no conversion '{name}': " + (f"write {' or '.join(near)}" if near else "add its folder")
        )
    if target is not None and target.predicted is not None:
        yield at_target(
            f"the value of {name} is predicted itself, from {target.predicted.target}: a chain cannot be. Name a "
            f"conversion with a value of its own, for example {target.predicted.target}"
        )
    for user, what in ((conversion, "the lead"), (target, "the target")):
        names = None if user is None else _columns(user, catalog)
        if user is not None and names is not None and "user_id" not in names:
            yield at_target(
                f"the SQL of {what}, {user.query.path}, returns no user_id, by which leads and targets are linked: "
                "add the person's id in the CRM, for example `contact_id AS user_id`"
            )


def _columns(conversion: Conversion, catalog: Catalog) -> set[str] | None:
    """The columns that a query returns; None where a star hides them."""
    from conversions_assets.contract.check.analysis import analyse

    if conversion.query.names is not None:
        return {name.casefold() for name in conversion.query.names}
    analysis = analyse(conversion.query, catalog)
    if analysis is None or analysis.tree.is_star:
        return None
    return {name.casefold() for name in analysis.tree.named_selects}
