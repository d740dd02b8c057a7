"""A UK online shop's real year (../shared/data/online_retail.parquet), loaded day by day and run by the sensors.

Orders lose value when their customer cancels pieces later, or vanish: real late changes with their real delays. What
the product publishes is held against `Truth`, which computes the same in pandas, piece by piece, without the product.
"""

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from shutil import copy
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pandas as pd
import pytest

from conversions_assets.adjustment.publish import publish
from conversions_assets.adjustment.scan import scan
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.materialise import materialise
from conversions_assets.contract.query import read_query
from conversions_assets.contract.stage import Run
from conversions_assets.definitions import build_definitions
from conversions_assets.project import Clock, load_project
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets_tests.automation.world import World

DATA = Path(__file__).parents[3] / "shared" / "data" / "online_retail.parquet"
SQL = Path(__file__).with_name("online_retail.sql")
LONDON = ZoneInfo("Europe/London")
FIRST_DAY = date(2010, 12, 1)
SOAK = bool(os.environ.get("CONVERSIONS_SOAK"))
LOADS = [date(2011, 3, 1) + timedelta(days=n) for n in range(282 if SOAK else 36)]
EVERY = 1 if SOAK else 6
"""Every so many loads go through the sensors and Dagster's runs; `make soak-retail` sends each of the year."""
W = timedelta(days=30)
ONE_DAY = timedelta(days=1)

PROJECT = {
    "pyproject.toml": """
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "retail_deployment"
""",
    "project.yaml": "timezone: Europe/London\ncurrency: GBP\n",
    "retail_deployment/__init__.py": "",
    "retail_deployment/defs/__init__.py": "",
    "retail_deployment/defs/crm/retail/defs.yaml": """
type: conversions_assets.components.CrmTables
attributes:
  dataset: retail
  tables:
    lines:
      description: Lines of invoices; the numbers of cancellations begin with C. Times are UK local, without a zone.
      load_id: loads.load_id
""",
    "retail_deployment/defs/conversions/order/defs.yaml": f"""
type: conversions_assets.components.CustomConversion
attributes:
  query: order.sql
  start_date: "{FIRST_DAY}"
  adjustment_window_days: {W.days}
""",
}


class Truth:
    """What the raw lines say, computed in pandas; `worth` knows it for any load of the past."""

    def __init__(self, lines: pd.DataFrame) -> None:
        by_invoice = lines.groupby("InvoiceNo")
        invoices = by_invoice.agg(
            at=("InvoiceDate", "min"), customer=("CustomerID", "first"), country=("Country", "first")
        )
        self.orders = invoices[~invoices.index.str.startswith("C")].copy()
        self.orders["day"] = self.orders["at"].dt.date
        pieces = lines[(lines["Quantity"] > 0) | lines["InvoiceNo"].str.startswith("C")]
        pieces = pieces.assign(mills=pieces["Quantity"] * (pieces["UnitPrice"] * 1000).round().astype("int64"))
        items = pieces.groupby(["InvoiceNo", "StockCode"], as_index=False).agg(
            q=("Quantity", "sum"), mills=("mills", "sum")
        )
        self.items = items[items["q"] > 0].set_index(["InvoiceNo", "StockCode"])
        self.taken = _cancelled(items.join(invoices, on="InvoiceNo"))

    def worth(self, load: pd.Series) -> pd.Series:
        """InvoiceNo -> value in pounds, as the load of a date of its own knew each order."""
        midnight = pd.to_datetime(load).rename("midnight")
        known = self.taken.join(midnight, on="InvoiceNo", how="inner")
        known = known[known["at"] < known["midnight"]]
        items = self.items.copy()
        items["left"] = (
            items["q"].sub(known.groupby(["InvoiceNo", "StockCode"])["taken"].sum(), fill_value=0).astype("int64")
        )
        items["pence"] = (2 * items["mills"] * items["left"] + 10 * items["q"]) // (20 * items["q"])
        return items.groupby("InvoiceNo")["pence"].sum().reindex(load.index, fill_value=0) / 100

    @cached_property
    def expected(self) -> pd.DataFrame:
        """Per published order its value at its first load, at the last inside its window, and at the last of all."""
        orders = self.orders[self.orders["day"] < LOADS[-1]].copy()
        first = orders["day"].map(lambda day: max(day + ONE_DAY, LOADS[0]))
        orders["first_value"] = self.worth(first)
        orders["value"] = self.worth(orders["day"].map(lambda day: min(day + W, LOADS[-1])).combine(first, max))
        orders["crm_value"] = self.worth(pd.Series(LOADS[-1], orders.index))
        return orders[orders["first_value"] > 0]


