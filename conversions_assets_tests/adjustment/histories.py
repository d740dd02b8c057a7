"""Random histories of a CRM and of the runs over it: after each step the product holds what the model of R12-R24 says.

`History` is a state machine of Hypothesis: a history that fails is printed as the code of a test.
"""

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from conversions_assets.adjustment.guard import IncompleteLoadError
from conversions_assets.adjustment.publish import audit_drift, publish
from conversions_assets.adjustment.scan import scan
from conversions_assets.automation.loads import read_loads, scan_states
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.materialise import materialise
from conversions_assets.contract.query import Query, read_query
from conversions_assets.contract.stage import Run
from conversions_assets.project import Clock, Project, Thresholds
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable
from conversions_assets_tests.adjustment.memory import Killed, MemoryWarehouse, memory_warehouse
from conversions_assets_tests.adjustment.model import ONE_DAY, Load, Model, Row, as_text, replayed

IDS = "abcde"
OLDEST = 12
"""Days before r on which orders are placed at most; the conversion starts a little earlier, so none lies before it."""
# Local dates r at which histories begin: days of 23 and 25 hours lie in their windows; Santiago's begins at 1:00.
BEGINNINGS = (
    ("UTC", date(2026, 1, 20)),
    ("Europe/Berlin", date(2026, 3, 30)),
    ("Europe/Berlin", date(2026, 10, 27)),
    ("America/New_York", date(2026, 3, 10)),
    ("America/New_York", date(2026, 11, 2)),
    ("America/Santiago", date(2026, 9, 8)),
)
TIMES = (time(0), time(2, 30), time(9), time(23, 59, 59, 999_999))
GUARD = (0.2, 0.2, 2)
ORDERS = Table("shop", "orders")
RAW_TABLES = {ORDERS: RawTable(ORDERS, deleted="is_deleted", load_id="loads.id", complete="complete")}
COLUMNS = {
    "id": "VARCHAR",
    "client_id": "VARCHAR",
    "created": "TIMESTAMPTZ",
    "value": "DOUBLE",
    "currency": "VARCHAR",
    "is_qualified": "BOOLEAN",
    "status": "VARCHAR",
    "is_deleted": "BOOLEAN",
}
SQL = """
SELECT id, client_id, created, {value} AS value, currency, is_qualified
FROM shop.orders
WHERE {condition} AND NOT is_deleted
  AND DATE(created) BETWEEN @start_date AND @end_date
"""
QUERIES = {
    "confirmed": SQL.format(value="value", condition="status = 'confirmed'"),
    "doubled": SQL.format(value="2 * value", condition="status IN ('confirmed', 'cancelled')"),
}
COMPARED = (
    *("id", "client_id", "created", "value", "currency", "is_qualified", "day", "status", "adjustment_type"),
    *("adjustment_reason", "original_value", "previous_value", "previous_currency", "adjustment_count"),
)
LEDGER = ("id", "version", "reason", "day_before", "day_after", "value_delta")
DRIFT = ("id", "day", "kind", "field", "frozen_value", "crm_value", "value_delta", "currency")

# Days are told as days before r: 0 is the open day, -1 lies after it. Few of them, so that moves meet.
placed = st.tuples(st.integers(-1, OLDEST) | st.integers(1, 4), st.integers(0, len(TIMES) - 1))
edits = st.one_of(
    st.tuples(st.just("insert"), placed),
    st.tuples(st.just("move"), placed),
    st.tuples(st.just("again on"), placed),
    st.tuples(st.just("once"), st.none()),
    st.tuples(st.just("value"), st.sampled_from([10.0, 25.0, None])),
    st.tuples(st.just("currency"), st.sampled_from(["EUR", "USD", "???", "???"])),
    st.tuples(st.just("is_qualified"), st.sampled_from([None, True])),
    st.tuples(st.just("client_id"), st.sampled_from(["1.2", "3.4"])),
    st.tuples(st.just("status"), st.sampled_from(["confirmed", "cancelled"])),
    st.tuples(st.just("is_deleted"), st.sampled_from([False, True])),
    st.tuples(st.just("erase"), st.none()),
)
changes = st.lists(st.tuples(st.sampled_from(IDS), edits), min_size=3, max_size=8)
# A load, days after the last one; of a partial one, only so many rows arrive.
arrivals = st.none() | st.fixed_dictionaries(
    {
        "days": st.integers(0, 4),
        "hour": st.sampled_from([6, 0, 12, 23]),
        "edits": changes,
        "rows": st.integers(-5, 3).map(lambda n: None if n < 0 else n),
        "complete": st.sampled_from([True, True, True, False]),
    }
)
Arrival = dict[str, Any] | None
# None: nothing kills the run. A run has about 60 points at which it can be.
killed_at = st.integers(0, 210).map(lambda n: n - 140 if n >= 140 else None)


