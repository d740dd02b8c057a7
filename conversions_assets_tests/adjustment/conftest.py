"""The adjustment rules need many small runs: what is the same in all of them is done once."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from sqlglot import exp

from conversions_assets.adjustment import guard, publish, scan
from conversions_assets.contract import fingerprints, materialise, stage, suite
from conversions_assets.warehouse import duckdb as engine
from conversions_assets.warehouse.base import Statement, Table
from conversions_assets_tests import shop


class QuickWarehouse(engine.DuckDBWarehouse):
    """A session that knows which tables its file has."""

    made: ClassVar[set[tuple[Path, Table]]] = set()

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def create_table(self, table: Table, columns: Mapping[str, str]) -> None:
        if (self.path, table) not in self.made:
            super().create_table(table, columns)
            self.made.add((self.path, table))


@pytest.fixture(scope="package", autouse=True)
def _quick_runs() -> Iterator[None]:
    with quick_runs():
        yield


@contextmanager
def quick_runs(*more: ModuleType) -> Iterator[None]:
    """Complete and translate each statement once; the contract's checks (tested elsewhere) find no fault."""
    bound: dict[str, list[Statement]] = {}
    ours: set[int] = set()
    translated: dict[int, str] = {}
    real_bind, real_translation = publish.bind, engine.to_duckdb

    def bind(path: Path, tables: Mapping[str, Any], params: Mapping[str, Any], columns: Any = None) -> list[Statement]:
        lists = {name: value for name, value in params.items() if isinstance(value, list | tuple)}
        places = {name: table.sql() if isinstance(table, exp.Expression) else table for name, table in tables.items()}
        key = repr((path, places, lists, columns and list(columns)))
        if key not in bound:
            bound[key] = real_bind(path, tables, params, columns)
            ours.update(id(statement.tree) for statement in bound[key])
        return [Statement(s.tree, {name: params[name] for name in s.params}) for s in bound[key]]

    def to_duckdb(tree: exp.Expression, float_columns: Iterable[str] = ()) -> str:
        if id(tree) not in ours:
            return real_translation(tree, float_columns)
        if id(tree) not in translated:
            translated[id(tree)] = real_translation(tree, float_columns)
        return translated[id(tree)]

    with pytest.MonkeyPatch.context() as patch:
        for station in (stage, fingerprints, materialise, publish, scan, guard, *more):
            patch.setattr(station, "bind", bind)
        patch.setattr(engine, "to_duckdb", to_duckdb)
        patch.setattr(engine, "SETTINGS", ("SET threads = 1", *engine.SETTINGS))
        patch.setattr(shop, "DuckDBWarehouse", QuickWarehouse)
        patch.setattr(suite, "validate", lambda *_: suite.Validation(()))
        patch.setattr(suite, "preload", lambda: None)
        yield
