"""The sensors with real definitions and a real instance: which runs they ask for, and that no change is ever missed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from conversions_assets.automation.scan import changed_days_key
from conversions_assets_tests.automation.world import World, shown
from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, SHOP_YAML, make_deployment

A, B = ("a", "2026-01-22 10:00:00+00"), ("b", "2026-01-25 10:00:00+00")
ADJUSTED = dg.AssetKey(["adjusted", "order"])


def a_real_instance(root: Path) -> dg.DagsterInstance:
    """Runs and events in files, as in a DAGSTER_HOME."""
    (root / "home").mkdir()
    return dg.DagsterInstance.local_temp(str(root / "home"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    deployment = make_deployment(tmp_path)
    deployment.set_orders((*A, 1.0), (*B, 1.0))
    assert deployment.launch("2026-01-01", "2026-01-30").success
    with a_real_instance(tmp_path) as instance:
        world = World(deployment, instance)
        assert world.settle() == []  # the load of the backfill
        yield world


BOTH = ("conversions", "adjusted")


def test_r23_a_load_is_one_scan_and_one_rerun_of_the_hull(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 2.0), load="L2")
    [request] = world.tick("crm_loads")
    assert "order" in str(request.run_key)
    assert "L2" in str(request.run_key)
    assert world.tick("crm_loads") == []
    scanned = world.run(request)
    days = [e.partition for e in scanned.get_asset_materialization_events() if e.asset_key == changed_days_key("order")]
    assert days == ["2026-01-22", "2026-01-23", "2026-01-24", "2026-01-25"]
    [rerun] = world.tick("changed_days")
    assert shown(rerun) == ("2026-01-22", "2026-01-25", *BOTH)
    assert rerun.tags["conversions_assets/requested_on"] == "2026-01-31"
    result = world.run(rerun)
    assert result.success
    assert world.tick("changed_days") == []
    assert world.deployment.query("SELECT DISTINCT value FROM adjusted.order") == [(2.0,)]


def test_r23_a_load_that_changes_nothing_is_a_scan_and_nothing_else(world: World) -> None:
    world.deployment.set_orders((*B, 1.0), (*A, 1.0), load="L2")
    [request] = world.tick("crm_loads")
    scanned = world.run(request)
    assert not scanned.get_asset_materialization_events()
    [observation] = [e for e in scanned.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    metadata = observation.asset_observation_data.asset_observation.metadata
    assert metadata["CRM load"].value == "L2"
    assert metadata["rows"].value == 2
    assert world.tick("changed_days") == []


def test_a_new_load_is_shown_on_its_raw_table_once(world: World) -> None:
    """What the raw table's own freshness policy looks at."""
    world.tick("crm_loads")
    assert world.events == []
    world.deployment.set_orders((*A, 1.0), (*B, 1.0), load="L2")
    world.tick("crm_loads")
    assert world.events == [("shop/orders", "L2")]
    world.tick("crm_loads")
    assert world.events == []


def test_r23_two_loads_between_ticks_and_a_load_id_that_comes_back_are_scanned(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 1.0), load="L2")
    world.deployment.set_orders((*A, 2.0), (*B, 3.0), load="L3")
    assert world.settle() == [("2026-01-22", "2026-01-25", *BOTH)]
    world.deployment.set_orders((*A, 1.0), (*B, 3.0), load="L1")
    assert world.settle() == [("2026-01-22", "2026-01-22", *BOTH)]


def test_r23_each_day_is_scanned_once_also_without_a_load(world: World) -> None:
    world.deployment.now = "2026-02-01T05:59:00+00:00"
    assert world.tick("crm_loads") == []
    world.deployment.now = "2026-02-01T06:00:00+00:00"
    assert world.settle() == [("2026-01-31", "2026-01-31", *BOTH)]
    assert world.tick("crm_loads") == []


def test_r23_a_changed_query_is_scanned(world: World) -> None:
    world.deployment.write({"conversions/order/order.sql": ORDER_SQL.replace("value\n", "value * 2 AS value\n")})
    assert world.settle() == [("2026-01-22", "2026-01-25", *BOTH)]


def test_r23_a_rerun_that_failed_is_found_by_the_next_scan(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 1.0), load="L2")
    assert [shown(request) for request in world.scan()] == [("2026-01-22", "2026-01-22", *BOTH)]  # and is never run
    world.deployment.set_orders((*A, 2.0), (*B, 1.0), load="L3")
    assert world.settle() == [("2026-01-22", "2026-01-22", *BOTH)]
    assert world.settle() == []


def test_r11_good_days_of_a_failed_run_are_published_and_the_failing_day_is_found_again(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 2.0), ("", B[1], 1.0), load="L2")
    [rerun] = world.scan()
    assert not world.run(rerun).success
    world.deployment.set_orders((*A, 2.0), (*B, 2.0), ("", B[1], 1.0), load="L3")
    publish, again = world.scan()
    assert shown(publish) == ("2026-01-22", "2026-01-24", "adjusted") or shown(publish) == (
        "2026-01-22",
        "2026-01-22",
        "adjusted",
    )
    assert world.run(publish).success
    assert shown(again) == ("2026-01-25", "2026-01-25", *BOTH)
    assert not world.run(again).success
    assert world.deployment.query("SELECT id, value FROM adjusted.order ORDER BY id") == [("a", 2.0), ("b", 1.0)]


