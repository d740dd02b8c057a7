"""Leads and their deals on both engines, row by row: the target, the model, the scores, what is published of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conversions_assets_tests.engines import ALL
from conversions_assets_tests.prediction.bigquery_crm import crm_on_bigquery
from conversions_assets_tests.prediction.crm import Crm, lead, make_crm, simulated
from conversions_assets_tests.warehouse.comparing import comparable_rows
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

TABLES = {
    "predicted.lead": "id, day",
    "predicted._lead_days": "day",
    "adjusted.lead": "id",
    "adjusted.lead_changes": "id, version",
    "adjusted.lead_drift": "id, kind, field",
    "adjusted.deal": "id",
}


def _tables(crm: Crm) -> dict[str, Any]:
    """All rows. A fingerprint, and with it the name of a model, is the engine's own."""
    found = {}
    for table, order in TABLES.items():
        rows = comparable_rows(crm.query(f"SELECT * FROM {table} ORDER BY {order}"))
        found[table] = [{n: v is None if n == "model_version" else v for n, v in row.items()} for row in rows]
        for row in found[table]:
            for entry in ("before", "after"):
                if row.get(entry):
                    row[entry] = {n: v for n, v in row[entry].items() if n != "model_version"}
    return found


def _story(crm: Crm) -> Iterator[Any]:
    """A backfill of 40 days with a fallback model, then ten days later more leads, more deals and newer scores."""
    leads, deals = simulated(4, 60, seed=7)
    leads.append(lead("nobody", 3.0, user_id=None))
    for days in (40.25, 50.25):
        crm.at(days)
        crm.load([row for row in leads if row["created"] < crm.now], [row for row in deals if row["created"] < crm.now])
        crm.publish_deals()
        crm.convert()
        fitted = crm.fit()
        yield fitted.model is None or (fitted.model.level, [f.key for f in fitted.model.features])
        scored = crm.predict()
        yield comparable_rows(scored.per_day), scored.eligibility
        published = crm.publish_leads()
        yield comparable_rows(published.changes), published.replay
    yield _tables(crm)


@pytest.mark.bigquery
@pytest.mark.skipif(not ALL, reason="two fits and a hundred jobs: make soak-bigquery")
def test_r25_to_r30_predicting_is_told_alike_by_both_engines(bigquery_client: EmulatedClient, tmp_path: Path) -> None:
    folder = tmp_path / "bigquery"
    folder.mkdir()
    on_bigquery, on_duckdb = crm_on_bigquery(folder, bigquery_client), make_crm(tmp_path)
    for told, expected in zip(_story(on_bigquery), _story(on_duckdb), strict=True):
        assert told == expected
    assert {row["reason"] for row in on_duckdb.ledger()} >= {"PUBLISHED", "RESCORED"}
