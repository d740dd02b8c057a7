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
from conversions_assets_tests.crm.wire import ORIGIN, elsewhere, session
from conversions_assets_tests.deployment import make_deployment

SOAK = "CONVERSIONS_SOAK" in os.environ
OBJECTS, EVENTS, KILLS = (25_000, 2_000, 10) if SOAK else (0, 400, 2)
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
        populate(fake.world, OBJECTS)
        for number in range(3):
            happen(fake.world, rng, EVENTS // 3)
            fake.world.search_lag = timedelta(seconds=rng.choice([0, 240]))
            fake.gate.faults = self.faults(number)
            # Every other load begins with an empty working folder: the state is in the warehouse.
            self.load(fake, tmp_path, folder=f"dlt{number // 2}")
        fake.world.move_clock(fake.world.now + timedelta(hours=1))
        fake.gate.faults = []
        self.load(fake, tmp_path, compare=True)
        self.check(fake, tmp_path)

    def test_an_empty_crm_has_all_tables_rows_arrive_and_only_changes_make_versions(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        first = self.load(fake, tmp_path)
        declared = {t.name: t.versioned for t in find_crm(self.crm)(self.settings).declared()}
        assert declared.keys() == {table.name for table in self.tables(fake)}
        assert first.counts.keys() == declared.keys() | {f"{name}_versions" for name, kept in declared.items() if kept}
        happen(fake.world, Random(1), 120)
        reports = [first, self.load(fake, tmp_path)]
        self.check(fake, tmp_path)
        before = self.versions(tmp_path)
        reports.append(self.load(fake, tmp_path))
        assert self.versions(tmp_path) == before
        number = fake.world.tables["contact"].live.numbers[0]
        fake.world.move_clock(fake.world.now + timedelta(minutes=20))
        fake.world.apply([{"op": "update", "kind": "contact", "number": number, "fields": {"city": "Elsewhere"}}])
        reports.append(self.load(fake, tmp_path))
        assert self.versions(tmp_path) == before + 1
        ids = [report.load_id for report in reports]
        assert ids == sorted(set(ids))
        assert [(row["load_id"], row["complete"]) for row in self.rows(tmp_path, "_loads")] == [
            (id, True) for id in ids
        ]

    def test_a_record_that_was_deleted_then_restored_and_merged_names_the_one_that_took_it_over(
        self, tmp_path: Path
    ) -> None:
        fake = FakeCrm()
        one = {"kind": "contact", "number": 1}
        fake.world.apply([{"op": "create", "kind": "contact"}, {"op": "create", "kind": "contact"}])
        self.load(fake, tmp_path)
        for events in (
            [{"op": "delete", **one}],
            [{"op": "restore", **one}, {"op": "merge", **one, "number": 2, "other": 1}],
        ):
            fake.world.move_clock(fake.world.now + timedelta(hours=1))
            fake.world.apply(events)
            self.load(fake, tmp_path, compare=True)
        self.check(fake, tmp_path)

    def test_a_wrong_secret_is_one_sentence_and_few_calls(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        with pytest.raises(CrmError, match="environment") as refused:
            self.load(fake, tmp_path, secret="not-the-secret")
        assert "not-the-secret" not in str(refused.value)
        assert sum(fake.gate.calls.values()) <= 2

    @pytest.mark.parametrize(
        ("status", "content"), [(None, b""), (200, b"<html>Welcome</html>"), (404, b"<html>No such page</html>")]
    )
    def test_a_wrong_address_is_one_sentence_and_few_calls(self, status: int | None, content: bytes) -> None:
        wire, adapter = elsewhere(status, content)
        crm, secrets = find_crm(self.crm)(self.settings), self.secrets(FakeCrm())
        with pytest.raises(CrmError, match=f"{ORIGIN}.*check the address") as refused:
            crm.tables(crm.client(secrets, Patience(backoff=0), wire))
        assert "\n" not in str(refused.value)
        assert not [secret for secret in secrets.values() if secret in str(refused.value)]
        assert adapter.calls <= Patience().attempts

    def test_a_load_that_is_refused_in_the_middle_stores_nothing_and_the_next_one_all(self, tmp_path: Path) -> None:
        fake = FakeCrm()
        happen(fake.world, Random(2), 150)
        fake.gate.faults = [Fault(self.crm, "403", path=self.probe, after=1, times=1)]
        with pytest.raises(CrmError):
            self.load(fake, tmp_path)
        self.load(fake, tmp_path)
        self.check(fake, tmp_path)

    def test_loads_that_are_killed_lose_nothing(self, tmp_path: Path) -> None:
        """Every other one begins with an empty working folder: what a killed one left is gone there."""
        fake, rng = FakeCrm(), Random(11)
        happen(fake.world, rng, 150)
        started = time.monotonic()
        self.load(fake, tmp_path)
        lasts = time.monotonic() - started
        for number in range(KILLS):
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

    def destination(self, tmp_path: Path) -> Any:
        """Where dlt loads to; what is there, `rows` reads."""
        import dlt

        return dlt.destinations.duckdb(str(tmp_path / "crm.duckdb"))

    def pipeline(self, tmp_path: Path, folder: str) -> Any:
        return make_pipeline(self.crm, self.destination(tmp_path), tmp_path / folder)

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
