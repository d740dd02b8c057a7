"""R13: which runs wait for each other, by the pools of what they hold."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from conversions_assets_tests.deployment import ORDER_SQL, ORDER_YAML, make_deployment


def _pools(definitions: dg.Definitions) -> Mapping[str, str | None]:
    nodes = definitions.resolve_asset_graph().asset_nodes
    assets = {node.key.to_user_string(): next(iter(node.pools), None) for node in nodes if node.is_materializable}
    jobs = {name: definitions.resolve_job_def(name).nodes[0].definition for name in ("scan", "drift_audit")}
    return assets | {name: next(iter(op.pools), None) for name, op in jobs.items()}


def test_r13_in_bigquery_conversions_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = {
        "conversions/sale/defs.yaml": ORDER_YAML.replace("order.sql", "sale.sql"),
        "conversions/sale/sale.sql": ORDER_SQL,
    }
    deployment = make_deployment(tmp_path, twin)
    on_duckdb = _pools(deployment.load())
    assert set(on_duckdb.values()) == {"duckdb"}

    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GCP_PROJECT", "acme")
    deployment.now = "2026-01-31T07:00:00+00:00"
    on_bigquery = _pools(deployment.load())
    assert on_bigquery == {
        "conversions/order": "bigquery_order",
        "adjusted/order": "bigquery_order",
        "conversions/sale": "bigquery_sale",
        "adjusted/sale": "bigquery_sale",
        "drift_audit": "bigquery_drift_audit",
        "scan": None,
    }
