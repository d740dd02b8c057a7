"""What the demo finds in a DuckDB file: its own loads, or tables that are not its own."""

from pathlib import Path

import duckdb
import pytest

from conversions_assets.demo.fake_crm.__main__ import make_world
from conversions_assets.demo.history import Load
from conversions_assets.demo.raw import NotTheDemoError, count_loads, write_orders


def run(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def note_load(path: Path, load_id: str, complete: bool) -> None:
    run(
        path,
        "CREATE SCHEMA IF NOT EXISTS hubspot",
        "CREATE TABLE IF NOT EXISTS hubspot._loads (load_id VARCHAR, started_at TIMESTAMPTZ, complete BOOLEAN)",
        f"INSERT INTO hubspot._loads VALUES ('{load_id}', now(), {complete})",
    )


def test_a_load_of_hubspot_counts_once_it_is_whole(loads: list[Load], tmp_path: Path) -> None:
    path = tmp_path / "demo.duckdb"
    assert count_loads(path, loads) == (0, 0)
    note_load(path, "2025-12-31T23:10:00.000000Z", complete=False)
    assert count_loads(path, loads) == (0, 0)
    # Killed, and loaded again.
    note_load(path, "2025-12-31T23:10:00.000001Z", complete=True)
    assert count_loads(path, loads) == (0, 1)
    # By hand, a week after the demo.
    note_load(path, "2026-01-11T08:00:00.000000Z", complete=True)
    assert count_loads(path, loads) == (0, 4)


def test_loads_of_the_shop_are_counted(loads: list[Load], tmp_path: Path) -> None:
    path = tmp_path / "demo.duckdb"
    for number, load in enumerate(loads):
        write_orders(path, load)
        assert count_loads(path, loads) == (number + 1, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE hubspot.contacts (id VARCHAR, lifecycle VARCHAR)",
        "CREATE TABLE shop.orders (id VARCHAR, total DOUBLE)",
        "CREATE TABLE hubspot._loads AS SELECT '2024-05-01T06:00:00.000000Z' AS load_id, true AS complete",
    ],
)
def test_tables_that_the_demo_did_not_make_are_left_alone(loads: list[Load], tmp_path: Path, statement: str) -> None:
    """A real account's HubSpot, above all."""
    path = tmp_path / "own.duckdb"
    run(path, "CREATE SCHEMA hubspot", "CREATE SCHEMA shop", statement)
    with pytest.raises(NotTheDemoError, match="Give the demo a file of its own"):
        count_loads(path, loads)


def test_make_fake_crm_serves_the_company_at_the_demos_clock(loads: list[Load]) -> None:
    world = make_world(None, 1)
    assert world.now == loads[-1].at
    assert len(world.log) == sum(len(load.events) for load in loads)
    assert len(make_world(10, 1).log) > 10
