"""The BigQuery emulator, once for all tests that need it."""

import os
from collections.abc import Iterator

import pytest

from conversions_assets_tests.warehouse.emulator import is_installed, running_emulator


@pytest.fixture(scope="session")
def bigquery_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the emulator listens. Skips where it is not installed, unless the test must run (`.ci/run`)."""
    if not is_installed():
        reason = "the BigQuery emulator is not installed: make bigquery-emulator"
        assert not os.environ.get("CONVERSIONS_REQUIRE_SHARED"), reason
        pytest.skip(reason)
    with running_emulator(tmp_path_factory.mktemp("bigquery") / "emulator.log") as address:
        yield address
