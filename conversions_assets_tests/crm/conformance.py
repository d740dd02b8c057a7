"""What every CRM's source must do against the fake. A further CRM is a subclass: see test_hubspot.py."""

import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from conversions_assets.crm.client import CrmError, Patience
from conversions_assets.crm.load import LoadReport, load, make_pipeline
from conversions_assets.crm.source import Settings, find_crm
from conversions_assets.crm.tables import Row, SourceTable
from conversions_assets.crm.versions import stable_json
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.faults import Fault
from conversions_assets.demo.fake_crm.populate import populate
from conversions_assets.demo.fake_crm.serve import serving
from conversions_assets_tests.crm.history import happen
from conversions_assets_tests.crm.wire import ORIGIN, session
from conversions_assets_tests.deployment import make_deployment

DOCS = Path(__file__).parents[2] / "docs" / "crm"
EXAMPLES = ("lead", "deal_won")
EXAMPLE_YAML = """\
type: conversions_assets.components.CustomConversion
attributes:
  query: {name}.sql
  start_date: "2025-01-01"
  adjustment_window_days: 30
"""


class Conformance(ABC):
    """Inherit as `Test<Crm>`.

    Attributes:
        crm: the fake's name of it.
        objects: tables with `id`, `_deleted`, `_merged_into` and versions, and the fake's name of each.
        probe: part of a path that every load calls often.
        tells_merges: whether the CRM tells which record took a merged one over.
    """

    crm: str
    objects: dict[str, str]
    probe: str
    tells_merges = True

    settings = Settings(address=ORIGIN)

    @abstractmethod
    def secrets(self, fake: FakeCrm) -> dict[str, str]:
        """What the fake accepts; the last one is the one that tests spoil."""

    @abstractmethod
    def expected(self, name: str, truth: Row) -> Row:
        """What the warehouse must hold of a live record: some columns, in the warehouse's types."""

    @abstractmethod
    def id_of(self, truth: Row) -> str:
        """A record's id as text."""

    @abstractmethod
    def leads(self, fake: FakeCrm) -> set[str]:
        """The ids that the page's lead.sql has to give."""

    @abstractmethod
    def won(self, fake: FakeCrm) -> set[str]:
        """The ids of live deals that are won."""

    # --- the tests ----------------------------------------------------------------------------------------------------

    def test_the_warehouse_equals_the_truth_after_a_random_history_with_faults(self, tmp_path: Path) -> None:
        fake, rng = FakeCrm(), Random(7)
        for number in range(4):
            happen(fake.world, rng, 250)
            fake.world.search_lag = timedelta(seconds=rng.choice([0, 240]))
            fake.gate.faults = self.faults(number)
            # Every other load begins with an empty working folder: the state is in the warehouse.
            self.load(fake, tmp_path, folder=f"dlt{number // 2}")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        fake.gate.faults = []
        self.load(fake, tmp_path, compare=True)
        self.check(fake, tmp_path)

    def test_an_empty_crm_has_all_tables_and_its_first_rows_arrive(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        first = self.load(fake, tmp_path)
        crm = find_crm(self.crm)(self.settings)
        declared = {table.name for table in crm.declared()}
        assert declared == {table.name for table in self.tables(fake)}
        assert first.counts.keys() == declared | {
            f"{table.name}_versions" for table in crm.declared() if table.versioned
        }
        happen(fake.world, Random(1), 60)
        second = self.load(fake, tmp_path)
        self.check(fake, tmp_path)
        loads = self.rows(tmp_path, "_loads")
        assert [(row["load_id"], row["complete"]) for row in loads] == [(first.load_id, True), (second.load_id, True)]
        assert first.load_id < second.load_id

    def test_the_same_again_adds_no_version_and_one_change_adds_one(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        happen(fake.world, Random(1), 120)
        self.load(fake, tmp_path)
        before = self.versions(tmp_path)
        fake.gate.calls.clear()
        self.load(fake, tmp_path)
        assert self.versions(tmp_path) == before
        number = fake.world.tables["contact"].live.numbers[0]
        fake.world.move_clock(fake.world.now + timedelta(minutes=20))
        fake.world.apply([{"op": "update", "kind": "contact", "number": number, "fields": {"city": "Elsewhere"}}])
        self.load(fake, tmp_path)
        assert self.versions(tmp_path) == before + 1

    def test_a_wrong_secret_is_one_sentence_and_few_calls(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        with pytest.raises(CrmError, match="environment") as refused:
            self.load(fake, tmp_path, secret="not-the-secret")
        assert "not-the-secret" not in str(refused.value)
        assert sum(fake.gate.calls.values()) <= 2

    def test_a_load_that_is_refused_in_the_middle_stores_nothing_and_the_next_one_all(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        happen(fake.world, Random(2), 150)
        fake.gate.faults = [Fault(self.crm, "403", path=self.probe, after=1, times=1)]
        with pytest.raises(CrmError):
            self.load(fake, tmp_path)
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)

    @pytest.mark.parametrize("spoilt", [False, True])
    def test_what_a_failed_load_did_not_store_is_stored_by_the_next(self, tmp_path: Path, spoilt: bool) -> None:
        """Its package is loaded, or where that is impossible read again; it blocks nothing for ever."""
        fake, table = FakeCrm(), next(iter(self.objects))
        happen(fake.world, Random(4), 100)
        self.load(fake, tmp_path)
        # What is read of the warehouse stays readable: the load fails where it writes.
        self.sql(tmp_path, f"ALTER TABLE {self.crm}.{table} RENAME TO hidden")
        self.sql(tmp_path, f"CREATE VIEW {self.crm}.{table} AS SELECT * FROM {self.crm}.hidden")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        happen(fake.world, Random(5), 100)
        with pytest.raises(Exception, match="base tables"):
            self.load(fake, tmp_path)
        self.sql(tmp_path, f"DROP VIEW {self.crm}.{table}")
        self.sql(tmp_path, f"ALTER TABLE {self.crm}.hidden RENAME TO {table}")
        if spoilt:
            pending = list((tmp_path / "dlt").rglob("normalized/**/*.parquet"))
            assert pending
            for file in pending:
                file.write_bytes(b"no parquet")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        self.load(fake, tmp_path, compare=True)
        self.check(fake, tmp_path)

    def test_loads_that_are_killed_at_ten_moments_lose_nothing(self, tmp_path: Path) -> None:
        """Every other one begins with an empty working folder: what a killed one left is gone there."""
        fake, rng = FakeCrm(), Random(11)
        happen(fake.world, rng, 150)
        started = time.monotonic()
        self.load(fake, tmp_path)
        lasts = time.monotonic() - started
        for number in range(10):
            fake.world.move_clock(fake.world.now + timedelta(minutes=20))
            happen(fake.world, rng, 15)
            killed_after(
                lasts * rng.random(), lambda number=number: self.load(fake, tmp_path, folder=f"dlt{number % 2}")
            )
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        self.load(fake, tmp_path, compare=True, folder="dlt0")
        self.check(fake, tmp_path)

    def test_the_page_of_the_crm_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The YAML of docs/crm and the queries beside it, from the CRM's HTTP to conversions."""
        fake = FakeCrm()
        populate(fake.world, 150)
        happen(fake.world, Random(12), 150)
        fake.world.move_clock(fake.world.now + timedelta(days=2))
        page = (DOCS / f"{self.crm}.md").read_text(encoding="utf-8")
        yaml = next(part for part in page.split("```") if "components.CrmSource" in part).removeprefix("yaml")
        for secret, value in self.secrets(fake).items():
            monkeypatch.setenv(re.findall(rf"{secret}: (\w+)", yaml)[0], value)
        with serving(fake) as address:
            yaml = re.sub(r"\n +address: \S+", "", yaml).replace(
                f"crm: {self.crm}", f"crm: {self.crm}\n  address: {address}"
            )
            files = {f"crm/{self.crm}/defs.yaml": yaml}
            for name in EXAMPLES:
                files[f"conversions/{name}/defs.yaml"] = EXAMPLE_YAML.format(name=name)
                files[f"conversions/{name}/{name}.sql"] = (DOCS / self.crm / f"{name}.sql").read_text(encoding="utf-8")
            deployment = make_deployment(
                tmp_path, {"conversions/order/defs.yaml": EXAMPLE_YAML.format(name="order"), **files}
            )
            deployment.now = fake.world.now.isoformat()
            tables = find_crm(self.crm)(self.settings).declared()
            names = [n for t in tables for n in ([t.name, f"{t.name}_versions"] if t.versioned else [t.name])]
            assert deployment.materialize(*(f"{self.crm}/{name}" for name in names)).success
        days = "2025-01-01", (fake.world.now - timedelta(days=1)).date()
        for name, expected in {"lead": self.leads(fake), "deal_won": self.won(fake)}.items():
            assert deployment.launch(*days, f"conversions/{name}").success
            assert {id for (id,) in deployment.query(f"SELECT id FROM conversions.{name}")} == expected
            assert expected

    # --- helpers ------------------------------------------------------------------------------------------------------

    def faults(self, number: int) -> list[Fault]:
        kinds = [("429", 0), ("429", None), ("500", None), ("502", None), ("cut", None)]
        wait = dict(enumerate(kinds))
        return [
            Fault(self.crm, fault, path=self.probe, after=number + position, every=3, times=2, retry_after=after)
            for position, (fault, after) in wait.items()
        ]

    def pipeline(self, tmp_path: Path, folder: str) -> Any:
        import dlt

        return make_pipeline(self.crm, dlt.destinations.duckdb(str(tmp_path / "crm.duckdb")), tmp_path / folder)

    def tables(self, fake: FakeCrm, settings: Settings | None = None, secret: str | None = None) -> list[SourceTable]:
        """The source's tables, with no waiting between attempts; `secret` replaces the right one."""
        crm, secrets = find_crm(self.crm)(settings or self.settings), self.secrets(fake)
        if secret is not None:
            secrets[list(secrets)[-1]] = secret
        return crm.tables(crm.client(secrets, Patience(backoff=0), session(fake)))

    def load(
        self,
        fake: FakeCrm,
        tmp_path: Path,
        compare: bool = False,
        folder: str = "dlt",
        settings: Settings | None = None,
        secret: str | None = None,
    ) -> LoadReport:
        return load(self.pipeline(tmp_path, folder), self.tables(fake, settings, secret), fake.world.now, compare)

    def sql(self, tmp_path: Path, statement: str) -> None:
        with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
            connection.execute(statement)

    def rows(self, tmp_path: Path, name: str) -> list[Row]:
        with duckdb.connect(str(tmp_path / "crm.duckdb"), read_only=True) as connection:
            cursor = connection.execute(f"SET TimeZone = 'UTC'; SELECT * FROM {self.crm}.{name}")
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

    def versions(self, tmp_path: Path) -> int:
        return sum(len(self.rows(tmp_path, f"{name}_versions")) for name in self.objects)

    def check(self, fake: FakeCrm, tmp_path: Path) -> None:
        """Missing 0, extra 0, stale 0, every deletion of what was loaded seen."""
        for name, told in self.objects.items():
            truth = {self.id_of(row): row for row in fake.dialects[self.crm].truth(told)}
            stored = self.rows(tmp_path, name)
            held = {row["id"]: row for row in stored}
            assert len(held) == len(stored), "a row twice"
            live = {key: self.expected(name, row) for key, row in truth.items() if not row["_deleted"]}
            assert {key for key, row in held.items() if not row["_deleted"]} == set(live)
            for key, row in live.items():
                assert {column: held[key][column] for column in row} == row
            for key, row in held.items():
                # Which record took it over is known unless that one was erased.
                if self.tells_merges and not truth[_end(truth, key)]["_deleted"] and key != _end(truth, key):
                    assert _end(truth, str(row["_merged_into"])) == _end(truth, key)
            versions = {(row["id"], row["row"]) for row in self.rows(tmp_path, f"{name}_versions")}
            assert {(key, stable_json(_without_stamps(row))) for key, row in held.items()} <= versions
            assert {key for key, _ in versions} == set(held)


def _end(truth: dict[str, Row], key: str) -> str:
    while truth[key]["_merged_into"]:
        key = str(truth[key]["_merged_into"])
    return key


def _without_stamps(row: Row) -> Row:
    return {name: value for name, value in row.items() if not name.startswith("_dlt")}


def killed_after(seconds: float, work: Callable[[], object]) -> None:
    """Do the work in a process of its own that is killed after so long, if it has not ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(os.EX_OK)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
