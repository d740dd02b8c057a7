"""dlt's destination BigQuery, whose merge takes each staged key once."""

from collections.abc import Sequence
from typing import Any

import dlt
from dlt.common.destination import PreparedTableSchema
from dlt.common.destination.client import FollowupJobRequest
from dlt.destinations.impl.bigquery.bigquery import BigQueryClient, BigQueryMergeJob
from sqlglot import exp


class MergeOnce(BigQueryMergeJob):
    """A MERGE inserts a new key as often as it is staged.

    What a killed load has sent, BigQuery may still add to the staging table after the next load has emptied it. Of
    rows with one key the one of the newest package counts.
    """

    @classmethod
    def gen_upsert_merge_sql(
        cls, root_table_name: str, staging_root_table_name: str, primary_keys: Sequence[str], *args: Any, **options: Any
    ) -> list[str]:
        keys: list[exp.Expr] = [exp.maybe_parse(key, dialect="bigquery") for key in primary_keys]
        newest = exp.Order(expressions=[exp.Ordered(this=exp.column("_dlt_load_id"), desc=True)])
        place = exp.Window(this=exp.RowNumber(), partition_by=keys, order=newest)
        staged = exp.select("*").from_(exp.to_table(staging_root_table_name, dialect="bigquery"))
        once = staged.where(exp.true()).qualify(exp.EQ(this=place, expression=exp.Literal.number(1)))
        source = once.subquery().sql(dialect="bigquery")
        made: list[str] = super().gen_upsert_merge_sql(root_table_name, source, primary_keys, *args, **options)
        return made


class _Client(BigQueryClient):
    def _create_merge_followup_jobs(self, table_chain: Sequence[PreparedTableSchema]) -> list[FollowupJobRequest]:
        return [MergeOnce.from_table_chain(table_chain, self.sql_client)]


class BigQuery(dlt.destinations.bigquery):
    """The destination; its configuration is dlt's own."""

    @property
    def client_class(self) -> type[BigQueryClient]:
        return _Client
