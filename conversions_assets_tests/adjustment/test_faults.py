"""A run that is killed, a full disk, a warehouse that goes away: nothing is half written, and a rerun repairs it."""

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conversions_assets.contract import suite
from conversions_assets.warehouse.base import WarehouseFaultError
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets_tests import shop as shops
from conversions_assets_tests.shop import Shop, day, make_shop, order

FIRST, LAST = day("01-20"), day("01-30")
Tables = dict[str, list[tuple[Any, ...]]]
# The point, and the statement of a run behind which its process dies.
STATEMENTS = {
    "staging": "TEMPORARY TABLE staged",
    "delete of conversions": 'DELETE FROM "conversions"."order" ',
    "insert of conversions": 'INSERT INTO "conversions"."order" ',
    "quarantine": 'INSERT INTO "conversions"."order_quarantine" ',
    "versions": "TEMPORARY TABLE versions",
    "ledger": 'INSERT INTO "adjusted"."order_changes" ',
    "delete of adjusted": 'DELETE FROM "adjusted"."order" ',
    "insert of adjusted": 'INSERT INTO "adjusted"."order" ',
    "drift report": 'INSERT INTO "adjusted"."order_drift" ',
    "published days": 'INSERT INTO "adjusted"."_order_days" ',
}
COMMITS = {"commit of conversions": (0, True), "between the assets": (0, False), "commit of adjusted": (1, True)}


class Doomed(DuckDBWarehouse):
    """A session that meets its end at a point."""

    commits = 0

    def end(self) -> None:
        """As a power cut does it."""
        os.kill(os.getpid(), signal.SIGKILL)

    def __init__(self, path: Path, point: str) -> None:
        super().__init__(path)
        self.point = point

    def _run(self, sql: str, params: Any, read: Any = None) -> Any:
        done = super()._run(sql, params, read)
        if STATEMENTS.get(self.point, "no statement") in sql:
            self.end()
        return done

    @contextmanager
    def transaction(self) -> Iterator[None]:
        number, before = COMMITS.get(self.point, (None, False))
        with super().transaction():
            yield
            if (Doomed.commits, True) == (number, before):
                self.end()
        if (Doomed.commits, False) == (number, before):
            self.end()
        Doomed.commits += 1


def in_a_process(work: Callable[[], object]) -> int:
    """Fork a process that does the work; its wait status. No DuckDB session is open here."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        finally:
            os._exit(os.EX_OK)
    return os.waitpid(child, 0)[1]


def was_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def read_tables(path: Path) -> Tables:
    """All rows of both datasets."""
    with duckdb.connect(str(path)) as connection:
        names = connection.execute(
            "SELECT schema_name || '.\"' || table_name || '\"' FROM duckdb_tables() "
            "WHERE schema_name IN ('conversions', 'adjusted') ORDER BY ALL"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT t::VARCHAR FROM {name} AS t ORDER BY 1").fetchall() for (name,) in names
        }


def dataset(tables: Tables, name: str) -> Tables:
    return {table: rows for table, rows in tables.items() if table.startswith(f"{name}.")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three weeks were published, and then a load came with every kind of change."""
    shop = make_shop(tmp_path_factory.mktemp("shop"))
    placed = [datetime(2026, 1, 12, 9, tzinfo=UTC) + timedelta(days=n) for n in range(16)]
    rows = [order(f"o{n}", created, 10.0 + n) for n, created in enumerate(placed)]
    shop.set_orders(rows)
    shop.update(day("01-10"), LAST)
    changed = [row | {"value": 99.0} if int(row["id"][1:]) % 3 else row for row in rows[2:]]
    changed[5] = changed[5] | {"created": datetime(2026, 1, 29, 9, tzinfo=UTC)}
    shop.set_orders(
        [*changed, order("new", "2026-01-25 10:00", 5.0), order("bad", "2026-01-25 10:00", 5.0, currency="???")]
    )
    return shop


@pytest.fixture(scope="module")
def undisturbed(published: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Tables]:
    """The tables before and after the run that nothing disturbs."""
    shop = copy_of(published, tmp_path_factory.mktemp("undisturbed"))
    before = read_tables(shop.path)
    update(shop)
    return before, read_tables(shop.path)


def copy_of(shop: Shop, folder: Path) -> Shop:
    shutil.copy(shop.path, folder / shop.path.name)
    return Shop(folder, shop.conversion, shop.now, shop.runs, shop.load)


