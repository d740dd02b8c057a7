"""The static check where a user meets it: when definitions load, in `lint-sql`, `schemas` and `validate`."""

import logging
import re
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from conversions_assets.__main__ import main
from conversions_assets.contract.check import static
from conversions_assets.contract.source import QueryError
from conversions_assets.project import read_warehouse_settings
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.schemas import read_schema_files, warehouse_schemas, write_schema_file
from conversions_assets_tests.deployment import ORDER_YAML, SHOP_YAML, Deployment, make_deployment

SCHEMA = """\
tables:
  orders: {id: STRING, client_id: STRING, created: TIMESTAMP, value: FLOAT64, load_id: STRING}
"""
BOUNDS = "created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))"
RIGHT = f"SELECT id, client_id, created, value FROM shop.orders WHERE {BOUNDS}\n"
MISTYPED = f"SELECT id, clientid AS client_id, created FROM shop.orders WHERE {BOUNDS}\n"
NUMERIC = f"SELECT value AS id, client_id, created FROM shop.orders WHERE {BOUNDS}\n"


def _deployment(root: Path, *queries: str) -> Deployment:
    """Conversions `order`, `order_1`, …, each with a query, and a schema file of the dataset shop."""
    written = {"crm/shop/shop.schema.yaml": SCHEMA}
    for number, sql in enumerate(queries):
        name = f"order_{number}" if number else "order"
        written[f"conversions/{name}/{name}.sql"] = sql
        written[f"conversions/{name}/defs.yaml"] = ORDER_YAML.replace("order.sql", f"{name}.sql")
    return make_deployment(root, written)


def _lint(deployment: Deployment, *arguments: str) -> int:
    deployment.point()
    return main(["--package", str(deployment.root / deployment.module), *(arguments or ("lint-sql",))])


def test_all_wrong_queries_are_named_at_once_when_definitions_load(tmp_path: Path) -> None:
    deployment = _deployment(tmp_path, MISTYPED, NUMERIC, "DELETE FROM shop.orders WHERE TRUE", RIGHT)
    with pytest.raises(QueryError) as refused:
        deployment.load()
    message = str(refused.value)
    assert "order.sql:1:12: the column `clientid` does not exist" in message
    assert "order_1.sql:1:8: the column `id` is FLOAT64, not STRING" in message
    assert "order_2.sql:1:1: R1: DELETE is not read-only" in message
    assert "order_3.sql" not in message
    assert "fix: write client_id" in message
    assert "fix: CAST(value AS STRING) AS id" in message


def test_a_right_query_loads_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _deployment(tmp_path, RIGHT).load()
    assert not caplog.records


def test_a_warning_is_logged_and_refuses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deployment = _deployment(tmp_path, RIGHT.replace("value FROM", "CAST(NULL AS FLOAT64) AS value FROM"))
    with caplog.at_level(logging.WARNING):
        assert deployment.load()
    assert ["R4: `value` is NULL in every row" in record.getMessage() for record in caplog.records] == [True]


def test_a_declared_partition_column_asks_for_its_filter(tmp_path: Path) -> None:
    declared = SHOP_YAML + "      partition_column: created\n"
    no_filter = "SELECT id, client_id, created FROM shop.orders WHERE value > 0\n"
    deployment = make_deployment(
        tmp_path,
        {"crm/shop/defs.yaml": declared, "crm/shop/shop.schema.yaml": SCHEMA, "conversions/order/order.sql": no_filter},
    )
    with pytest.raises(QueryError, match=r"R1: `shop\.orders` is partitioned by `created`"):
        deployment.load()
    deployment.write({"conversions/order/order.sql": RIGHT})
    assert deployment.load()


def test_the_warehouse_knows_better_than_the_file(tmp_path: Path) -> None:
    deployment = _deployment(tmp_path, f"SELECT id, client_id, created, extra AS value FROM shop.orders WHERE {BOUNDS}")
    with pytest.raises(QueryError, match="the column `extra` does not exist"):
        deployment.load()
    with duckdb.connect(str(deployment.duckdb_path)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.orders (id VARCHAR, client_id VARCHAR, created TIMESTAMPTZ, extra DOUBLE)"
        )
    assert deployment.load()


def test_without_any_schema_a_query_loads_and_the_check_says_what_it_could_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = make_deployment(tmp_path, {"conversions/order/order.sql": NUMERIC})
    assert deployment.load()
    assert _lint(deployment) == 0
    printed = capsys.readouterr().out
    assert "warning: the columns of shop.orders are not known" in printed
    assert "1 queries: 0 errors, 1 warning" in printed


