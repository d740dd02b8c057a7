"""What the warehouse holds of a table already: the last values of a record that the CRM no longer shows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlglot import exp

from conversions_assets.crm.tables import Row, chunks

if TYPE_CHECKING:
    from dlt import Pipeline

PART = 500


class Known:
    """Rows of one table, read through the pipeline that fills it.

    Attributes:
        now: the time of this load.
        compare: whether all ids are to be listed in this load, and those that the CRM no longer has marked deleted.
    """

    def __init__(self, pipeline: "Pipeline", table: str, now: datetime, compare: bool) -> None:
        self._pipeline, self._table, self.now, self.compare = pipeline, table, now, compare

    def live_ids(self) -> set[str]:
        """The ids of all rows that are not deleted."""
        return {row["id"] for row in self._select(["id"], self._not_deleted())}

    def deleted(self, gone: Mapping[str, str | None]) -> Iterator[list[Row]]:
        """The rows of ids that are gone, marked deleted; `gone` tells which record took each over.

        Ids that were never loaded are left out, and rows that are marked already, unless it is new which record took
        them over: a record may be deleted, then restored and merged before the next load.
        """
        columns = self._columns()
        for part in chunks(gone, PART) if columns else ():
            merged = [key for key in part if gone[key] is not None]
            marked_alone = exp.column("id").isin(*merged).and_(exp.column("_merged_into").is_(exp.null()))
            open_ends = exp.or_(self._not_deleted(), marked_alone) if merged else self._not_deleted()
            rows = self._select(columns, exp.column("id").isin(*part).and_(open_ends))
            yield [{**row, "_deleted": True, "_merged_into": gone[row["id"]]} for row in rows]

    def _not_deleted(self) -> exp.Condition:
        """Rows that no whole load marked: what a killed one marked may have no version yet."""
        loads = exp.table_("_dlt_loads", db=self._pipeline.dataset_name, quoted=True)
        whole = exp.select("load_id").from_(loads).where(exp.column("status").eq(0))
        marked = exp.column("_deleted").and_(exp.column("_dlt_load_id").isin(query=whole))
        return exp.not_(marked)

    def _columns(self) -> list[str]:
        """The columns that were loaded before; none before the first load."""
        if self._pipeline.default_schema_name is None:
            return []
        table = self._pipeline.default_schema.tables.get(self._table)
        return [name for name in table["columns"] if not name.startswith("_dlt_")] if table else []

    def _select(self, columns: Sequence[str], where: exp.Condition) -> list[Row]:
        if not self._columns():
            return []
        with self._pipeline.sql_client() as client:
            place = exp.table_(self._table, db=client.dataset_name, quoted=True)
            query = exp.select(*(exp.column(name, quoted=True) for name in columns)).from_(place).where(where)
            found = client.execute_sql(query.sql(self._pipeline.destination.capabilities().sqlglot_dialect))
        return [dict(zip(columns, row, strict=True)) for row in found or []]
