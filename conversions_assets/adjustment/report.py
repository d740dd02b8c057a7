"""What a run of `adjusted/<name>` tells a person: sums, newest ledger entries, drift, and whether the ledger holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.adjustment.columns import PUBLISHED
from conversions_assets.adjustment.guard import Verdict
from conversions_assets.adjustment.window import Window
from conversions_assets.contract.conversion import Days
from conversions_assets.warehouse.base import Table, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
MOST_ROWS = 200_000
"""So many published rows at least are compared with the ledger in a run, the newest days first."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Drift:
    """The drift report in sums.

    Attributes:
        kinds: per kind and currency `row_count`, `ids`, `value_delta`.
        days: the same per home day and currency.
        ages: per currency and age of the day when the difference was seen: `changed` (absolute value).
    """

    kinds: Rows
    days: Rows
    ages: Rows

    @property
    def row_count(self) -> int:
        """The number of frozen differences."""
        return sum(row["row_count"] for row in self.kinds)


@dataclass(frozen=True)
class Replay:
    """The ledger's newest entries beside what is published, over the days that a run has touched (R16).

    Attributes:
        touched_days: days of which the run wrote a version.
        compared_days: those of them that were compared: all, unless they hold more than MOST_ROWS rows.
        ids: how many were compared.
        not_published: the ledger holds them, the published table does not.
        not_in_ledger: published without a ledger entry.
        different: a published row is not what its newest entry says.
        repeated: rows too many: an id published twice, or two newest entries.
    """

    touched_days: int = 0
    compared_days: int = 0
    ids: int = 0
    not_published: int = 0
    not_in_ledger: int = 0
    different: int = 0
    repeated: int = 0

    @property
    def holds(self) -> bool:
        """Whether replaying the ledger gives what is published."""
        return not (self.not_published or self.not_in_ledger or self.different or self.repeated)


@dataclass(frozen=True)
class Published:
    """What a run of `adjusted/<name>` did.

    Attributes:
        window: which days it was allowed to change.
        changes: per day, reason and currency: `ids`, `adjustments`, `restated` (those still active),
            `value_delta` (units of the currency).
        totals: per day and currency of the run's days: `active`, `retracted`, `not_attributed`, `value`,
            `without_rate`.
        drift_report: the whole drift report in sums.
        entries: the newest ledger entries of the run, at most 20.
        window_sums: per day and currency of the window: what is published and what the CRM says now.
        verdict: what the guard found (R19); None in an audit, which publishes nothing.
    """

    days: Days
    window: Window
    changes: Rows
    totals: Rows
    drift_report: Drift
    entries: Rows = ()
    window_sums: Rows = ()
    replay: Replay = Replay()
    verdict: Verdict | None = None

    @property
    def drift(self) -> Rows:
        """The drift report per kind and currency."""
        return self.drift_report.kinds

    @property
    def frozen_days(self) -> int:
        """How many of the run's days lie before the window."""
        return sum(day < self.window.first for day in self.days.all())


@dataclass(frozen=True)
class Reader:
    """Reads sums for one run. `columns`: those of the published table."""

    warehouse: Warehouse
    tables: Mapping[str, Table | exp.Query]
    params: Mapping[str, Any]
    columns: Mapping[str, str] = field(default_factory=lambda: PUBLISHED)

    def rows(self, file: str, **tables: Table | exp.Query) -> list[dict[str, Any]]:
        """The result of one of the .sql files beside this one; `tables` stand in the place of others."""
        [statement] = bind(HERE / file, {**self.tables, **tables}, self.params, self.columns)
        return self.warehouse.query(statement)

    def drift(self) -> Drift:
        """The drift report in sums."""
        return Drift(self.rows("drift_sums.sql"), self.rows("drift_days.sql"), self.rows("drift_ages.sql"))

    def replay(self, ledger: Table | exp.Query) -> Replay:
        """Compare ledger and published table; reads `versions` of the session."""
        tables, params = {**self.tables, "ledger": ledger}, {**self.params, "most_rows": MOST_ROWS}
        [statement] = bind(HERE / "replay.sql", tables, params, self.columns)
        [found] = self.warehouse.query(statement)
        return Replay(**found)
