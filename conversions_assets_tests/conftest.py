"""Every test has a cache, a clock and a warehouse of its own."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster import EventLogEntry
from dagster._core.storage.event_log import InMemoryEventLogStorage
from sqlglot import exp

from conversions_assets.automation import event_log
from conversions_assets.warehouse import duckdb as engine
from conversions_assets.warehouse import script
from conversions_assets.warehouse.base import Statement, Table
from conversions_assets_tests.engines import bigquery_address, bigquery_client, pytest_generate_tests, shop

__all__ = ["bigquery_address", "bigquery_client", "pytest_generate_tests", "shop"]


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("CONVERSIONS_") or name == "DAGSTER_HOME"]:
        if name != "CONVERSIONS_REQUIRE_SHARED":
            del os.environ[name]
    os.environ["CONVERSIONS_CACHE"] = str(tmp_path / "cache")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _quick_statements() -> Iterator[None]:
    """Complete and translate each of our own statements once: thousands of small runs send the same."""
    bound: dict[Any, tuple[exp.Expr, set[str]]] = {}
    ours: set[int] = set()
    translated: dict[Any, str] = {}
    real_bind, real_translation = script._bind_tree, engine.to_duckdb

    def bind_tree(
        template: exp.Expr, tables: Mapping[str, Any], params: Mapping[str, Any], columns: Mapping[str, str]
    ) -> Statement:
        lists = tuple((name, tuple(value)) for name, value in params.items() if isinstance(value, list | tuple))
        places = tuple((name, target if isinstance(target, Table) else str(target)) for name, target in tables.items())
        key = (id(template), places, lists, tuple(columns.items()))
        if key not in bound:
            tree = real_bind(template, tables, params, columns).tree
            bound[key] = tree, {parameter.name for parameter in tree.find_all(exp.Parameter)}
            ours.add(id(tree))
        tree, used = bound[key]
        return Statement(tree, {name: value for name, value in params.items() if name in used})

    def to_duckdb(tree: exp.Expr, float_columns: Iterable[str] = ()) -> str:
        key = (id(tree) if id(tree) in ours else tree, frozenset(float_columns))
        if key not in translated:
            translated[key] = real_translation(tree, float_columns)
        return translated[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "_bind_tree", bind_tree)
        patch.setattr(engine, "to_duckdb", to_duckdb)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_dagster() -> Iterator[None]:
    """Dagster's storages of a test: the events of many days at once, and the migrations read once."""
    directories: dict[str | None, ScriptDirectory] = {}
    real = ScriptDirectory.from_config

    def from_config(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in directories:
            directories[folder] = real(config)
        return directories[folder]

    def store_event_batch(storage: InMemoryEventLogStorage, events: Sequence[EventLogEntry]) -> None:
        for alike in event_log.batches(storage, events):
            with storage.index_connection() as connection:
                event_log.index_events(storage, connection, alike)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        patch.setattr(InMemoryEventLogStorage, "store_event_batch", store_event_batch)
        patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, so that the processes of `make test` end at about the same time.

    One process waits for the emulator while the other works.
    """
    items.sort(key=lambda item: (item.path.name != "test_bigquery_runs.py", "scenarios" not in item.path.parts))
