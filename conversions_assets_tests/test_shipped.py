"""What this repository ships: its asset graph, so that a change of it is seen in review, and what README promises."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from conversions_assets.definitions import build_definitions
from conversions_assets.project import PACKAGE
from conversions_assets_tests.shop import Shop, day, order

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_shipped_asset_graph(snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSIONS_NOW", "2026-01-04T00:00:00+00:00")
    definitions = build_definitions(PACKAGE)
    graph = definitions.resolve_asset_graph()
    shown: dict[str, Any] = {}
    for node in graph.asset_nodes:
        shown[node.key.to_user_string()] = {
            "parents": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "partitions": None if node.partitions_def is None else str(node.partitions_def),
            "checks": sorted(key.name for key in node.check_keys),
        }
    jobs = sorted(job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__"))
    assert {"assets": shown, "jobs": jobs} == snapshot


def test_the_example_of_readme_over_three_days(shop: Shop) -> None:
    """Order 7 of Monday 2026-02-02, W = 2."""
    shop.configure(window_days=2)
    confirmed, cancelled = (
        order("7", "2026-02-02T12:00", 100.0),
        order("7", "2026-02-02T12:00", 100.0, status="cancelled"),
    )
    told = []
    for number, row in ((3, confirmed), (4, cancelled), (5, confirmed)):
        shop.now = datetime(2026, 2, number, 6, tzinfo=UTC)
        shop.set_orders([row])
        shop.update(day(f"02-0{number - 2}"), day(f"02-0{number - 1}"))
        seven = shop.published()["7"]
        told.append((seven["status"], seven["value"], seven["previous_value"], [v["reason"] for v in shop.ledger("7")]))
    assert told == [
        ("ACTIVE", 100.0, None, ["PUBLISHED"]),
        ("RETRACTED", 0.0, 100.0, ["PUBLISHED", "VANISHED"]),
        ("RETRACTED", 0.0, 100.0, ["PUBLISHED", "VANISHED"]),
    ]
    shop.audit()
    assert [row["value_delta"] for row in shop.drift()] == [100.0]


def test_readme_names_every_target_and_variable_that_exists() -> None:
    makefile = (PACKAGE.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    read = set(re.findall(r'"(CONVERSIONS_[A-Z_]+)"', (PACKAGE / "project.py").read_text(encoding="utf-8")))
    assert read <= set(re.findall(r"`(CONVERSIONS_[A-Z_]+)`", README))
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (PACKAGE.parent / link).exists(), link
