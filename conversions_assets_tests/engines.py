"""The tests of the rules on both engines: on DuckDB always, on BigQuery those marked `both_engines`.

In a soak (`make soak-bigquery`), and where BIGQUERY_TEST_PROJECT names a real project, all of them run on BigQuery too.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conversions_assets_tests.shop import Shop, make_shop
from conversions_assets_tests.warehouse.api_methods import called_methods, refuse_unlisted
from conversions_assets_tests.warehouse.bigquery_shop import shop_of
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.emulator import is_installed, running_emulator
from conversions_assets_tests.warehouse.pruning import unpruned
from conversions_assets_tests.warehouse.real_client import RealClient

PROJECT = os.environ.get("BIGQUERY_TEST_PROJECT")
ALL = bool(os.environ.get("CONVERSIONS_SOAK") or PROJECT)
ON_BIGQUERY = pytest.param("bigquery", marks=pytest.mark.bigquery)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of the shop, of the prediction's CRM or of a session once per engine."""
    marked = metafunc.definition.get_closest_marker
    if not marked("both_engines") and (not ALL or marked("duckdb_only")):
        return
    for name in ("shop", "crm", "session"):
        # A module with a fixture of its own has its reasons.
        if name in metafunc.fixturenames and not hasattr(metafunc.module, name):
            metafunc.parametrize(name, ["duckdb", ON_BIGQUERY], indirect=True)


@pytest.fixture(scope="session")
def bigquery_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the emulator listens. Skips where it is not installed, unless the test must run (`.ci/run`).

    At the end docs/deploy.md must list each method of the API that the code has called.
    """
    if not is_installed():
        reason = "the BigQuery emulator is not installed: make bigquery-emulator"
        assert not os.environ.get("CONVERSIONS_REQUIRE_SHARED"), reason
        pytest.skip(reason)
    log = tmp_path_factory.mktemp("bigquery") / "emulator.log"
    with running_emulator(log) as address, called_methods() as called:
        yield address
    refuse_unlisted(called)


@pytest.fixture
def bigquery_client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmulatedClient | RealClient]:
    """A client with nothing in its datasets: a project of the emulator, or datasets of a real one that are dropped.

    At the end no job of the test may have read all days of a table that is partitioned by day.
    """
    name = re.sub(r"[^a-z0-9-]", "-", tmp_path.name.lower())
    client: EmulatedClient | RealClient
    if PROJECT:
        client = RealClient(PROJECT, f"test_{os.getpid()}_{name.replace('-', '_')}_")
    else:
        client = EmulatedClient(request.getfixturevalue("bigquery_address"), name)
    try:
        yield client
    finally:
        if isinstance(client, RealClient):
            client.drop()
    found = unpruned(job.sql for job in client.requests)
    assert not found, "reads all days of a table that is partitioned by day:\n" + "\n".join(found)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """An empty shop with the conversion `order`, W = 10, in UTC and EUR."""
    if getattr(request, "param", "duckdb") == "duckdb":
        return make_shop(tmp_path)
    return shop_of(tmp_path, request.getfixturevalue("bigquery_client"))
