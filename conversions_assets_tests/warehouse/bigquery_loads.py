"""The conformance suite of the CRMs with BigQuery in the place of DuckDB: each test has a project of its own."""

import copy
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
import sqlglot
from dlt.destinations.impl.bigquery.sql_client import BigQuerySqlClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from sqlglot import exp

from conversions_assets.crm.tables import Row
from conversions_assets.warehouse.loading import bigquery_destination
from conversions_assets_tests.crm.conformance import Conformance
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient, Request


@pytest.fixture
def emulated(bigquery_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmulatedClient:
    """A project of the test's own. Whoever makes a client of Google's, dlt and Dagster too, gets one of the emulator's.

    All of them write to the same `requests`.
    """
    project = re.sub(r"[^a-z0-9-]", "-", tmp_path.name.lower())
    requests: list[Request] = []

    class Client(EmulatedClient):
        def __init__(self, project: str, **_: Any) -> None:
            super().__init__(bigquery_address, project)
            self.requests = requests

        def query_and_wait(self, query: str, job_config: Any = None, **_: Any) -> Any:
            # The emulator answers this call as if no statement had failed.
            config = copy.deepcopy(job_config)
            if "INFORMATION_SCHEMA" in query:
                config.default_dataset = None
            trees = [tree for tree in sqlglot.parse(query, read="bigquery") if isinstance(tree, exp.Alter)]
            texts = [tree.sql(dialect="bigquery") for tree in trees] or [query]
            return [self._done(text, config) for text in texts][-1]

        def _done(self, text: str, config: Any) -> Any:
            job = self.query(text, job_config=config, retry=None, job_retry=None)
            return job.result(retry=None, job_retry=None)

    monkeypatch.setattr(bigquery, "Client", Client)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), None))
    # The emulator does not unpack what it is sent.
    monkeypatch.setenv("NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION", "true")
    return Client(project)


class OnBigQuery(Conformance):
    """Inherit before a CRM's suite."""

    client: EmulatedClient
    _destination: Any

    @pytest.fixture(autouse=True)
    def _project(self, emulated: EmulatedClient) -> Iterator[None]:
        with bigquery_destination(emulated.project, "EU") as destination:
            self.use(emulated, destination)
            yield

    def use(self, client: EmulatedClient, destination: Any) -> None:
        """Load into a project."""
        self.client, self._destination = client, destination

    def destination(self, tmp_path: Path) -> Any:
        return self._destination

    def sql(self, tmp_path: Path, statement: str) -> None:
        super(EmulatedClient, self.client).query(statement).result()

    def rows(self, tmp_path: Path, name: str) -> list[Row]:
        return [dict(row.items()) for row in self.client.query(f"SELECT * FROM {self.crm}.{name}").result()]


def killed_at_merge(number: int, work: Callable[[], object]) -> None:
    """Do the work in a process of its own that dies when it sends its n-th MERGE."""
    child = os.fork()
    if child:
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it ended before"
        return
    merges = 0
    execute = BigQuerySqlClient.execute_query

    def dying(client: Any, query: Any, *args: Any, **options: Any) -> Any:
        nonlocal merges
        merges += "MERGE INTO" in query
        if merges >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(client, query, *args, **options)

    try:
        BigQuerySqlClient.execute_query = dying  # type: ignore[method-assign]
        work()
    finally:
        os._exit(os.EX_OK)