def _cancelled(moves: pd.DataFrame) -> pd.DataFrame:
    """Play the stacks: one row per cancellation and order that it takes pieces from."""
    taken = []
    moves = moves[moves["customer"].notna()].assign(cancels=lambda m: m["q"] < 0)
    with_cancellations = moves.groupby(["customer", "StockCode"])["cancels"].transform("any")
    stacks: dict[tuple[float, str], list[list[Any]]] = defaultdict(list)
    for move in moves[with_cancellations].sort_values(["at", "cancels", "InvoiceNo"]).itertuples():
        stack, wanted = stacks[move.customer, move.StockCode], -move.q
        if move.q > 0:
            stack.append([move.InvoiceNo, move.q])
        while wanted > 0 and stack:
            pieces = min(wanted, stack[-1][1])
            taken.append((stack[-1][0], move.StockCode, move.at, pieces))
            stack[-1][1] -= pieces
            wanted -= pieces
            if not stack[-1][1]:
                stack.pop()
    return pd.DataFrame(taken, columns=["InvoiceNo", "StockCode", "at", "taken"])


@dataclass
class Deployment:
    """A project folder with its warehouse, and what its runs left."""

    folder: Path
    added_by_second_loads: list[str] = field(default_factory=list)
    reruns: int = 0
    _loaded: tuple[str, dg.Definitions] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def package(self) -> Path:
        return self.folder / "retail_deployment"

    def play(self, instance: dg.DagsterInstance, environment: pytest.MonkeyPatch) -> None:
        """All loads, each scanned and its changed days rerun: some by the sensors, others by the functions behind
        them; after each of the first kind the same load once more. Then the drift audit."""
        world = World(self, instance)
        for number, load in enumerate(LOADS):
            environment.setenv("CONVERSIONS_NOW", _now(load).isoformat())
            self._load(load, load.isoformat())
            if load == LOADS[0]:
                self._run(f"first {load}", load, Days(FIRST_DAY, load - ONE_DAY))
            if number % EVERY:
                self._scan_and_run(load)
                continue
            self.reruns += len(world.settle())
            before = self._contents()
            self._load(load, f"{load} again")
            for request in world.scan():
                self.added_by_second_loads.append(f"{load}: {request.run_key}")
            if self._contents() != before:
                self.added_by_second_loads.append(f"{load}: {before} became {self._contents()}")
        audit = self.load().resolve_job_def("drift_audit")
        assert audit.execute_in_process(instance=instance).success

    def load(self) -> dg.Definitions:
        """The definitions at the clock of the load."""
        now = os.environ["CONVERSIONS_NOW"]
        if self._loaded is None or self._loaded[0] != now:
            self._loaded = now, build_definitions(self.package)
        return self._loaded[1]

    def read(self, table: str) -> pd.DataFrame:
        """A table of the warehouse, times in UTC."""
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.table(table).df()

    def _load(self, load: date, name: str) -> None:
        """Play the loader: the lines of the days since the load before, in the place of those that are there."""
        since = FIRST_DAY if load == LOADS[0] else load - ONE_DAY
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS retail")
            connection.execute("CREATE OR REPLACE TABLE retail.loads AS SELECT ? AS load_id", [name])
            lines = "SELECT * REPLACE (CAST(InvoiceDate AS TIMESTAMP) AS InvoiceDate) FROM read_parquet($file)"
            connection.execute(f"CREATE TABLE IF NOT EXISTS retail.lines AS {lines} LIMIT 0", {"file": str(DATA)})
            days = {"since": since, "load": load}
            connection.execute("DELETE FROM retail.lines WHERE InvoiceDate >= $since AND InvoiceDate < $load", days)
            arriving = f"{lines} WHERE InvoiceDate >= $since AND InvoiceDate < $load"
            connection.execute(f"INSERT INTO retail.lines {arriving}", {"file": str(DATA), **days})

    def _scan_and_run(self, load: date) -> None:
        with DuckDBWarehouse(self.file) as warehouse:
            found = scan(warehouse, self._conversion, self._clock(f"scan {load}", load))
        assert found is not None
        assert not found.publish
        for days in found.convert:
            self._run(f"load {load}", load, days)

    def _run(self, name: str, load: date, days: Days) -> None:
        """Both stations through the functions that the assets call, without Dagster."""
        run = self._clock(name, load)
        with DuckDBWarehouse(self.file) as warehouse:
            materialise(warehouse, self._conversion, days, run)
            publish(warehouse, self._conversion, days, run)

    @property
    def _conversion(self) -> Conversion:
        query = read_query(self.package / "defs/conversions/order/order.sql")
        return Conversion("order", query, FIRST_DAY, W.days, "earliest", load_project())

    @staticmethod
    def _clock(name: str, load: date) -> Run:
        return Run(name, Clock(_now(load), replaced=True), load, load.isoformat())

    def _contents(self) -> list[tuple[Any, ...]]:
        """Rows and fingerprint of each table."""
        tables = ("conversions.order", "adjusted.order", "adjusted.order_changes", "adjusted.order_drift")
        sql = "SELECT $table, count(*), bit_xor(hash(t)) FROM query_table($table) AS t"
        with duckdb.connect(str(self.file)) as connection:
            return [row for table in tables for row in connection.execute(sql, {"table": table}).fetchall()]