def doubled(row: Row) -> Row | None:
    """The query "doubled" in Python."""
    value = None if row["value"] is None else 2 * row["value"]
    return None if row["is_deleted"] else {**row, "value": value}


def confirmed(row: Row) -> Row | None:
    """The query "confirmed" in Python."""
    return row if row["status"] == "confirmed" and not row["is_deleted"] else None


@cache
def warehouse() -> MemoryWarehouse:
    """One warehouse for all histories of a process, with the raw tables."""
    session = _OPEN.enter_context(memory_warehouse())
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    session.run_sql(f"CREATE SCHEMA shop; CREATE TABLE shop.orders ({columns})")
    session.run_sql("CREATE TABLE shop.loads (id VARCHAR, complete BOOLEAN)")
    return session


def close() -> None:
    """Give up the warehouse and what runs on it leave out: other tests run whole."""
    _OPEN.close()
    warehouse.cache_clear()
    queries.cache_clear()


@cache
def queries() -> dict[str, Query]:
    """The SQL that a history changes between (R31)."""
    folder = Path(_OPEN.enter_context(tempfile.TemporaryDirectory()))
    for name, sql in QUERIES.items():
        (folder / f"{name}.sql").write_text(sql, encoding="utf-8")
    return {name: read_query(folder / f"{name}.sql") for name in QUERIES}


_OPEN = ExitStack()