def test_while_another_process_writes_the_last_seen_schema_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = _deployment(tmp_path, RIGHT)
    deployment.set_orders(("1", "2026-01-05T10:00:00Z", 1.0))
    deployment.point()
    seen = warehouse_schemas(read_warehouse_settings())
    assert seen[Table("shop", "orders")]["created"] == "TIMESTAMP"

    def locked(*_: object, **__: object) -> None:
        raise duckdb.IOException("Could not set lock on file")

    deployment.duckdb_path.touch()
    monkeypatch.setattr(duckdb, "connect", locked)
    assert warehouse_schemas(read_warehouse_settings()) == seen


def test_a_check_is_kept_until_sql_or_schema_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = _deployment(tmp_path, MISTYPED)
    with pytest.raises(QueryError) as first:
        deployment.load()
    asked = []
    monkeypatch.setattr(static, "_findings", lambda *_: asked.append(1) or [])
    with pytest.raises(QueryError) as second:
        deployment.load()
    assert str(second.value) == str(first.value)
    assert not asked
    deployment.write({"crm/shop/shop.schema.yaml": SCHEMA.replace("value:", "clientid: STRING, value:")})
    assert deployment.load()
    assert asked


def test_lint_sql_prints_every_finding_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lint(_deployment(tmp_path, MISTYPED, "SELECT 1; SELECT 2", RIGHT)) == 1
    printed = capsys.readouterr().out
    assert "order.sql:1:12: the column `clientid` does not exist" in printed
    assert "    1 | SELECT id, clientid AS client_id" in printed
    assert "order_1.sql:1:11: R1: the file holds 2 statements" in printed
    assert printed.endswith("3 queries: 2 errors, 0 warnings\n")


def test_schemas_writes_a_file_per_declared_dataset_and_the_same_file_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = make_deployment(tmp_path)
    deployment.set_orders(("1", "2026-01-05T10:00:00Z", 1.0))
    assert _lint(deployment, "schemas") == 0
    file = deployment.defs / "crm/shop/shop.schema.yaml"
    written = file.stat().st_mtime_ns
    assert read_schema_files(deployment.defs)[Table("shop", "orders")] == {
        "id": "STRING",
        "client_id": "STRING",
        "created": "TIMESTAMP",
        "value": "FLOAT64",
        "load_id": "STRING",
    }
    assert _lint(deployment, "schemas") == 0
    assert file.stat().st_mtime_ns == written
    assert f"shop: 1 tables -> {file}" in capsys.readouterr().out


def test_schemas_leaves_a_file_whose_dataset_is_not_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = _deployment(tmp_path, RIGHT)
    assert _lint(deployment, "schemas") == 0
    assert (deployment.defs / "crm/shop/shop.schema.yaml").read_text() == SCHEMA
    assert "shop: the warehouse has no such dataset" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["tables: [", "orders: {id: STRING}", "tables: {orders: STRING}", "a\0b"])
def test_a_wrong_schema_file_is_named(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = _deployment(tmp_path, RIGHT)
    deployment.write({"crm/shop/shop.schema.yaml": text})
    assert _lint(deployment) == 2
    assert re.search(r"shop\.schema\.yaml:[12]: this is no", capsys.readouterr().err)


def test_a_schema_of_all_types_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    columns = {"a": "ARRAY<STRUCT<key STRING, value STRUCT<n INT64, f FLOAT64>>>", "when": "TIMESTAMP", "no": "NUMERIC"}
    write_schema_file(tmp_path, "d", {"t": columns})
    assert read_schema_files(tmp_path) == {Table("d", "t"): columns}


def test_a_wildcard_table_is_declared_once_and_is_one_asset(tmp_path: Path) -> None:
    ga4 = "type: conversions_assets.components.CrmTables\nattributes:\n  dataset: ga4\n  tables:\n    events_*: {}\n"
    sql = "SELECT id, client_id, created FROM `ga4.events_*` WHERE _TABLE_SUFFIX = FORMAT_DATE('%Y%m%d', @start_date)"
    deployment = _deployment(tmp_path, sql)
    deployment.write({"crm/ga4/defs.yaml": ga4})
    graph = deployment.load().resolve_asset_graph()
    assert dg.AssetKey(["ga4", "events"]) in graph.external_asset_keys
    assert graph.get(dg.AssetKey(["conversions", "order"])).parent_keys == {dg.AssetKey(["ga4", "events"])}
