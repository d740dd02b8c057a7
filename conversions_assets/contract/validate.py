"""The Validate button: one conversion against the warehouse, shown to a person; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from conversions_assets.contract.columns import COLUMNS
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.stage import ONE_DAY, Run, Wanted, describe, stage
from conversions_assets.project import Clock
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
TARGET_LOOKBACK_DAYS = 60
BAR = 40


@dataclass(frozen=True)
class Preview:
    """What a conversion's query returns, as text for a terminal.

    Attributes:
        types: name -> BigQuery type of the query's columns.
        rows: up to 20 of the newest rows, without personal values.
        per_day: `day`, `ids`, `refused`, `not_attributed`, `targets` of each day that has rows.
        holds: whether no row would be refused.
    """

    conversion: Conversion
    days: Days
    types: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    per_day: Sequence[Mapping[str, Any]]

    @property
    def holds(self) -> bool:
        return not any(row["refused"] for row in self.per_day)

    @property
    def as_target(self) -> str:
        """R25: whether a lead's predicted value may be made of this conversion."""
        if "user_id" not in self.types:
            return "cannot be the target of a predicted value: the SQL returns no user_id"
        since = self.days.last - timedelta(days=TARGET_LOOKBACK_DAYS - 1)
        targets = sum(row["targets"] for row in self.per_day if row["day"] >= since)
        if not targets:
            return (
                f"cannot be the target of a predicted value now: in the last {TARGET_LOOKBACK_DAYS} days no row has a "
                "user_id and is not FALSE in is_qualified"
            )
        return f"can be the target of a predicted value: {targets:,} rows with a user_id in {TARGET_LOOKBACK_DAYS} days"

    def __str__(self) -> str:
        columns = [
            {
                "column": column.name,
                "type": self.types.get(column.name, "absent" if not column.required else "missing"),
                "meaning": column.meaning,
            }
            for column in COLUMNS
        ]
        found, refused = (sum(row[name] for row in self.per_day) for name in ("ids", "refused"))
        parts = [
            "Columns",
            _table(columns),
            f"Newest rows of {self.days} (client_id and user_id: whether they are there; params: their keys)",
            _table(self.rows),
            "Rows per day",
            _bars(self.per_day),
            f"{self.conversion.name}: {found:,} conversions and {refused:,} refused rows in {len(self.days)} days; "
            f"{self.as_target}.",
        ]
        return "\n\n".join(parts)


def preview(warehouse: Warehouse, conversion: Conversion, days: int, clock: Clock) -> Preview:
    """Stage the newest closed days and look at them; only temporary tables are made.

    Raises:
        QueryError: the query, or its result as a whole, breaks the contract.
    """
    today = conversion.project.local_date(clock.now)
    last = max(today - ONE_DAY, conversion.start_date)
    first = max(conversion.start_date, last - timedelta(days=max(days, 1) - 1))
    wanted, query = Days(first, last), conversion.query
    bound = {name: wanted.first if name == "start_date" else wanted.last for name in query.parameters}
    types = describe(warehouse, query, Statement(query.tree, bound))
    stage(warehouse, conversion, Wanted(wanted), Run("validate", clock, today, None))
    params = {"first_day": wanted.first, "last_day": wanted.last}
    shown, per_day = (
        warehouse.query(statement)
        for name in ("preview_rows.sql", "preview_days.sql")
        for statement in bind(HERE / name, {}, params)
    )
    return Preview(conversion, wanted, {n.casefold(): kind for n, kind in types.items()}, shown, per_day)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "  none"
    header = list(rows[0])
    cells = [header, *([_cell(row[name]) for name in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    return "\n".join("  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "tzinfo"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S%z"))
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _bars(rows: Sequence[Mapping[str, Any]]) -> str:
    most = max((row["ids"] for row in rows), default=0) or 1
    lines = []
    for row in rows:
        notes = [f"{row['refused']} refused"] if row["refused"] else []
        notes += [f"{row['not_attributed']} (not attributed)"] if row["not_attributed"] else []
        bar = "█" * round(BAR * row["ids"] / most)
        lines.append(f"  {row['day']}  {row['ids']:>7,}  {bar.ljust(BAR)}  {', '.join(notes)}".rstrip())
    return "\n".join(lines) or "  none"