class History(RuleBasedStateMachine):
    """A CRM, the runs over it, and beside them the model.

    Attributes:
        seen: what happened in all histories of the process, for the soak's summary.
    """

    seen: ClassVar[Counter[str]] = Counter()

    @initialize(
        beginning=st.sampled_from(BEGINNINGS),
        window=st.sampled_from([10, 3, 3, 0]),
        dedup=st.sampled_from(["earliest", "latest"]),
        days=st.lists(placed, min_size=3, max_size=len(IDS)),
        backfilled=st.integers(1, OLDEST),
    )
    def begin(
        self, beginning: tuple[str, date], window: int, dedup: str, days: list[tuple[int, int]], backfilled: int
    ) -> None:
        name, r = beginning
        self.warehouse = warehouse()
        self.warehouse.forget()
        self.zone, self.now = ZoneInfo(name), datetime.combine(r, time(6), ZoneInfo(name)).astimezone(UTC)
        limits = dict(zip(("raw_rows_fall", "vanished_share", "vanished_rows"), GUARD, strict=True))
        project = Project(timezone=name, currency="EUR", thresholds=Thresholds(**limits))
        start = r - timedelta(days=OLDEST + 3)
        self.conversion = Conversion("order", queries()["confirmed"], start, window, dedup, project)  # type: ignore[arg-type]
        self.model = Model(dedup == "latest", self.zone, GUARD)
        self.crm: dict[str, list[Row]] = {}
        self.runs = self.loads = 0
        self.sensor_saw, self.scan_is_due = "", False
        self.loads_seen: dict[str, str] = {}
        self.pending: list[tuple[date, Days, bool]] = []
        self._load([(id, ("insert", place)) for id, place in zip(IDS, days, strict=False)], None, complete=True)
        self._run(Days(self.r - timedelta(days=backfilled), self.r - ONE_DAY))
        self.seen["histories"] += 1

    @property
    def r(self) -> date:
        """The local date."""
        return self.now.astimezone(self.zone).date()

    @rule(change=st.sampled_from([10, 3, 0, 20, *sorted(QUERIES)]))
    def configure(self, change: int | str) -> None:
        """R31: another W, or another SQL."""
        if isinstance(change, int):
            self.conversion = replace(self.conversion, window_days=change)
        else:
            self.conversion = replace(self.conversion, query=queries()[change])
            self.load_now: Load = replace(self.load_now, query=globals()[change], version=change)

    @rule(
        arrival=arrivals,
        last=st.integers(1, 6),
        length=st.sampled_from([16, 8, 4, 2, 1]),
        thaw=st.sampled_from([False, False, True]),
        release=st.sampled_from([False, False, True]),
        alone=st.sampled_from([False, False, True]),
        audited=st.sampled_from([False, False, True]),
        killed=killed_at,
    )
    def run(
        self,
        arrival: Arrival,
        last: int,
        length: int,
        thaw: bool,
        release: bool,
        alone: bool,
        audited: bool,
        killed: int | None,
    ) -> None:
        """A run by hand, also over frozen days; `alone`: of adjusted without conversions; then perhaps drift_audit."""
        self._receive(arrival)
        final = self.r - timedelta(days=last)
        days = Days(max(final - timedelta(days=length - 1), self.conversion.start_date), final)
        if alone and not set(days.all()) <= self.model.stored.keys():
            return
        self._run(days, alone=alone, thaw=thaw, release=release, killed=killed)
        if audited:
            self._audit()

    @rule(arrival=arrivals, sensor=st.sampled_from(["both", "crm_loads", "changed_days", "both"]), killed=killed_at)
    def tick(self, arrival: Arrival, sensor: str, killed: int | None) -> None:
        """The sensors: `crm_loads` and the scan that it starts, `changed_days` and the runs that it starts."""
        self._receive(arrival)
        if sensor != "changed_days":
            self._look_for_loads()
            if self.scan_is_due:
                self._scan(killed if sensor == "crm_loads" else None)
        if sensor != "crm_loads":
            asked, self.pending = self.pending, []
            for r, days, alone in asked:
                self._run(days, r=r, alone=alone, killed=killed)

    @rule(arrival=arrivals)
    def settle(self, arrival: Arrival) -> None:
        """R23: what failed, was killed or made by hand is found by the next scans; then the window is up to date."""
        self._receive(arrival)
        self.pending = []
        for _ in range(3):
            asked = self._scan()
            if not asked:
                break
            for r, days, alone in asked:
                if not self._run(days, r=r, alone=alone):
                    return
        assert not self.pending, f"the third scan still asks for {self.pending}"
        self.seen["settled"] += 1

    def _audit(self) -> None:
        """The job drift_audit."""
        self.seen["audits"] += 1
        self.warehouse.start_run()
        audit_drift(self.warehouse, self.conversion, self._new_run(self.r))
        self.model.audit(self.load_now, self.now, self.r, self.conversion.window_days)
        self._compare("audit")

    def _receive(self, arrival: Arrival) -> None:
        if arrival:
            then = datetime.combine(self.r + timedelta(days=arrival["days"]), time(arrival["hour"], 50), self.zone)
            self.now = max(then.astimezone(UTC), self.now + timedelta(minutes=1))
            self._load(arrival["edits"], arrival["rows"], arrival["complete"])

    def _load(self, edits: list[tuple[str, Any]], rows: int | None, complete: bool) -> None:
        for id, (what, argument) in edits:
            self.crm[id] = self._edited(self.crm.get(id, []), id, what, argument)
        self.loads += 1
        arrived = [row for id in sorted(self.crm) for row in self.crm[id]][:rows]
        self.warehouse.start_run()
        self.warehouse.run_sql("DELETE FROM shop.orders; DELETE FROM shop.loads")
        self.warehouse.run_sql("INSERT INTO shop.loads VALUES (?, ?)", [(f"{self.loads:04}", complete)])
        marks = ", ".join("?" for _ in COLUMNS)
        self.warehouse.run_sql(
            f"INSERT INTO shop.orders VALUES ({marks})", [[row[name] for name in COLUMNS] for row in arrived]
        )
        version = "confirmed" if self.conversion.query is queries()["confirmed"] else "doubled"
        self.load_now = Load(arrived, globals()[version], version, complete)

    def _edited(self, rows: list[Row], id: str, what: str, argument: Any) -> list[Row]:
        """The rows of one id after an edit in the CRM: none, one, or two at different times."""
        match what:
            case "insert":
                order = {"currency": "EUR", "is_qualified": None, "status": "confirmed", "is_deleted": False}
                new = {"id": id, "client_id": "1.2", "created": self._at(*argument), "value": 10.0, **order}
                return rows or [new]
            case "move":
                return [{**row, "created": self._at(*argument)} for row in rows[:1]]
            case "again on":
                again = [{**row, "created": self._at(*argument), "value": 40.0} for row in rows[:1]]
                return rows[:1] + [row for row in again if row["created"] != rows[0]["created"]]
            case "once":
                return rows[-1:]
            case "erase":
                return []
            case _:
                return [{**row, what: argument} for row in rows]

    def _at(self, days: int, at: int) -> datetime:
        return datetime.combine(self.r - timedelta(days=days), TIMES[at], self.zone).astimezone(UTC)

    def _new_run(self, r: date, **reasons: str | None) -> Run:
        self.runs += 1
        return Run(f"run-{self.runs}", Clock(self.now, replaced=True), r, f"{self.loads:04}", **reasons)

    def _run(
        self,
        days: Days,
        r: date | None = None,
        alone: bool = False,
        thaw: bool = False,
        release: bool = False,
        killed: int | None = None,
    ) -> bool:
        """Both assets over the days, in the product and in the model; False where it stopped or was killed."""
        reasons = {"thaw": "a reason" if thaw else None, "release": "gone" if release else None}
        run = self._new_run(r or self.r, **reasons)
        self.warehouse.start_run(killed)
        stopped = dead = False
        try:
            if not alone:
                materialise(self.warehouse, self.conversion, days, run)
            publish(self.warehouse, self.conversion, days, run, raw_tables=RAW_TABLES)
        except IncompleteLoadError:
            stopped = True
        except Killed:
            dead = True
        # R12: each of the two transactions is there whole or not at all.
        commits = self.warehouse.commits
        if not alone and commits:
            self.model.convert(self.load_now, self.now, days.first, days.last)
        if not dead or commits == 2 - alone:
            window = self.conversion.window_days
            wrote = self.model.adjust(
                self.load_now, self.now, run.local_date, window, days.first, days.last, thaw, release
            )
            assert wrote is not stopped, f"R19: the model {'writes' if wrote else 'stops'} this run over {days}"
        self.seen.update(runs=1, kills=dead, stops=stopped, thaws=thaw, releases=release, alone=alone)
        self._compare(f"run over {days}, r {run.local_date}, W {self.conversion.window_days}")
        return not (stopped or dead)

    def _look_for_loads(self) -> None:
        self.warehouse.start_run()
        loads = read_loads(self.warehouse, [self.conversion], RAW_TABLES, self.loads_seen)
        self.loads_seen = {str(table): load for table, load in loads.items()}
        state = scan_states(self.warehouse, [self.conversion], loads, known={"order": self.sensor_saw})["order"]
        day = self.conversion.project.local_date(self.now)
        state = f"{day}|{state.partition('|')[2]}"
        self.scan_is_due |= state != self.sensor_saw
        self.sensor_saw = state

    def _scan(self, killed: int | None = None) -> list[tuple[date, Days, bool]]:
        """The job scan: what it asks for is what a run over the whole window would change, and nothing else."""
        self.warehouse.start_run(killed)
        try:
            found = scan(self.warehouse, self.conversion, self._new_run(self.r))
        except Killed:
            return []  # it is due as before: a run whose process dies is started again
        assert found is not None
        self.scan_is_due = False
        window, start = self.conversion.window_days, self.conversion.start_date
        due = self.model.unapplied(self.load_now, self.now, self.r, window, start)
        requested = set(found.requested)
        assert due <= requested, f"R23: missed {sorted(due - requested)} of {sorted(due)} at r {self.r}, W {window}"
        self.pending = [(self.r, days, True) for days in found.publish]
        self.pending += [(self.r, days, False) for days in found.convert]
        self.seen.update(scans=1, reruns=len(self.pending), quiet=not self.pending)
        return self.pending

    def _compare(self, where: str) -> None:
        names = ('adjusted."order"', "adjusted.order_changes", "adjusted.order_drift")
        table, ledger, drift = (self.warehouse.rows(name) for name in names)
        assert {row["id"]: {name: row[name] for name in COMPARED} for row in table} == {
            id: {name: row[name] for name in COMPARED} for id, row in self.model.published.items()
        }, where
        entries = sorted(tuple(row[name] for name in LEDGER) for row in ledger)
        assert entries == sorted(self.model.ledger), where
        listed = [{**row, **{name: as_text(row[name]) for name in ("frozen_value", "crm_value")}} for row in drift]
        found = sorted((tuple(row[name] for name in DRIFT) for row in listed), key=repr)
        assert found == sorted((row[1:] for row in self.model.drift), key=repr), where
        assert replayed(ledger) == {row["id"]: row for row in table}, f"R16: {where}"
        _check_times(table, ledger)


def _check_times(table: list[Row], ledger: list[Row]) -> None:
    """R16, R22: `changed_at` rises strictly per id, `adjusted_at` lies after `created`."""
    times: dict[str, datetime] = {}
    for entry in sorted(ledger, key=lambda entry: (entry["id"], entry["version"])):
        assert entry["id"] not in times or times[entry["id"]] < entry["changed_at"], entry["id"]
        times[entry["id"]] = entry["changed_at"]
    assert all(row["adjusted_at"] is None or row["adjusted_at"] > row["created"] for row in table)
