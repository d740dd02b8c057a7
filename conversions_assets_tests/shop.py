"""A tiny shop for rule tests: raw orders in a DuckDB file, one conversion, runs at a chosen clock. No Dagster."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from conversions_assets.adjustment.publish import Published, audit_drift, publish
from conversions_assets.adjustment.scan import Scan, scan
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.materialise import Materialised, materialise
from conversions_assets.contract.query import read_query
from conversions_assets.contract.stage import Run
from conversions_assets.project import Clock, Project, Thresholds
from conversions_assets.warehouse.base import Warehouse
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets.warehouse.raw import RawTables

ORDERS = {
    "id": "VARCHAR",
    "client_id": "VARCHAR",
    "created": "TIMESTAMPTZ",
    "value": "DOUBLE",
    "currency": "VARCHAR",
    "is_qualified": "BOOLEAN",
    "params": "STRUCT(key VARCHAR, value VARCHAR)[]",
    "user_id": "VARCHAR",
    "status": "VARCHAR",
}
UNGUARDED = Thresholds(raw_rows_fall=1)
"""Tests of other rules take rows out of tables of two or three rows."""
PARAMS_FROM_JSON = """from_json(?, '[{"key":"VARCHAR","value":"VARCHAR"}]')"""
SQL = """
SELECT id, client_id, created, value, currency, is_qualified, params, user_id
FROM shop.orders
WHERE status = 'confirmed'
  AND created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""


def order(id: str | None, created: datetime | str | None, value: float | None = 10.0, **columns: Any) -> dict[str, Any]:
    """A confirmed order; a naive time is taken as UTC."""
    if isinstance(created, str):
        created = datetime.fromisoformat(created)
    if created is not None and created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    row = dict.fromkeys(ORDERS) | {"id": id, "created": created, "value": value, "status": "confirmed"}
    return row | {"client_id": "1.2"} | columns


def _json(params: Sequence[Mapping[str, str]]) -> str:
    return json.dumps([{name.lower(): value for name, value in pair.items()} for pair in params])


@dataclass
class Shop:
    """One conversion `order` in a DuckDB file of its own.

    `now` is the clock of the next run; a run's local date r follows from it.
    """

    folder: Path
    conversion: Conversion
    now: datetime = datetime(2026, 1, 31, 6, tzinfo=UTC)
    runs: int = 0
    load: int = 0
    raw_tables: RawTables = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def open(self) -> AbstractContextManager[Warehouse]:
        """A session on the warehouse."""
        return DuckDBWarehouse(self.path)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run DuckDB SQL on the file, UTC session; rows as dictionaries."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def set_orders(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A new load: the raw table holds exactly these rows."""
        self.load += 1
        columns = ", ".join(f"{name} {kind}" for name, kind in ORDERS.items())
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
            connection.execute(f"CREATE OR REPLACE TABLE shop.orders ({columns})")
            for row in rows:
                marks = ", ".join(PARAMS_FROM_JSON if name == "params" else "?" for name in ORDERS)
                values = dict(row) | {"params": None if row["params"] is None else _json(row["params"])}
                connection.execute(f"INSERT INTO shop.orders VALUES ({marks})", [values[name] for name in ORDERS])

    def run(self, **reasons: str) -> Run:
        self.runs += 1
        clock = Clock(self.now, replaced=True)
        local_date = self.conversion.project.local_date(self.now)
        return Run(f"run-{self.runs}", clock, local_date, f"load-{self.load}", **reasons)

    def convert(self, first: date, last: date | None = None) -> Materialised:
        """One run of `conversions/order` over the days first..last."""
        with self.open() as warehouse:
            return materialise(warehouse, self.conversion, Days(first, last or first), self.run())

    def adjust(self, first: date, last: date | None = None, **reasons: str) -> Published:
        """One run of `adjusted/order` over the days first..last; `conversions/order` must have covered them.

        Args:
            reasons: `release` (R19) and `thaw` (R21), as in a run configuration.
        """
        with self.open() as warehouse:
            days, run = Days(first, last or first), self.run(**reasons)
            return publish(warehouse, self.conversion, days, run, raw_tables=self.raw_tables)

    def update(self, first: date, last: date | None = None, **reasons: str) -> Published:
        """Both assets over the days, as one Dagster run does."""
        self.convert(first, last)
        return self.adjust(first, last, **reasons)

    def audit(self) -> Published | None:
        """The job drift_audit."""
        with self.open() as warehouse:
            return audit_drift(warehouse, self.conversion, self.run())

    def scan(self) -> Scan | None:
        """The comparison of the job scan."""
        with self.open() as warehouse:
            return scan(warehouse, self.conversion, self.run())

    def stored(self) -> list[dict[str, Any]]:
        return self.query('SELECT * FROM conversions."order" ORDER BY day, id')

    def quarantine(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM conversions.order_quarantine ORDER BY day, id")

    def published(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.query('SELECT * FROM adjusted."order"')}

    def ledger(self, id: str | None = None) -> list[dict[str, Any]]:
        rows = self.query("SELECT * FROM adjusted.order_changes ORDER BY id, version")
        return [row for row in rows if id is None or row["id"] == id]

    def drift(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM adjusted.order_drift ORDER BY id, kind, field")

    def configure(self, **changes: Any) -> None:
        """Change the conversion's settings (window_days, dedup, start_date, project …)."""
        self.conversion = replace(self.conversion, **changes)

    def write_sql(self, sql: str) -> None:
        """Change the conversion's SQL."""
        file = self.folder / "order.sql"
        file.write_text(sql, encoding="utf-8")
        self.configure(query=read_query(file))


def make_shop(folder: Path, sql: str = SQL, window_days: int = 10, project: Project | None = None) -> Shop:
    """An empty shop; the project is in UTC and EUR, and its guard lets tiny tables shrink, unless another is given."""
    file = folder / "order.sql"
    file.write_text(sql, encoding="utf-8")
    project = project or Project(timezone="UTC", currency="EUR", thresholds=UNGUARDED)
    conversion = Conversion("order", read_query(file), date(2025, 1, 1), window_days, "earliest", project)
    shop = Shop(folder, conversion)
    shop.set_orders([])
    return shop


def day(text: str) -> date:
    """A date from MM-DD of 2026 or from an ISO date."""
    return date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def days_before(r: date, days: int) -> date:
    return r - timedelta(days=days)


__all__: Sequence[str] = ("ORDERS", "SQL", "Shop", "day", "days_before", "make_shop", "order")