def update(shop: Shop) -> None:
    """Both assets; each attempt has the same run ids, so that the tables can be compared byte by byte."""
    shop.runs = 100
    shop.convert(FIRST, LAST)
    shop.runs = 200
    shop.adjust(FIRST, LAST)


def is_whole(tables: Tables, undisturbed: tuple[Tables, Tables]) -> bool:
    """Each dataset is old or new; it has a transaction of its own."""
    return all(
        dataset(tables, name) in [dataset(state, name) for state in undisturbed] for name in ("conversions", "adjusted")
    )


@pytest.mark.parametrize("point", ["check", *STATEMENTS, *COMMITS])
def test_r12_a_run_killed_at_any_point_leaves_nothing_half_and_is_run_again(
    point: str, published: Shop, undisturbed: tuple[Tables, Tables], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = copy_of(published, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Doomed, "commits", 0)
        patch.setattr(shops, "DuckDBWarehouse", lambda path: Doomed(path, point))
        if point == "check":
            patch.setattr(suite, "validate", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert was_killed(in_a_process(lambda: update(shop))), "the run never came to this point"
    left = read_tables(shop.path)
    assert is_whole(left, undisturbed)
    assert left != undisturbed[1]

    update(shop)

    assert read_tables(shop.path) == undisturbed[1]


def test_r12_a_full_disk_is_told_and_leaves_everything_as_it_was(
    published: Shop, undisturbed: tuple[Tables, Tables], tmp_path: Path
) -> None:
    """A real fault of the file system: no file of the process may grow beyond a size."""
    shop, said = copy_of(published, tmp_path), tmp_path / "said"
    for bytes in (100, 10_000):
        assert in_a_process(lambda bytes=bytes: _update_with_small_files(shop, bytes, said)) == 0
        message = said.read_text()
        assert message.startswith("WarehouseFaultError"), message
        assert str(shop.path) in message
        assert "The disk is full" in message
        assert "make room, then run this again" in message
        assert is_whole(read_tables(shop.path), undisturbed)

    update(shop)

    assert read_tables(shop.path) == undisturbed[1]


def _update_with_small_files(shop: Shop, bytes: int, said: Path) -> None:
    said.touch()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))
    try:
        update(shop)
    except Exception as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        said.write_text(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("point", ["staging", "insert of conversions", "versions", "ledger", "commit of adjusted"])
def test_r12_a_session_that_is_lost_is_told_and_leaves_everything_as_it_was(
    point: str, published: Shop, undisturbed: tuple[Tables, Tables], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = copy_of(published, tmp_path)
    sessions: list[Doomed] = []
    with monkeypatch.context() as patch:
        patch.setattr(Doomed, "commits", 0)
        patch.setattr(Doomed, "end", lambda session: session._connection.close())
        patch.setattr(shops, "DuckDBWarehouse", lambda path: sessions.append(Doomed(path, point)) or sessions[-1])
        with pytest.raises(
            WarehouseFaultError, match=r"The session is gone, and .*warehouse\.duckdb is as it was before"
        ) as told:
            update(shop)
    assert "run this again" in str(told.value)
    assert is_whole(read_tables(shop.path), undisturbed)

    update(shop)

    assert read_tables(shop.path) == undisturbed[1]


@pytest.mark.parametrize("replaced", [False, True])
def test_r12_a_file_that_is_taken_away_under_a_run_is_told(
    replaced: bool, published: Shop, undisturbed: tuple[Tables, Tables], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB itself would go on writing into a file that nobody finds any more."""
    shop, copy = copy_of(published, tmp_path), tmp_path / "copy"
    shutil.copy(shop.path, copy)

    def take_away(_: Doomed) -> None:
        shop.path.unlink()
        if replaced:
            shutil.copy(copy, shop.path)

    with monkeypatch.context() as patch:
        patch.setattr(Doomed, "commits", 0)
        patch.setattr(Doomed, "end", take_away)
        patch.setattr(shops, "DuckDBWarehouse", lambda path: Doomed(path, "staging"))
        with pytest.raises(WarehouseFaultError, match="was removed or replaced while this run had it open") as told:
            update(shop)
    assert str(shop.path) in str(told.value)
    assert shop.path.exists() == replaced
    shutil.copy(copy, shop.path)

    update(shop)

    assert read_tables(shop.path) == undisturbed[1]
