"""Which days may still change (R14, R21, R31): the one place that knows."""

from dataclasses import dataclass
from datetime import date, timedelta

from conversions_assets.contract.conversion import Days

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """The adjustable days r-W … r-1 and the open day r of a run at local date r.

    Attributes:
        size: W in days; 0: each day is published once and then frozen.
        frozen_before: days before this one were frozen by an earlier run; a larger W does not thaw them (R31).
    """

    local_date: date
    size: int
    frozen_before: date | None = None

    @property
    def first(self) -> date:
        """The oldest adjustable day; the open day where no day is adjustable."""
        first = self.local_date - timedelta(days=self.size)
        return min(max(first, self.frozen_before or first), self.local_date)

    @property
    def last(self) -> date:
        """The newest adjustable day, r-1."""
        return self.local_date - ONE_DAY

    @property
    def open_day(self) -> date:
        return self.local_date

    def seen_beside(self, covered: Days, start_date: date, something_missing: bool) -> Days:
        """The days that the query is asked for beside a run's own days: the window and the open day (R17, R18).

        Args:
            covered: the run's own days, which the stored conversions tell.
            start_date: the conversion's first day; rows before it do not count.
            something_missing: a published row of the own days is missing there, so the whole window is asked.
        """
        first = max(self.first, min(start_date, self.open_day))
        if not something_missing and covered.first <= first <= covered.last:
            first = min(covered.last + ONE_DAY, self.open_day)
        return Days(first, self.open_day)
