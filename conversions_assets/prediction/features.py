"""What a model learns from: which params are numbers, categories, or neither, and the leads by columns (R28)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from conversions_assets.contract.conversion import PredictedValue
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.dialect import parse_expression
from conversions_assets.warehouse.script import bind

if TYPE_CHECKING:
    from pandas import DataFrame

HERE = Path(__file__).parent
DAY_OF_WEEK = "day_of_week"
NUMERIC_SHARE = 0.95
"""So large a share of a key's values must be numbers; the others are missing."""
FEWEST_NUMBERS = 8
"""A key with fewer different numbers is a category: a grade, a stage, a year."""
UNIQUE_SHARE = 0.5
"""From so many different values per filled lead on, a text tells leads apart and nothing else."""
FEWEST_FILLED = 50
"""Fewer filled leads than this do not show whether a key is an id."""
LONG_TEXT, MANY_WORDS = 60, 6
"""Mean number of characters and of words from which a text is written, not chosen."""
ID_DIGITS = 5
Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Feature:
    """A key of params as a column: of numbers (NaN where missing) or of categories (None where missing)."""

    key: str
    kind: Kind


def choose_features(keys: Sequence[Mapping[str, Any]], choice: PredictedValue) -> tuple[list[Feature], dict[str, str]]:
    """Decide by the data what each key of params is.

    Args:
        keys: the rows of keys.sql.

    Returns:
        The features in order of their keys, and key -> why it was left out.
    """
    chosen: list[Feature] = []
    left_out: dict[str, str] = {}
    for row in keys:
        key = str(row["key"])
        reason = _excluded(key, choice) or _unusable(row)
        if reason is None:
            chosen.append(Feature(key, _kind(row)))
        else:
            left_out[key] = reason
    found = {str(row["key"]) for row in keys} | {DAY_OF_WEEK}
    left_out |= {key: "no lead has this param" for key in choice.include or () if key not in found}
    if DAY_OF_WEEK not in {feature.key for feature in chosen} and DAY_OF_WEEK not in left_out:
        reason = _excluded(DAY_OF_WEEK, choice)
        if reason is None:
            chosen.append(Feature(DAY_OF_WEEK, "category"))
        else:
            left_out[DAY_OF_WEEK] = reason
    return sorted(chosen, key=lambda feature: feature.key), left_out


def read_keys(warehouse: Warehouse) -> list[dict[str, Any]]:
    """What the keys of params hold; reads `first_seen` of the session."""
    [statement] = bind(HERE / "keys.sql", {}, {})
    return warehouse.query(statement)


def read_features(warehouse: Warehouse, query: exp.Select, features: Sequence[Feature], params: Any) -> "DataFrame":
    """Run a SELECT over `first_seen AS s` with the features beside its own columns.

    Returns:
        The SELECT's columns, and one column per feature under its key.
    """
    import numpy as np

    columns = [_column(feature).as_(f"feature_{n}") for n, feature in enumerate(features)]
    frame = warehouse.frame(Statement(query.select(*columns), params))
    frame = frame.rename(columns={f"feature_{n}": f"param {feature.key}" for n, feature in enumerate(features)})
    for feature in features:
        name = f"param {feature.key}"
        if feature.kind == "number":
            numbers = frame[name].astype("float64")
            frame[name] = numbers.where(np.isfinite(numbers))
        else:
            frame[name] = frame[name].astype(object)
    return frame


def only_features(frame: "DataFrame", features: Sequence[Feature]) -> "DataFrame":
    """The columns of the features alone, named by their keys."""
    return frame[[f"param {feature.key}" for feature in features]].rename(
        columns={f"param {feature.key}": feature.key for feature in features}
    )


def as_json(features: Sequence[Feature]) -> list[dict[str, str]]:
    """Features as they are stored with their model."""
    return [asdict(feature) for feature in features]


def _column(feature: Feature) -> exp.Expr:
    name = exp.Literal.string(feature.key)
    value: exp.Expr = exp.Anonymous(this="param", expressions=[exp.column("params", table="s"), name])
    if feature.key == DAY_OF_WEEK:
        value = exp.Coalesce(this=value, expressions=[parse_expression(_WEEKDAY)])
    if feature.kind == "category":
        return value
    return exp.TryCast(this=value, to=exp.DataType.build("FLOAT64", dialect="bigquery"), safe=True)


_WEEKDAY = (
    "['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']"
    "[SAFE_ORDINAL(EXTRACT(DAYOFWEEK FROM s.first_day))]"
)


def _excluded(key: str, choice: PredictedValue) -> str | None:
    if key in choice.exclude:
        return "excluded in defs.yaml"
    if choice.include is not None and key not in choice.include:
        return "not among those included in defs.yaml"
    return None


def _unusable(row: Mapping[str, Any]) -> str | None:
    """Why a key tells nothing: an id, or free text."""
    filled, distinct = int(row["filled"]), int(row["distinct_values"])
    if filled < FEWEST_FILLED:
        return None
    if _is_numeric(row):
        whole = row["whole_numbers"] == row["numbers"]
        if whole and distinct > NUMERIC_SHARE * filled and row["least_length"] >= ID_DIGITS:
            return f"an id: {distinct:,} different whole numbers in {filled:,} leads"
        return None
    if row["mean_length"] > LONG_TEXT or row["mean_words"] > MANY_WORDS:
        return f"free text: {row['mean_length']:.0f} characters on average"
    if distinct > UNIQUE_SHARE * filled:
        return f"an id or free text: {distinct:,} different values in {filled:,} leads"
    return None


def _is_numeric(row: Mapping[str, Any]) -> bool:
    return bool(row["numbers"] >= NUMERIC_SHARE * row["filled"] and not row["padded_numbers"])


def _kind(row: Mapping[str, Any]) -> Kind:
    return "number" if _is_numeric(row) and row["distinct_values"] >= FEWEST_NUMBERS else "category"