def _now(load: date) -> datetime:
    return datetime.combine(load, time(5), LONDON).astimezone(UTC)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """All loads, played once for the tests of this file."""
    if not DATA.exists():
        assert not os.environ.get("CONVERSIONS_REQUIRE_SHARED"), (
            f"CONVERSIONS_REQUIRE_SHARED is set and {DATA} is missing"
        )
        pytest.skip(f"{DATA} is missing")
    played = Deployment(tmp_path_factory.mktemp("online_retail"))
    for name, text in PROJECT.items():
        (played.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (played.folder / name).write_text(text, encoding="utf-8")
    copy(SQL, played.package / "defs/conversions/order/order.sql")
    with pytest.MonkeyPatch.context() as environment:
        environment.syspath_prepend(str(played.folder))
        environment.setenv("CONVERSIONS_CACHE", str(played.folder / "cache"))
        environment.setenv("CONVERSIONS_DUCKDB_PATH", str(played.file))
        environment.setenv("CONVERSIONS_PROJECT_FILE", str(played.folder / "project.yaml"))
        # Dagster's event log in memory: its SQLite files take 7 ms for each of 11,000 events, and wait for the disk.
        with dg.DagsterInstance.ephemeral() as instance:
            played.play(instance, environment)
    return played


@pytest.fixture(scope="module")
def truth(deployment: Deployment) -> Truth:
    lines = pd.read_parquet(DATA)
    return Truth(lines[lines["InvoiceDate"] < pd.Timestamp(LOADS[-1])])


@pytest.fixture(scope="module")
def published(deployment: Deployment) -> pd.DataFrame:
    return deployment.read('adjusted."order"').set_index("id").sort_index()


@pytest.fixture(scope="module")
def ledger(deployment: Deployment) -> pd.DataFrame:
    return deployment.read("adjusted.order_changes").sort_values(["id", "version"])


@pytest.fixture(scope="module")
def drift(deployment: Deployment) -> pd.DataFrame:
    return deployment.read("adjusted.order_drift").set_index("id").sort_index()


def test_each_order_is_published_as_the_last_load_inside_its_window_knew_it(
    published: pd.DataFrame, truth: Truth
) -> None:
    expected = truth.expected
    vanished = expected["value"] <= 0
    assert list(published.index) == sorted(expected.index)
    assert vanished.sum() > 0
    wanted = pd.DataFrame(
        {
            "day": pd.to_datetime(expected["day"]),
            "created": expected["at"].dt.tz_localize(LONDON).dt.tz_convert("UTC"),
            "value": expected["value"].where(~vanished, 0.0),
            "currency": "GBP",
            "user_id": expected["customer"].map("{:.0f}".format, na_action="ignore"),
            "status": vanished.map({True: "RETRACTED", False: "ACTIVE"}),
            "original_value": expected["first_value"],
            "country": expected["country"],
        }
    ).sort_index()
    found = published.assign(
        country=published["params"].map(lambda params: {p["key"]: p["value"] for p in params}["country"])
    )
    pd.testing.assert_frame_equal(found[list(wanted)], wanted, check_dtype=False, check_names=False, check_exact=True)


def test_replaying_the_ledger_gives_the_published_table(published: pd.DataFrame, ledger: pd.DataFrame) -> None:
    newest = ledger.groupby("id").tail(1).set_index("id")["after"].map(json.loads)
    table = {row["id"]: row for row in published.reset_index().to_dict("records")}
    assert set(newest.index) == set(table)
    for id, replayed in newest.items():
        assert replayed == {name: _as_json(value) for name, value in table[id].items()}, id
    before = ledger.groupby("id")["after"].shift()
    assert ledger["before"].fillna("").eq(before.fillna("")).all()


def _as_json(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value.tzinfo else value.date().isoformat()
    if pd.api.types.is_list_like(value):
        return [dict(item) for item in value]
    return None if pd.isna(value) else value


def test_a_load_that_comes_twice_adds_nothing(deployment: Deployment) -> None:
    assert deployment.reruns > len(LOADS) / EVERY / 2  # else it says nothing
    assert deployment.added_by_second_loads == []


def test_frozen_days_keep_what_was_published_and_the_drift_report_lists_the_rest(
    published: pd.DataFrame, ledger: pd.DataFrame, drift: pd.DataFrame, truth: Truth
) -> None:
    run_dates = ledger["changed_at"].dt.tz_convert(LONDON).dt.tz_localize(None).dt.normalize()
    outside_window = run_dates - ledger["day_after"] > W
    assert set(ledger[outside_window]["reason"]) == {"PUBLISHED"}
    assert set(run_dates[outside_window].dt.date) == {LOADS[0]}
    expected = truth.expected
    late = expected[expected["value"] != expected["crm_value"]]
    assert len(late) > 0
    assert (late["day"] < LOADS[-1] - W).all()
    wanted = pd.DataFrame(
        {
            "day": pd.to_datetime(late["day"]),
            "kind": (late["crm_value"] <= 0).map({True: "VANISHED", False: "VALUE"}),
            "field": "value",
            "value_delta": late["crm_value"] - late["value"],
            "currency": "GBP",
        }
    ).sort_index()
    pd.testing.assert_frame_equal(drift[list(wanted)], wanted, check_dtype=False, check_names=False)
    assert (drift["frozen_value"].astype(float) == published.loc[drift.index, "value"]).all()


def test_what_is_published_and_the_drift_sum_up_to_the_whole_data(
    published: pd.DataFrame, ledger: pd.DataFrame, drift: pd.DataFrame, truth: Truth
) -> None:
    whole = truth.worth(pd.Series(LOADS[-1], truth.orders.index)).clip(lower=0).sum()
    reasons = ledger["reason"].value_counts()
    print(
        f"\nonline retail: {len(LOADS)} loads, {LOADS[0]} to {LOADS[-1]}, W = {W.days}"
        f"\norders published: {len(published):,}; ledger: {', '.join(f'{r} {n:,}' for r, n in reasons.items())}"
        f"\nretracted: {(published['status'] == 'RETRACTED').sum()}; frozen differences: {len(drift)}"
        f" ({', '.join(f'{kind} {n}' for kind, n in drift['kind'].value_counts().items())})"
        f"\npublished {published['value'].sum():,.2f} GBP + drift {drift['value_delta'].sum():,.2f} GBP"
        f" = {published['value'].sum() + drift['value_delta'].sum():,.2f} GBP; the whole data gives {whole:,.2f} GBP"
    )
    assert published["value"].sum() + drift["value_delta"].sum() == pytest.approx(whole, abs=0.005)
