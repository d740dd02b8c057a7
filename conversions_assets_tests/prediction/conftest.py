"""Runs as quick as those of the adjustment rules."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conversions_assets_tests.adjustment.conftest import QuickWarehouse, quick_runs
from conversions_assets_tests.prediction.crm import Crm, make_crm


@pytest.fixture(scope="package", autouse=True)
def _quick_runs() -> Iterator[None]:
    with quick_runs():
        yield


@pytest.fixture
def crm(tmp_path: Path) -> Crm:
    """An empty CRM; the clock stands 100 days and 6 hours after its start."""
    made = make_crm(tmp_path)
    made.warehouse = QuickWarehouse
    return made
