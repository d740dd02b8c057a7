"""The adjustment rules need many small runs: what is the same in all of them is done once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from conversions_assets.contract import suite
from conversions_assets.warehouse import duckdb as engine
from conversions_assets.warehouse.base import Table
from conversions_assets_tests import shop


class QuickWarehouse(engine.DuckDBWarehouse):
    """A session that knows which tables its file has."""

    made: ClassVar[set[tuple[Path, Table]]] = set()

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def create_table(self, table: Table, columns: Mapping[str, str], by_day: bool = True) -> None:
        if (self.path, table) not in self.made:
            super().create_table(table, columns, by_day)
            self.made.add((self.path, table))


@pytest.fixture(scope="package", autouse=True)
def _quick_runs() -> Iterator[None]:
    with quick_runs():
        yield


@contextmanager
def quick_runs() -> Iterator[None]:
    """The contract's checks, which are tested elsewhere, find no fault; tables of some rows need no better plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SETTINGS", ("SET threads = 1", "PRAGMA disable_optimizer", *engine.SETTINGS))
        patch.setattr(shop, "DuckDBWarehouse", QuickWarehouse)
        patch.setattr(suite, "validate", lambda *_: suite.Validation(()))
        patch.setattr(suite, "preload", lambda: None)
        yield
