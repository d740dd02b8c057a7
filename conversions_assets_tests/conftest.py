"""Every test has a cache, a clock and a warehouse of its own."""

from pathlib import Path

import pytest

from conversions_assets_tests.shop import Shop, make_shop


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSIONS_CACHE", str(tmp_path / "cache"))
    for name in ("CONVERSIONS_NOW", "CONVERSIONS_DUCKDB_PATH", "CONVERSIONS_WAREHOUSE", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty shop with the conversion `order`, W = 10, in UTC and EUR."""
    return make_shop(tmp_path)
