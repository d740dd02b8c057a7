"""A user's YAML: what it becomes, and what is said when it is wrong."""

from pathlib import Path

import dagster as dg
import pytest

from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, SHOP_YAML, causes, make_deployment

DEFS = "conversions/order/defs.yaml"
SQL = "conversions/order/order.sql"


def refusal(tmp_path: Path, files: dict[str, str]) -> str:
    """The messages with which the definitions are refused."""
    deployment = make_deployment(tmp_path, files)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (Dagster wraps it; the messages count)
        dg.Definitions.validate_loadable(deployment.load())
    return causes(caught.value)


def test_a_conversion_becomes_two_daily_assets(tmp_path: Path) -> None:
    files = {DEFS: ORDER_YAML + "  owners: [team:growth]\n  group: money\n  description: Orders.\n"}
    graph = make_deployment(tmp_path, files, zone="Europe/Berlin").load().resolve_asset_graph()
    for name in ("conversions", "adjusted"):
        node = graph.get(dg.AssetKey([name, "order"]))
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        assert node.partitions_def.timezone == "Europe/Berlin"
        assert node.partitions_def.get_first_partition_key() == "2026-01-01"
        assert node.partitions_def.get_last_partition_key() == "2026-01-30"
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert node.group_name == "money"
        assert node.owners == ["team:growth"]
        assert node.kinds == {"sql", "duckdb"}
    conversions = graph.get(dg.AssetKey(["conversions", "order"]))
    assert conversions.description == "Orders."
    assert conversions.parent_keys == {dg.AssetKey(["shop", "orders"])}
    assert graph.get(dg.AssetKey(["adjusted", "order"])).parent_keys == {dg.AssetKey(["conversions", "order"])}


def test_r03_the_newest_partition_is_yesterday_in_the_projects_zone(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path, zone="Asia/Tokyo")
    deployment.now = "2026-01-31T16:00:00+00:00"  # 2026-02-01 01:00 in Tokyo
    node = deployment.load().resolve_asset_graph().get(dg.AssetKey(["adjusted", "order"]))
    assert node.partitions_def is not None
    assert node.partitions_def.get_partition_keys()[-1] == "2026-01-31"


def test_the_code_version_follows_the_sql_and_not_its_layout(tmp_path: Path) -> None:
    def version(sql: str) -> str | None:
        deployment.write({SQL: sql})
        return deployment.load().resolve_asset_graph().get(dg.AssetKey(["conversions", "order"])).code_version

    deployment = make_deployment(tmp_path)
    first = version(ORDER_SQL)
    assert version("-- a remark\n" + ORDER_SQL.replace("\n", "  \n")) == first
    assert version(ORDER_SQL.replace("value\n", "value * 2 AS value\n")) != first


def test_raw_tables_are_external_assets_that_say_what_is_known_of_them(tmp_path: Path) -> None:
    freshness = "      updated_at: updated_at\n      freshness: {fail_after_hours: 26}\n"
    node = make_deployment(tmp_path, {"crm/shop/defs.yaml": SHOP_YAML + freshness}).load().resolve_asset_graph()
    orders = node.get(dg.AssetKey(["shop", "orders"]))
    assert not orders.is_materializable
    assert orders.metadata["primary key"] == "id"
    assert orders.metadata["load id"] == "load_id"
    assert orders.freshness_policy is not None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("adjustment_window_days: -1", "R14: a window of -1 days cannot be: write a whole number from 0 to 365"),
        ("adjustment_window_days: 366", "R14: a window of 366 days cannot be"),
        ("adjustment_window_days: thirty", "valid integer"),
        ("dedup: newest", "'earliest' or 'latest'"),
        ("freshness: {}", "write either fail_after_hours or deadline_cron"),
    ],
)
def test_a_wrong_value_is_refused_with_file_line_and_key(tmp_path: Path, line: str, says: str) -> None:
    yaml = ORDER_YAML.replace("  adjustment_window_days: 10\n", f"  {line}\n")
    message = refusal(tmp_path, {DEFS: yaml})
    assert f"defs.yaml:5: {line.partition(':')[0]}" in message
    assert says in message


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("2026-02-01", "2026-02-01 lies in the future (today is 2026-01-31): write a day that has begun"),
        ("yesterday", "'yesterday' is no date"),
    ],
)
def test_a_wrong_start_date_is_refused(tmp_path: Path, start: str, says: str) -> None:
    message = refusal(tmp_path, {DEFS: ORDER_YAML.replace("2026-01-01", start)})
    assert "defs.yaml:4: start_date" in message
    assert says in message


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    assert "windw" in refusal(tmp_path, {DEFS: ORDER_YAML + "  windw: 3\n"})


def test_a_missing_sql_file_is_refused_at_the_line_that_names_it(tmp_path: Path) -> None:
    message = refusal(tmp_path, {DEFS: ORDER_YAML.replace("order.sql", "ordr.sql")})
    assert "defs.yaml:3: query: there is no file ordr.sql in this folder" in message


def test_sql_that_does_not_parse_is_refused_when_definitions_load(tmp_path: Path) -> None:
    message = refusal(tmp_path, {SQL: "SELECT id\nFROM shop.orders WHERE (1 = "})
    assert "order.sql:2:" in message
    assert "R1" in message


def test_two_conversions_of_one_name_are_refused_with_both_folders(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"more/order/defs.yaml": ORDER_YAML, "more/order/order.sql": ORDER_SQL})
    assert "two conversions are named 'order'" in message
    assert "more/order" in message
    assert "conversions/order" in message


@pytest.mark.parametrize("name", ["Order", "1st", "order_changes", "order_drift", "order_quarantine", "order_models"])
def test_r32_a_reserved_or_odd_name_is_refused(tmp_path: Path, name: str) -> None:
    files = {f"conversions/{name}/defs.yaml": ORDER_YAML, f"conversions/{name}/order.sql": ORDER_SQL}
    message = refusal(tmp_path, files)
    assert "R32" in message
    assert name in message


def test_r32_a_reserved_dataset_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"crm/shop/defs.yaml": SHOP_YAML.replace("dataset: shop", "dataset: adjusted")})
    assert "R32: 'adjusted' is a dataset of this project" in message
    assert "defs.yaml:3" in message


def test_raw_tables_take_no_odd_names(tmp_path: Path) -> None:
    odd = SHOP_YAML.replace("load_id: load_id", 'load_id: "x; drop table y"')
    assert "neither `column` nor `table.column`" in refusal(tmp_path, {"crm/shop/defs.yaml": odd})
