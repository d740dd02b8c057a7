"""The CRM of the prediction's tests on BigQuery."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from conversions_assets.warehouse.base import Statement, Table, Warehouse
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets_tests.prediction.crm import DEAL, KINDS, LEAD, Crm, make_crm
from conversions_assets_tests.warehouse.bigquery_shop import PATIENCE, put_table, to_bigquery, told
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.real_client import RealClient

BIGQUERY = {"TIMESTAMPTZ": "TIMESTAMP", "BOOLEAN": "BOOL", "DOUBLE": "FLOAT64"}
ARROW = {"STRING": pa.string(), "FLOAT64": pa.float64(), "BOOL": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC")}


@dataclass
class BigQueryCrm(Crm):
    """A CRM whose warehouse is the client's project."""

    client: EmulatedClient | RealClient | None = None

    def query(self, sql: str) -> list[dict[str, Any]]:
        assert self.client is not None
        rows = self.client.query(to_bigquery(sql), job_retry=None).result()
        # What a test asks is no job of ours.
        self.client.requests.pop()
        return [told(row) for row in rows]

    def load(self, leads: Iterable[Mapping[str, Any]] = (), deals: Iterable[Mapping[str, Any]] = ()) -> None:
        if self.client is None:
            return
        for name, columns, rows in (("leads", LEAD, leads), ("deals", DEAL, deals)):
            kinds = {column: BIGQUERY.get(KINDS.get(column, ""), "STRING") for column in columns}
            schema = pa.schema([(column, ARROW[kind]) for column, kind in kinds.items()])
            put_table(self.client, Table("crm", name), kinds, pa.Table.from_pylist(list(rows), schema=schema))

    def write(self, session: Warehouse, statements: Sequence[Statement]) -> None:
        assert self.client is not None
        before = len(self.client.requests)
        super().write(session, statements)
        # Nor is what it writes.
        del self.client.requests[before:]


def crm_on_bigquery(folder: Path, client: EmulatedClient | RealClient, **settings: Any) -> BigQueryCrm:
    """An empty CRM in the client's project; otherwise as make_crm."""
    like = make_crm(folder, **settings)
    made = BigQueryCrm(folder, like.lead, like.deal, like.now, client=client)
    made.warehouse = lambda _: BigQueryWarehouse(client, PATIENCE)  # type: ignore[assignment]
    made.load()
    return made