def test_r23_a_tick_that_was_lost_before_its_cursor_was_saved_asks_again_for_the_same(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 1.0), load="L2")
    before = dict(world.cursors)
    [request] = world.tick("crm_loads")
    world.cursors = dict(before)
    assert world.tick("crm_loads") == []  # the same run key: Dagster starts it once
    world.run(request)
    assert len(world.tick("changed_days")) == 1
    world.cursors = dict(before)
    assert world.tick("changed_days") == []


def test_r23_while_a_run_holds_the_file_the_sensor_looks_again_later(world: World) -> None:
    world.deployment.set_orders((*A, 2.0), (*B, 1.0), load="L2")
    path = str(world.deployment.duckdb_path)
    program = f"import duckdb; c = duckdb.connect({path!r}); print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    cursor = world.cursors["crm_loads"]
    assert world.tick("crm_loads") == []
    assert f"process {holder.pid}" in str(world.skipped)
    holder.communicate("\n")
    world.cursors["crm_loads"] = cursor
    assert len(world.tick("crm_loads")) == 1


def test_r33_what_was_never_published_starts_nothing(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    with a_real_instance(tmp_path) as instance:
        world = World(deployment, instance)
        assert world.tick("crm_loads") == []
        assert world.skipped == "there is no warehouse yet"
        assert not deployment.duckdb_path.exists()
        deployment.set_orders((*A, 1.0))
        assert world.tick("crm_loads") == []
        assert world.scan() == []


def test_r19_a_load_that_is_not_complete_starts_nothing_until_it_is(tmp_path: Path) -> None:
    tables = SHOP_YAML.replace("load_id: load_id", "load_id: loads.id\n      complete: done")
    deployment = make_deployment(tmp_path, {"crm/shop/defs.yaml": tables})
    deployment.set_orders((*A, 1.0))
    deployment.query("CREATE TABLE shop.loads AS SELECT 'L1' AS id, TRUE AS done")
    assert deployment.launch("2026-01-01", "2026-01-30").success
    with a_real_instance(tmp_path) as instance:
        world = World(deployment, instance)
        assert len(world.tick("crm_loads")) == 1
        deployment.query("INSERT INTO shop.loads VALUES ('L2', FALSE)")
        assert world.tick("crm_loads") == []
        assert world.events == []
        deployment.query("UPDATE shop.loads SET done = TRUE")
        [request] = world.tick("crm_loads")
        assert "shop.orders=L2" in str(request.run_key)
        assert world.events == [("shop/orders", "L2")]


def test_r23_each_table_of_a_query_has_its_load(tmp_path: Path) -> None:
    """The newest load among all tables would hide a new load of the others."""
    sql = ORDER_SQL.replace("FROM shop.orders", "FROM shop.orders LEFT JOIN shop.people USING (id)")
    tables = SHOP_YAML + "    people:\n      load_id: people_load\n"
    deployment = make_deployment(tmp_path, {"conversions/order/order.sql": sql, "crm/shop/defs.yaml": tables})
    deployment.set_orders((*A, 1.0), load="L9")
    deployment.query("CREATE TABLE shop.people AS SELECT 'a' AS id, 'L1' AS people_load")
    assert deployment.launch("2026-01-01", "2026-01-30").success
    with a_real_instance(tmp_path) as instance:
        world = World(deployment, instance)
        assert len(world.tick("crm_loads")) == 1
        deployment.query("UPDATE shop.people SET people_load = 'L2'")
        [request] = world.tick("crm_loads")
        assert "shop.orders=L9&shop.people=L2" in str(request.run_key)


def test_r23_one_rerun_per_conversion_each_from_its_own_first_day(tmp_path: Path) -> None:
    other = {
        "conversions/late/defs.yaml": ORDER_YAML.replace("order.sql", "late.sql").replace("2026-01-01", "2026-01-20"),
        "conversions/late/late.sql": ORDER_SQL,
    }
    deployment = make_deployment(tmp_path, other)
    deployment.set_orders((*A, 1.0))
    assert deployment.launch("2026-01-01", "2026-01-30").success
    assert deployment.launch("2026-01-20", "2026-01-30", "conversions/late", "adjusted/late").success
    deployment.set_orders((*A, 2.0), load="L2")
    with a_real_instance(tmp_path) as instance:
        world = World(deployment, instance)
        assert world.settle() == [("2026-01-22", "2026-01-22", *BOTH)] * 2
        cursor = json.loads(world.cursors["crm_loads"] or "")
        assert sorted(cursor["conversions"]) == ["late", "order"]
        assert deployment.query("SELECT value FROM adjusted.late") == [(2.0,)]


def test_all_sensors_run_by_default(tmp_path: Path) -> None:
    sensors = make_deployment(tmp_path).load().sensors or ()
    assert {
        sensor.name: sensor.default_status.value for sensor in sensors if isinstance(sensor, dg.SensorDefinition)
    } == dict.fromkeys(("crm_loads", "changed_days", "stale_windows", "dead_runs"), "RUNNING")
