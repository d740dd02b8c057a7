"""A CRM of leads and deals for tests of the predicted value: raw tables in a DuckDB file, runs at a chosen clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from conversions_assets.adjustment.columns import PUBLISHED, PUBLISHED_DAYS
from conversions_assets.adjustment.publish import Published, publish
from conversions_assets.adjustment.scan import Scan, scan
from conversions_assets.contract.conversion import Conversion, Days, PredictedValue
from conversions_assets.contract.materialise import create_tables as create_conversion_tables
from conversions_assets.contract.materialise import materialise
from conversions_assets.contract.query import read_query
from conversions_assets.contract.stage import Run
from conversions_assets.prediction.fit import Fitted, fit_model
from conversions_assets.prediction.score import Scored, predict_days
from conversions_assets.project import Clock, Project, Thresholds
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets.warehouse.script import bind

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW_AFTER = timedelta(days=100, hours=6)
LEAD_SQL = """
SELECT id, '1.2' AS client_id, created, {value} is_qualified, user_id,
  [STRUCT('source' AS key, source AS value), STRUCT('country', country), STRUCT('size', size), STRUCT('note', note)]
    AS params
FROM crm.leads
WHERE created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""
DEAL_SQL = """
SELECT id, '1.2' AS client_id, created, value, currency, is_qualified, user_id
FROM crm.deals
WHERE status = 'won' AND created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""
LEAD = {
    "id": None,
    "created": START,
    "user_id": None,
    "is_qualified": None,
    "value": None,
    "currency": None,
    "source": None,
    "country": None,
    "size": None,
    "note": None,
}
DEAL = {
    "id": None,
    "created": START,
    "user_id": None,
    "is_qualified": None,
    "value": None,
    "currency": "EUR",
    "status": "won",
}
KINDS = {"created": "TIMESTAMPTZ", "is_qualified": "BOOLEAN", "value": "DOUBLE"}


def lead(id: str, days: float = 0.0, **columns: Any) -> dict[str, Any]:
    """A lead `days` times 24 hours after START; its user_id is its id unless one is given."""
    return LEAD | {"id": id, "created": START + timedelta(days=days), "user_id": id} | columns


def deal(id: str, days: float, value: float | None = 100.0, **columns: Any) -> dict[str, Any]:
    """A won deal `days` times 24 hours after START; its user_id is its id unless one is given."""
    return DEAL | {"id": id, "created": START + timedelta(days=days), "user_id": id, "value": value} | columns


def simulated(
    leads_a_day: int, days: int, seed: int, rate: float = 0.2, delay_days: float = 12.0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Leads and their deals: `ads` leads become deals three times as often as `mail` leads, large firms pay more."""
    random = np.random.default_rng(seed)
    leads, deals = [], []
    for n in range(leads_a_day * days):
        at = n / leads_a_day
        source = ("ads", "mail", "fair")[random.integers(3)]
        size = int(random.integers(1, 200))
        leads.append(
            lead(f"l{n}", at, source=source, country=("DE", "FR")[random.integers(2)], size=str(size), note=f"note {n}")
        )
        if random.random() < rate * {"ads": 1.5, "mail": 0.5, "fair": 1.0}[source]:
            after = float(random.exponential(delay_days)) + 0.01
            deals.append(
                deal(f"d{n}", at + after, round(float(np.exp(random.normal(4, 0.5))) + size, 2), user_id=f"l{n}")
            )
    return leads, deals


