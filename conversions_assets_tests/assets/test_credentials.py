"""A service account's key that comes by the environment alone, as in Dagster+ serverless."""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conversions_assets.assets.warehouse import BigQueryWarehouseResource
from conversions_assets.project import ConfigurationError
from conversions_assets.warehouse import bigquery, loading

NAME = "GOOGLE_APPLICATION_CREDENTIALS"
WAREHOUSE = BigQueryWarehouseResource(project="acme", location="EU")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the file of the default credentials holds whenever a client of Google's is about to be made."""
    found: list[object] = []

    @contextmanager
    def looking(*_: object) -> Iterator[None]:
        path = os.environ.get(NAME)
        found.append(json.loads(Path(path).read_text(encoding="utf-8")) if path else None)
        yield

    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setattr(bigquery, "open_bigquery", looking)
    monkeypatch.setattr(loading, "bigquery_destination", looking)
    return found


def test_a_key_is_a_file_only_while_the_warehouse_is_open(seen: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCP_CREDENTIALS", base64.b64encode(b'{"type": "service_account"}').decode())
    with WAREHOUSE.open():
        pass
    with WAREHOUSE.destination("hubspot"):
        pass
    assert seen == [{"type": "service_account"}] * 2
    assert NAME not in os.environ


def test_without_a_key_the_default_credentials_stay_as_they_are(seen: list[object]) -> None:
    with WAREHOUSE.open(), WAREHOUSE.destination("hubspot"):
        pass
    assert seen == [None, None]


@pytest.mark.parametrize("key", ["/run/secrets/key.json", "e30"])
def test_what_is_no_key_is_refused_without_being_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCP_CREDENTIALS", key)
    with pytest.raises(ConfigurationError, match=r"base64 -w0 key\.json") as refused, WAREHOUSE.open():
        pass
    assert key not in str(refused.value)
