"""What a conversion's query would read and cost in BigQuery: asked before it runs. Nothing is run or written.

Source: BigQuery's dry run, https://cloud.google.com/bigquery/docs/running-queries#dry-run
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.stage import ONE_DAY, Wanted, ask
from conversions_assets.project import Clock
from conversions_assets.warehouse.base import Warehouse

TIB = 2**40
MIB = 2**20
LEAST_PER_TABLE = 10 * MIB
"""Bytes that a query is billed for at least, for each table (https://cloud.google.com/bigquery/pricing)."""
MONTH = 30
READS_PER_LOAD = 3
"""A complete CRM load is at most: a scan of the window, and a rerun in which both stations ask for the window."""
TABLES_OF_SCAN, TABLES_OF_RERUN = 15, 125
"""How often the statements of a scan and of a rerun name a table beside those of the query, where no id has
several rows in a day. A test counts them."""


@dataclass(frozen=True)
class DryRun:
    """What a query reads from the raw tables.

    Attributes:
        day, window: bytes of the newest closed day, and of the window with the open day; None under DuckDB.
    """

    conversion: Conversion
    day: int | None
    window: int | None

    @property
    def month(self) -> int:
        """Bytes that 30 days bill at most: a run of each day, and what each load asks for.

        The statements over a conversion's own tables are counted with the least that each table is billed for.
        """
        loads = self.conversion.project.bigquery.loads_per_day
        raw = self._billed(self.day) + loads * READS_PER_LOAD * self._billed(self.window)
        own = LEAST_PER_TABLE * (TABLES_OF_RERUN + loads * (TABLES_OF_SCAN + TABLES_OF_RERUN))
        return MONTH * (raw + own)

    @property
    def price(self) -> float:
        """USD for `month` at the project's price."""
        return self.month / TIB * self.conversion.project.bigquery.price_per_tib

    @property
    def over_limit(self) -> str | None:
        """What is wrong where a job over the window would be refused."""
        limit = self.conversion.maximum_bytes_billed
        if limit is None or self._billed(self.window) <= limit:
            return None
        return (
            f"{self.conversion.name}: a run over the window bills {mebibytes(self._billed(self.window))}, "
            f"maximum_bytes_billed is {mebibytes(limit)}: raise it, or let the query read fewer days"
        )

    def _billed(self, read: int | None) -> int:
        return max(read or 0, LEAST_PER_TABLE * max(len(self.conversion.query.tables), 1))


def dry_run(warehouse: Warehouse, conversion: Conversion, clock: Clock) -> DryRun:
    """Have the warehouse check the query as it is sent, and say what it reads.

    Raises:
        QueryError: the warehouse refuses the query, or its result breaks the contract; with file, line and column.
    """
    last = max(conversion.project.local_date(clock.now) - ONE_DAY, conversion.start_date)
    first = max(last - timedelta(days=max(conversion.window_days, 1) - 1), conversion.start_date)
    day = ask(warehouse, conversion, Wanted(Days(last, last)), clock.now)
    window = ask(warehouse, conversion, Wanted(Days(first, last + ONE_DAY), open_ended=True, far=True), clock.now)
    return DryRun(conversion, warehouse.bytes_of(day.statement), warehouse.bytes_of(window.statement))


def mebibytes(size: int) -> str:
    """Bytes as a person reads them: '1,234.5 MiB'."""
    return f"{size / MIB:,.1f} MiB"


def shown(found: Sequence[DryRun]) -> str:
    """A line per conversion, the sum, and what it rests on; '' for none."""
    if not found:
        return ""
    lines: list[tuple[str, ...]] = [("conversion", "a day", "the window", "30 days at most", "USD")]
    for run in found:
        sizes = (mebibytes(size or 0) for size in (run.day, run.window, run.month))
        lines.append((run.conversion.name, *sizes, f"{run.price:,.2f}"))
    month, price = sum(run.month for run in found), sum(run.price for run in found)
    lines.append(("all", "", "", mebibytes(month), f"{price:,.2f}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip() for name, *cells in lines]
    costs = found[0].conversion.project.bigquery
    rests = (
        f"30 days: each day once, and {costs.loads_per_day} loads a day that each change something, at "
        f"{costs.price_per_tib:g} USD per TiB (project.yaml: bigquery).\nA table counts {mebibytes(LEAST_PER_TABLE)} "
        "or more each time that a statement names it, a conversion's own tables exactly that (docs/scale.md)."
    )
    return "\n".join([*table, rests])
