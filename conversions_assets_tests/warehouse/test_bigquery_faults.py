"""What BigQuery complains of: what is sent again, what is said, and what is never written."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError

from conversions_assets.warehouse import bigquery_errors as faults
from conversions_assets.warehouse.base import WarehouseConflictError, WarehouseError, WarehouseFaultError
from conversions_assets.warehouse.bigquery import BigQueryWarehouse, open_bigquery
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.leads import COLUMNS, LEAD, PATIENCE, bigquery, client, ids, lead, warehouse

__all__ = ["client", "warehouse"]


class _Failing:
    """Lets the first jobs of a client end as BigQuery lets them: done, with an error in their state."""

    def __init__(self, client: EmulatedClient) -> None:
        self.calls = self.times = 0
        self.error: dict[str, str] = {}
        self._query = client.query
        client.query = self._failing  # type: ignore[method-assign]

    def jobs(self, times: int, reason: str, message: str) -> None:
        self.calls, self.times, self.error = 0, times, {"reason": reason, "message": message}

    def _failing(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls > self.times:
            return self._query(*args, **options)
        done = {"job_id": "j", "session_info": None, "statement_type": "SELECT", "error_result": self.error}
        return SimpleNamespace(done=lambda **_: True, **done)


@pytest.fixture
def failing(client: EmulatedClient) -> _Failing:
    return _Failing(client)


@pytest.mark.parametrize("reason", ["backendError", "rateLimitExceeded", "jobRateLimitExceeded", "jobBackendError"])
def test_a_job_that_failed_by_bigquerys_fault_is_run_again(
    warehouse: BigQueryWarehouse, failing: _Failing, reason: str
) -> None:
    failing.jobs(1, reason, "try again")
    assert warehouse.query(bigquery("SELECT 1 AS one")) == [{"one": 1}]
    assert failing.calls == 2


@pytest.mark.parametrize("reason", ["quotaExceeded", "invalidQuery", "stopped", "resourcesExceeded", "notFound"])
def test_a_job_that_failed_by_its_own_fault_is_not_run_again(
    warehouse: BigQueryWarehouse, failing: _Failing, reason: str
) -> None:
    failing.jobs(9, reason, "no")
    with pytest.raises(WarehouseError):
        warehouse.query(bigquery("SELECT 1 AS one"))
    assert failing.calls == 1


def test_a_job_that_goes_on_failing_says_so_after_the_patience(warehouse: BigQueryWarehouse, failing: _Failing) -> None:
    failing.jobs(99, "rateLimitExceeded", "too many")
    with pytest.raises(WarehouseFaultError, match="also after waiting: run this again later"):
        warehouse.query(bigquery("SELECT 1 AS one"))
    assert failing.calls >= 2


CONFLICT = "Transaction is aborted due to concurrent update against table p:conversions.lead. Transaction ID: 1"


def test_a_transaction_that_met_another_is_run_again_as_a_whole(
    warehouse: BigQueryWarehouse, client: EmulatedClient, failing: _Failing
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    looks: list[str] = []
    look = client.get_table
    client.get_table = lambda name, **options: looks.append(name) or look(name, **options)  # type: ignore[method-assign,assignment,func-returns-value]
    failing.jobs(1, "invalidQuery", CONFLICT)
    with warehouse.transaction():
        warehouse.execute([bigquery("DELETE FROM conversions.lead WHERE day = DATE '2026-01-01'"), lead("a")])
    assert failing.calls == 2
    assert len(looks) == 2
    assert ids(warehouse) == ["a"]


def test_a_run_that_read_what_another_has_written_since_writes_nothing(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    # The emulator moves the time of a table when its columns change, not when its rows do.
    with BigQueryWarehouse(client, PATIENCE) as other:
        other.create_table(LEAD, COLUMNS | {"note": "STRING"})
    refused = pytest.raises(WarehouseConflictError, match=r"has written conversions\.lead since.*run this again")
    with refused, warehouse.transaction():
        warehouse.execute([lead("a")])
    assert ids(warehouse) == []


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_request_that_found_bigquery_down_is_sent_again(code: int) -> None:
    assert faults.may_be_sent_again(exceptions.from_http_status(code, "no"))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 412])
def test_a_request_that_is_wrong_is_not(code: int) -> None:
    assert not faults.may_be_sent_again(exceptions.from_http_status(code, "no"))


def test_a_warehouse_that_does_not_answer_is_no_fault_of_the_sql() -> None:
    warehouse = BigQueryWarehouse(EmulatedClient("http://127.0.0.1:9", "p"), timedelta(seconds=1))
    with pytest.raises(WarehouseFaultError, match=r"does not answer \(ConnectionError\)"):
        warehouse.query(bigquery("SELECT 1"))


def test_without_credentials_the_command_to_get_some_is_named() -> None:
    class _Nobody:
        def __enter__(self) -> Any:
            raise DefaultCredentialsError("none")

        def __exit__(self, *_: object) -> None: ...

    refused = pytest.raises(WarehouseFaultError, match="gcloud auth application-default login")
    with refused, open_bigquery(_Nobody()):  # type: ignore[arg-type]
        pass


def test_a_dataset_in_another_location_is_named(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    client.create_dataset(_in_us(client))
    with pytest.raises(WarehouseFaultError, match="conversions lies in US, BIGQUERY_LOCATION says EU"):
        warehouse.create_table(LEAD, COLUMNS)


def _in_us(client: EmulatedClient) -> Any:
    from google.cloud.bigquery import Dataset

    dataset = Dataset(f"{client.project}.conversions")
    dataset.location = "US"
    return dataset


@pytest.mark.parametrize(
    ("reason", "message", "is_fault", "advice"),
    [
        (
            "accessDenied",
            "Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.",
            True,
            "give it the role BigQuery Job User",
        ),
        ("notFound", "Not found: Project p", True, "correct GCP_PROJECT"),
        (
            "notFound",
            "Not found: Dataset p:shop was not found in location EU",
            False,
            "BIGQUERY_LOCATION, or make the dataset there. Schema with name shop does not exist",
        ),
        (
            "invalidQuery",
            "Cannot query over table 'shop.orders' without a filter over column(s) 'day' that can be used for "
            "partition elimination",
            False,
            "declare it as partition_column",
        ),
        (
            "bytesBilledLimitExceeded",
            "Query exceeded limit for bytes billed: 1000000. 10485760 or higher required.",
            False,
            "raise maximum_bytes_billed",
        ),
        ("quotaExceeded", "Custom quota exceeded: Your usage exceeded QueryUsagePerDay", True, "raise it"),
        ("resourcesExceeded", "Resources exceeded during query execution", False, "read fewer days"),
        ("invalid", "Session abc is not found", True, "run this again"),
        ("invalidQuery", CONFLICT, True, "Run this again later"),
    ],
)
def test_a_refusal_says_what_to_do(reason: str, message: str, is_fault: bool, advice: str) -> None:
    error = faults.refused(reason, message)
    assert isinstance(error, WarehouseFaultError) is is_fault
    assert advice in str(error)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Not found: Table p:shop.orderz was not found in location EU", "Table with name shop.orderz does not exist"),
        (
            "Unrecognized name: totl; Did you mean total? at [1:8]",
            'Referenced column "totl" not found. Did you mean total?',
        ),
        ("Function not found: foo at [1:8]", "Scalar Function with name foo does not exist"),
        ('Syntax error: Unexpected identifier "SELEC" at [1:1]', 'Syntax error: Unexpected identifier "SELEC"'),
    ],
)
def test_a_complaint_about_the_sql_is_found_at_its_word(message: str, expected: str) -> None:
    assert str(faults.refused("invalidQuery", message)) == expected


@pytest.mark.parametrize(
    "message",
    ["Bad int64 value: 'jane@example.com'", 'Invalid date: "1977-04-05"', "division by zero: 4711 / 0"],
)
def test_r11_the_message_of_a_data_error_holds_no_value_of_a_row(message: str) -> None:
    said = str(faults.refused("invalidQuery", message))
    assert not any(secret in said for secret in ("jane", "1977", "4711"))
