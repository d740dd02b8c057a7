"""A conversion as its folder describes it: what the stations receive. No Dagster, no warehouse."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from conversions_assets.contract.query import Query
from conversions_assets.project import Project
from conversions_assets.warehouse.base import Table

NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
RESERVED_ENDINGS = ("_changes", "_drift", "_quarantine", "_models")
RESERVED_DATASETS = ("conversions", "predicted", "adjusted")
MAX_WINDOW_DAYS = 365

Dedup = Literal["earliest", "latest"]
Link = Literal["latest", "first", "all"]


@dataclass(frozen=True)
class Days:
    """A range of local days, both ends in."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(f"the range of days ends ({self.last}) before it begins ({self.first})")

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def all(self) -> list[date]:
        """Each day, oldest first."""
        return [self.first + timedelta(days=n) for n in range(len(self))]


@dataclass(frozen=True)
class PredictedValue:
    """How a lead's value is predicted from what it may become (R25-R28).

    Attributes:
        target: the conversion whose value is predicted.
        window_days: a target counts for a lead until so many times 24 hours after it.
        link: which leads of a person a target belongs to: the latest one before it, the first one, or all of them.
        include: keys of params to learn from; None: all.
        exclude: keys of params to leave out.
        lookback_days: without a target in so many days before a run nothing is predicted.
    """

    target: str
    window_days: int = 40
    link: Link = "latest"
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    lookback_days: int = 60

    @property
    def published_targets(self) -> Table:
        return Table("adjusted", self.target)

    @property
    def published_target_days(self) -> Table:
        return Table("adjusted", f"_{self.target}_days")


@dataclass(frozen=True)
class Conversion:
    """One conversion: its SQL and its settings.

    Attributes:
        window_days: W of R14; 0: each day is published once and then frozen.
        dedup: which `created` wins among rows of one id (R5).
        predicted: how its value is predicted; None: the value is what the SQL says.
        maximum_bytes_billed: what one job of BigQuery may be billed for; None: no limit.
    """

    name: str
    query: Query
    start_date: date
    window_days: int
    dedup: Dedup
    project: Project
    predicted: PredictedValue | None = None
    maximum_bytes_billed: int | None = None

    @property
    def stored(self) -> Table:
        return Table("conversions", self.name)

    @property
    def quarantine(self) -> Table:
        return Table("conversions", f"{self.name}_quarantine")

    @property
    def covered(self) -> Table:
        # An underscore in front: no conversion can have this name (R32).
        return Table("conversions", f"_{self.name}_days")

    @property
    def published(self) -> Table:
        return Table("adjusted", self.name)

    @property
    def ledger(self) -> Table:
        return Table("adjusted", f"{self.name}_changes")

    @property
    def drift(self) -> Table:
        return Table("adjusted", f"{self.name}_drift")

    @property
    def published_days(self) -> Table:
        return Table("adjusted", f"_{self.name}_days")

    @property
    def raw_rows(self) -> Table:
        return Table("adjusted", f"_{self.name}_raw_rows")

    @property
    def scores(self) -> Table:
        return Table("predicted", self.name)

    @property
    def scored_days(self) -> Table:
        return Table("predicted", f"_{self.name}_days")

    @property
    def models(self) -> Table:
        return Table("predicted", f"{self.name}_models")


def check_name(name: str) -> str | None:
    """What is wrong with a conversion's name (R32); None if nothing is."""
    if not NAME.fullmatch(name):
        return (
            f"the folder name '{name}' is no conversion name: write lower-case letters, digits and _, a letter first, "
            "at most 51 characters"
        )
    for ending in RESERVED_ENDINGS:
        if name.endswith(ending):
            return f"the folder name '{name}' ends in {ending}, which names tables of other conversions: rename it"
    return None
