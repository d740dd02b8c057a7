"""R21: the smallest window that would have caught nearly all of the value that changed after freezing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from conversions_assets.contract.conversion import MAX_WINDOW_DAYS

SHARE = 0.99


def suggested_window(ages: Sequence[Mapping[str, Any]]) -> int | None:
    """The smallest W that catches 99 % of the changed value in every currency; None where no value has changed.

    Args:
        ages: per currency and age in days (when the difference was seen): `changed`, the sum of absolute differences.
    """
    by_currency: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in ages:
        by_currency[row["currency"]].append((row["age"], row["changed"]))
    return max((_smallest(sorted(rows)) for rows in by_currency.values()), default=None)


def suggestion(ages: Sequence[Mapping[str, Any]]) -> str:
    """The suggested window as a sentence."""
    window = suggested_window(ages)
    if window is None:
        return "no value has changed after freezing"
    sentence = f"a window of {window} days would have caught {SHARE:.0%} of the value that changed after freezing"
    return sentence if window <= MAX_WINDOW_DAYS else f"{sentence}; the largest window has {MAX_WINDOW_DAYS} days"


def _smallest(ages: Sequence[tuple[int, float]]) -> int:
    wanted = SHARE * sum(changed for _, changed in ages)
    caught = 0.0
    for age, changed in ages:
        caught += changed
        if caught >= wanted - 1e-9:
            return age
    return ages[-1][0]
