"""Whether a value can be predicted now (R25), in a marketer's words."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from conversions_assets.contract.conversion import Conversion, PredictedValue
from conversions_assets.contract.stage import ONE_DAY, Run
from conversions_assets.prediction.tables import reading
from conversions_assets.warehouse.base import Warehouse
from conversions_assets.warehouse.script import bind

ELIGIBILITY = Path(__file__).with_name("eligibility.sql")
LEAST_TARGET_USERS = 20
"""From so many target users on, not one of whom is a lead, the identifiers are other ones."""


@dataclass(frozen=True)
class Eligibility:
    """What was found of the target.

    Attributes:
        published: whether a day of the target was ever published.
        recent_targets: rows that count in the look-back before the run.
        targets: rows that count at all; `newest_day`, the newest of them.
        target_users: persons among these; `matched_users`, those of them that are leads too.
    """

    target: str
    lookback_days: int
    published: bool
    recent_targets: int = 0
    targets: int = 0
    newest_day: date | None = None
    target_users: int = 0
    matched_users: int = 0

    @property
    def mismatch(self) -> bool:
        """The persons of the target and those of the leads never meet."""
        return self.target_users >= LEAST_TARGET_USERS and not self.matched_users

    @property
    def holds(self) -> bool:
        """Whether new leads can be scored."""
        return bool(self.recent_targets) and not self.mismatch

    @property
    def sentence(self) -> str:
        """What a marketer reads."""
        kept = "Scores stay as they are, and new leads get no value until then"
        if not self.published:
            return f"{self.target} was never published: run adjusted/{self.target} first. {kept}."
        if self.mismatch:
            return (
                f"The identifiers do not match: none of the {self.target_users:,} persons of {self.target} is a lead. "
                f"Let user_id in both queries be the same id of the CRM. {kept}."
            )
        if not self.recent_targets:
            last = f"the last one was on {self.newest_day}" if self.newest_day else "there was never one"
            return (
                f"No {self.target} with a user_id that is not unqualified in the {self.lookback_days} days before the "
                f"run ({last}): there is nothing to predict from. {kept}."
            )
        return (
            f"{self.recent_targets:,} {self.target} in the last {self.lookback_days} days; {self.matched_users:,} of "
            f"the {self.target_users:,} persons behind all {self.targets:,} are leads"
        )


def judge(warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue, run: Run) -> Eligibility:
    """Look at the target as it is published, over the look-back before the run's day."""
    if warehouse.columns(predicted.published_targets) is None:
        return Eligibility(predicted.target, predicted.lookback_days, published=False)
    params = {
        "first_day": run.local_date - timedelta(days=predicted.lookback_days),
        "last_day": run.local_date - ONE_DAY,
        "latest_wins": conversion.dedup == "latest",
    }
    [statement] = bind(ELIGIBILITY, reading(warehouse, conversion, predicted), params)
    [found] = warehouse.query(statement)
    return Eligibility(predicted.target, predicted.lookback_days, published=True, **found)