@dataclass
class Crm:
    """The conversions `lead` (predicted) and `deal` (its target) in a DuckDB file.

    `now` is the clock of the next run.
    """

    folder: Path
    lead: Conversion
    deal: Conversion
    now: datetime = START + NOW_AFTER
    runs: int = 0
    warehouse: type[DuckDBWarehouse] = field(default=DuckDBWarehouse)

    @property
    def path(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def today(self) -> date:
        return self.lead.project.local_date(self.now)

    def at(self, days: float) -> "Crm":
        """Set the clock to so many days after START."""
        self.now = START + timedelta(days=days)
        return self

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run DuckDB SQL on the file, UTC session; rows as dictionaries."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def load(self, leads: Iterable[Mapping[str, Any]] = (), deals: Iterable[Mapping[str, Any]] = ()) -> None:
        """A new load: the raw tables hold exactly these rows."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE SCHEMA IF NOT EXISTS crm")
            for table, columns, rows in (("leads", LEAD, list(leads)), ("deals", DEAL, list(deals))):
                frame = pd.DataFrame(rows, columns=list(columns)).astype(object)  # noqa: F841 (DuckDB reads it)
                casts = ", ".join(f"{name}::{KINDS.get(name, 'VARCHAR')} AS {name}" for name in columns)
                connection.execute(f"CREATE OR REPLACE TABLE crm.{table} AS SELECT {casts} FROM frame")

    def place(self, leads: Iterable[Mapping[str, Any]] = (), deals: Iterable[Mapping[str, Any]] = ()) -> None:
        """What a load of these rows leaves in `conversions.lead` and `adjusted.deal` up to yesterday, without the runs.

        A deal's value in the project's currency is there for EUR only.
        """
        self.load(leads, deals)
        with self.warehouse(self.path) as session:
            create_conversion_tables(session, self.lead)
            session.create_table(self.deal.published, PUBLISHED)
            session.create_table(self.deal.published_days, PUBLISHED_DAYS, by_day=False)
            self.write(session, bind(Path(__file__).with_name("place.sql"), {}, asdict(self.days())))

    def write(self, session: Warehouse, statements: Sequence[Statement]) -> None:
        """Put rows of the test's own into our tables."""
        session.execute(statements)

    def run(self) -> Run:
        self.runs += 1
        return Run(f"run-{self.runs}", Clock(self.now, replaced=True), self.today, f"load-{self.runs}")

    def days(self, first: date | None = None, last: date | None = None) -> Days:
        """By default all closed days."""
        return Days(first or self.lead.start_date, last or self.today - timedelta(days=1))

    def publish_deals(self, first: date | None = None, last: date | None = None) -> Published:
        """Both assets of the target."""
        with self.warehouse(self.path) as session:
            materialise(session, self.deal, self.days(first, last), self.run())
            return publish(session, self.deal, self.days(first, last), self.run())

    def convert(self, first: date | None = None, last: date | None = None) -> None:
        """`conversions/lead`."""
        with self.warehouse(self.path) as session:
            materialise(session, self.lead, self.days(first, last), self.run())

    def fit(self) -> Fitted:
        """`models/lead`."""
        with self.warehouse(self.path) as session:
            return fit_model(session, self.lead, self.run())

    def predict(self, first: date | None = None, last: date | None = None) -> Scored:
        """`predicted/lead`."""
        with self.warehouse(self.path) as session:
            return predict_days(session, self.lead, self.days(first, last), self.run())

    def publish_leads(self, first: date | None = None, last: date | None = None) -> Published:
        """`adjusted/lead`."""
        with self.warehouse(self.path) as session:
            return publish(session, self.lead, self.days(first, last), self.run())

    def score(self, first: date | None = None, last: date | None = None) -> Scored:
        """`conversions/lead` and `predicted/lead`."""
        self.convert(first, last)
        return self.predict(first, last)

    def scan(self) -> Scan | None:
        with self.warehouse(self.path) as session:
            return scan(session, self.lead, self.run())

    def scores(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.query("SELECT * FROM predicted.lead")}

    def published(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.query("SELECT * FROM adjusted.lead")}

    def ledger(self, id: str | None = None) -> list[dict[str, Any]]:
        rows = self.query("SELECT * FROM adjusted.lead_changes ORDER BY id, version")
        return [row for row in rows if id is None or row["id"] == id]

    def configure(self, **changes: Any) -> None:
        """Change `predicted_value` (target, window_days, link, include, exclude, lookback_days)."""
        assert self.lead.predicted is not None
        self.lead = replace(self.lead, predicted=replace(self.lead.predicted, **changes))


def make_crm(
    folder: Path, window_days: int = 30, value: str = "", now: datetime = START + NOW_AFTER, **predicted: Any
) -> Crm:
    """An empty CRM in UTC and EUR; `value` puts columns into the leads' SQL: 'value, currency,'."""
    project = Project(timezone="UTC", currency="EUR", thresholds=Thresholds(raw_rows_fall=1, vanished_rows=10**6))
    conversions = []
    for name, sql in (("lead", LEAD_SQL.format(value=value)), ("deal", DEAL_SQL)):
        file = folder / f"{name}.sql"
        file.write_text(sql, encoding="utf-8")
        settings = PredictedValue(**({"target": "deal"} | predicted)) if name == "lead" else None
        conversions.append(Conversion(name, read_query(file), START.date(), window_days, "earliest", project, settings))
    crm = Crm(folder, *conversions, now)
    crm.load()
    return crm


__all__: Sequence[str] = ("START", "Crm", "deal", "lead", "make_crm", "simulated")
