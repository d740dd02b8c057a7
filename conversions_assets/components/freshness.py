"""`freshness:` in YAML: how old an asset may get before it counts as stale."""

from datetime import timedelta

import dagster as dg
from pydantic import Field, model_validator


class Freshness(dg.Model, dg.Resolvable):
    """Either a time window or a deadline by cron, in the project's time zone.

    Attributes:
        fail_after_hours: stale when the newest materialisation is older.
        warn_after_hours: a warning earlier than that.
        deadline_cron: stale when nothing came in between `lower_bound_hours` before a tick and the tick.
    """

    fail_after_hours: float | None = Field(None, gt=0)
    warn_after_hours: float | None = Field(None, gt=0)
    deadline_cron: str | None = None
    lower_bound_hours: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_kind(self) -> "Freshness":
        if (self.fail_after_hours is None) == (self.deadline_cron is None):
            raise ValueError("write either fail_after_hours or deadline_cron")
        if self.deadline_cron is not None and self.lower_bound_hours is None:
            raise ValueError("deadline_cron needs lower_bound_hours: how long before the deadline the data may come in")
        return self

    def policy(self, time_zone: str) -> dg.FreshnessPolicy:
        """The Dagster policy; a cron is read in the given IANA time zone."""
        if self.deadline_cron is not None:
            return dg.FreshnessPolicy.cron(
                deadline_cron=self.deadline_cron,
                lower_bound_delta=timedelta(hours=self.lower_bound_hours or 0),
                timezone=time_zone,
            )
        return dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=self.fail_after_hours or 0),
            warn_window=timedelta(hours=self.warn_after_hours) if self.warn_after_hours else None,
        )
