"""Every test has a cache, a clock and a warehouse of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conversions_assets_tests.shop import Shop, make_shop


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


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty shop with the conversion `order`, W = 10, in UTC and EUR."""
    return make_shop(tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, so that the processes of `make test` end at about the same time."""
    items.sort(key=lambda item: "scenarios" not in item.path.parts)
