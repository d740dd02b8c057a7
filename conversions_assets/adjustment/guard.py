"""R19: nothing is retracted on the word of a load that looks incomplete, unless a person names a reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.stage import Run
from conversions_assets.project import Thresholds
from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.raw import RawTables, count_rows, incomplete_loads
from conversions_assets.warehouse.script import bind

if TYPE_CHECKING:
    from conversions_assets.contract.check.lineage import Lineage

GUARD = Path(__file__).with_name("guard.sql")
BASELINE = Path(__file__).with_name("baseline.sql")
ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What the guard found before a run wrote.

    Attributes:
        vanishing: ids that the run would retract.
        deleted: those of them whose raw row carries the CRM's delete flag; they need no guard.
        window_ids: ACTIVE ids at home in the window.
        rows: raw table -> rows now.
        rows_before: raw table -> rows that the last run that wrote had found.
        incomplete: raw tables whose newest load is not complete.
        limits: the thresholds of the conversion.
        release: the reason with which a person released the run.
    """

    vanishing: int
    deleted: int
    window_ids: int
    rows: Mapping[str, int]
    rows_before: Mapping[str, int]
    incomplete: Sequence[str]
    limits: Thresholds
    release: str | None = None

    @property
    def unexplained(self) -> int:
        """Ids that would be retracted without a delete flag of the CRM."""
        return self.vanishing - self.deleted

    @property
    def most(self) -> float:
        """How many ids may vanish at once."""
        return max(self.limits.vanished_rows, self.limits.vanished_share * self.window_ids)

    @property
    def fallen(self) -> list[str]:
        """Raw tables that have lost more rows than a load may lose."""
        share = self.limits.raw_rows_fall + ROUNDING
        return [
            name for name, before in self.rows_before.items() if before - self.rows.get(name, before) > share * before
        ]

    @property
    def problems(self) -> list[str]:
        """Why the load does not look complete; none where nothing would be retracted."""
        return list(self._problems()) if self.unexplained else []

    @property
    def stops(self) -> bool:
        """Whether the run must not write."""
        return bool(self.problems) and self.release is None

    @property
    def note(self) -> str | None:
        """What the ledger says of the rows that were retracted although the guard had tripped."""
        return self.release if self.problems else None

    def _problems(self) -> Iterator[str]:
        if self.incomplete:
            yield f"the newest load of {', '.join(self.incomplete)} is not complete"
        for name in self.fallen:
            before, now = self.rows_before[name], self.rows[name]
            yield (
                f"{name} has {now:,} rows, {1 - now / before:.0%} fewer than the {before:,} of the last run that wrote "
                f"(at most {self.limits.raw_rows_fall:.0%})"
            )
        if self.unexplained > self.most + ROUNDING:
            yield (
                f"{self.unexplained:,} of {self.window_ids:,} ids of the window would vanish at once (at most "
                f"{self.most:,.0f}: {self.limits.vanished_rows} rows or {self.limits.vanished_share:.0%})"
            )


class IncompleteLoadError(Exception):
    """The guard stopped a run before it wrote anything."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(
            f"R19: {'; '.join(verdict.problems)}. Nothing was written; {verdict.unexplained:,} retractions are held "
            "back. Load the CRM again, whole, and rerun these days (or correct a query that was narrowed). If the rows "
            "are really gone, run again with a run configuration that names the reason under `release`"
        )


def judge(
    warehouse: Warehouse,
    conversion: Conversion,
    tables: Mapping[str, Table | exp.Query],
    params: Mapping[str, Any],
    run: Run,
    declared: RawTables,
) -> Verdict:
    """Compare what the run would retract with what is known of the load; reads `cases` of the session."""
    before = exp.select("raw_table", "row_count").from_(conversion.raw_rows.expression)
    flagged = _flagged_ids(warehouse, conversion, declared) or _NO_IDS
    [statement] = bind(GUARD, {**tables, "flagged": flagged}, params)
    [found] = warehouse.query(statement)
    return Verdict(
        **found,
        rows={str(table): rows for table, rows in count_rows(warehouse, conversion.query.tables).items()},
        rows_before={row["raw_table"]: row["row_count"] for row in warehouse.query(Statement(before))},
        incomplete=[str(table) for table in incomplete_loads(warehouse, conversion.query.tables, declared)],
        limits=conversion.project.thresholds,
        release=run.release,
    )


def keep_baseline(conversion: Conversion, verdict: Verdict, run: Run) -> list[Statement]:
    """What makes the raw tables' row counts the ones that the next run compares with."""
    counted: list[exp.Query] = [
        exp.select(exp.Literal.string(name).as_("raw_table"), exp.Literal.number(rows).as_("row_count"))
        for name, rows in verdict.rows.items()
    ]
    now = reduce(lambda left, right: exp.union(left, right, distinct=False), counted) if counted else _NO_ROWS
    return bind(BASELINE, {"raw_rows": conversion.raw_rows, "raw_now": now}, {"run_id": run.id, "now": run.now})


def _flagged_ids(warehouse: Warehouse, conversion: Conversion, declared: RawTables) -> exp.Query | None:
    """The ids of raw rows that carry the CRM's delete flag, where the conversion's id is a column of such a table.

    An id that the SQL composes (CONCAT('deal-', id)) is not followed: its rows stay under the guard.
    """
    flags = {table: raw.deleted for table, raw in declared.items() if raw.deleted and table in conversion.query.tables}
    if not flags:
        return None
    flagged: list[exp.Query] = []
    for table, column in _id_columns(warehouse, conversion, declared):
        flag = flags.get(table)
        if flag is not None and (warehouse.columns(table) or {}).get(flag) == "BOOL":
            id = exp.Anonymous(this="trimmed", expressions=[exp.cast(exp.column(column, quoted=True), "TEXT")])
            rows = exp.select(id.as_("id")).from_(table.expression)
            flagged.append(rows.where(exp.column(flag, quoted=True)))
    return reduce(lambda left, right: exp.union(left, right, distinct=False), flagged) if flagged else None


def _id_columns(warehouse: Warehouse, conversion: Conversion, declared: RawTables) -> set[tuple[Table, str]]:
    """The raw columns that the query returns as `id`, as they are or cast."""
    from conversions_assets.contract.check.analysis import analyse
    from conversions_assets.contract.check.catalog import Catalog
    from conversions_assets.contract.check.lineage import Lineage, branches

    schemas = {table: columns for table in conversion.query.tables if (columns := warehouse.columns(table))}
    analysis = analyse(conversion.query, Catalog(schemas, declared))
    if analysis is None:
        return set()
    lineage = Lineage(analysis)
    returned = [e for select in branches(analysis.tree) for e in select.selects if e.alias_or_name.lower() == "id"]
    return {column for expression in returned for column in _columns_behind(lineage, expression)}


def _columns_behind(lineage: "Lineage", expression: exp.Expr) -> Iterator[tuple[Table, str]]:
    node = expression.unalias()
    while isinstance(node, exp.Cast | exp.Paren | exp.Trim):
        node = node.this
    if isinstance(node, exp.Column):
        base = lineage.base(node)
        if base is not None:
            yield Table(base[0].db, base[0].name), base[1]
        for definition in lineage.definitions(node):
            yield from _columns_behind(lineage, definition)


_NO_IDS = exp.select(exp.cast(exp.null(), "TEXT").as_("id")).where(exp.false())
_NO_ROWS = exp.select(
    exp.cast(exp.null(), "TEXT").as_("raw_table"), exp.cast(exp.null(), "BIGINT").as_("row_count")
).where(exp.false())
