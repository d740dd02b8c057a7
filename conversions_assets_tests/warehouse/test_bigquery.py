"""BigQuery as an engine: the protocol on the emulator, and what is asked of BigQuery where the emulator cannot tell."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError

from conversions_assets.warehouse import bigquery_errors as faults
from conversions_assets.warehouse.base import (
    Statement,
    Table,
    WarehouseConflictError,
    WarehouseError,
    WarehouseFaultError,
)
from conversions_assets.warehouse.bigquery import BigQueryWarehouse, open_bigquery
from conversions_assets.warehouse.dialect import parse_bigquery
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient

LEAD = Table("conversions", "lead")
COLUMNS = {"id": "STRING", "day": "DATE", "value": "FLOAT64", "params": "ARRAY<STRUCT<key STRING, value STRING>>"}
PATIENCE = timedelta(seconds=3)


@pytest.fixture
def client(bigquery_address: str, tmp_path: Path) -> EmulatedClient:
    """A project of the test's own."""
    return EmulatedClient(bigquery_address, tmp_path.name.replace("_", "-").lower())


@pytest.fixture
def warehouse(client: EmulatedClient) -> Iterator[BigQueryWarehouse]:
    with BigQueryWarehouse(client, PATIENCE) as warehouse:
        yield warehouse


def _bigquery(sql: str, **params: object) -> Statement:
    [tree] = parse_bigquery(sql)
    return Statement(tree, params)


def _lead(id: str) -> Statement:
    return _bigquery("INSERT INTO conversions.lead (id, day) VALUES (@id, DATE '2026-01-01')", id=id)


def _ids(warehouse: BigQueryWarehouse) -> list[str]:
    return [row["id"] for row in warehouse.query(_bigquery("SELECT id FROM conversions.lead ORDER BY id"))]


# --- the protocol -------------------------------------------------------------------------------------------------


def test_parameters_reach_the_engine_with_their_types(warehouse: BigQueryWarehouse) -> None:
    given: dict[str, Any] = {
        "a": 1,
        "b": 1.5,
        "c": "x",
        "d": date(2026, 1, 1),
        "e": datetime(2026, 1, 1, 6, tzinfo=UTC),
        "f": True,
        "g": None,
    }
    marks = ", ".join(f"@{name} AS {name}" for name in given)
    assert warehouse.query(_bigquery(f"SELECT {marks}", **given)) == [given]


def test_describe_tells_types_without_running_anything(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    query = "SELECT id, value, NULL AS user_id, @start_date AS first FROM conversions.lead"
    types = warehouse.describe(_bigquery(query, start_date=date(2026, 1, 1)))
    assert types == {"id": "STRING", "value": "FLOAT64", "user_id": "NULL", "first": "DATE"}
    assert client.requests[-1].config["dryRun"] is True


def test_a_table_that_is_not_there_has_no_columns_and_an_older_one_gets_those_that_came_later(
    warehouse: BigQueryWarehouse,
) -> None:
    assert warehouse.columns(LEAD) is None
    warehouse.create_table(LEAD, COLUMNS)
    assert warehouse.columns(LEAD) == COLUMNS
    warehouse.execute([_lead("a")])
    warehouse.create_table(LEAD, COLUMNS | {"user_id": "STRING", "amount": "INT64"})
    assert warehouse.columns(LEAD) == COLUMNS | {"user_id": "STRING", "amount": "INT64"}
    assert _ids(warehouse) == ["a"]


def test_the_tables_of_a_dataset_are_listed_with_the_newest_of_each_day(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    assert warehouse.tables("ga4") == {}
    client.create_dataset("ga4")
    for name, column in {
        "events_20260101": "a",
        "events_20260102": "b",
        "events_intraday_1": "c",
        "users": "d",
    }.items():
        client.query(f"CREATE TABLE ga4.{name} ({column} ARRAY<STRUCT<key STRING, value INT64>>)").result()
    found = warehouse.tables("ga4")
    assert {name: list(columns) for name, columns in found.items()} == {
        "events_20260102": ["b"],
        "events_intraday_1": ["c"],
        "users": ["d"],
    }
    assert found["users"]["d"] == "ARRAY<STRUCT<key STRING, value INT64>>"


def test_a_table_is_partitioned_by_day_and_clustered_by_id(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    assert client.requests[-1].sql.endswith(") PARTITION BY `day` CLUSTER BY `id`")
    assert client.get_table(f"{client.project}.{LEAD}").time_partitioning.field == "day"
    warehouse.create_table(Table("fx", "rates"), {"date": "DATE", "rate": "FLOAT64"})
    assert client.requests[-1].sql.endswith("`rate` FLOAT64)")
    warehouse.create_table(Table("conversions", "_lead_days"), {"day": "DATE"}, by_day=False)
    assert client.requests[-1].sql.endswith("`day` DATE)")


def test_a_frame_goes_into_the_session_and_comes_back(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "value": [1.5, 2.0], "day": [date(2026, 1, 1), date(2026, 1, 2)]})
    for size in (2, 1):
        warehouse.load("fresh", frame.head(size))
        read = warehouse.frame(_bigquery("SELECT id, value, day FROM fresh ORDER BY id"))
        pd.testing.assert_frame_equal(read, frame.head(size), check_dtype=False)
    config = next(request.config for request in client.requests if "destination" in request.config)
    assert config["destination"] == f"{client.project}._SESSION.fresh"
    assert config["load"]["writeDisposition"] == "WRITE_TRUNCATE"
    assert [entry["key"] for entry in config["load"]["connectionProperties"]] == ["session_id"]


def test_r12_a_transaction_commits_whole_or_not_at_all(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    with warehouse.transaction():
        warehouse.execute([_lead("a")])
        warehouse.execute([_bigquery("UPDATE conversions.lead SET value = 1 WHERE day = DATE '2026-01-01'")])
    sent = client.requests[-1].sql.split(";\n")
    assert (sent[0], sent[-1], len(sent)) == ("BEGIN TRANSACTION", "COMMIT TRANSACTION", 4)
    with pytest.raises(WarehouseError), warehouse.transaction():
        warehouse.execute([_lead("b"), _bigquery("UPDATE conversions.lead SET value = ERROR('no') WHERE TRUE")])
    assert _ids(warehouse) == ["a"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_r12_a_process_that_dies_between_the_statements_of_a_transaction_has_sent_none(
    warehouse: BigQueryWarehouse, client: EmulatedClient, after: int
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    sent = len(client.requests)
    with suppress(KeyboardInterrupt), warehouse.transaction():
        warehouse.execute([_lead(id) for id in "ab"[:after]])
        raise KeyboardInterrupt
    assert len(client.requests) == sent
    assert _ids(warehouse) == []
    with warehouse.transaction():
        warehouse.execute([_lead("c")])
    assert _ids(warehouse) == ["c"]


def test_a_transaction_takes_no_select_and_no_name_with_two_values(warehouse: BigQueryWarehouse) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    with pytest.raises(WarehouseError, match="takes no SELECT"), warehouse.transaction():
        warehouse.query(_bigquery("SELECT 1"))
    with pytest.raises(ValueError, match="@id two values"), warehouse.transaction():
        warehouse.execute([_lead("a"), _lead("b")])


# --- what each job carries ----------------------------------------------------------------------------------------


def test_every_job_carries_labels_a_limit_its_session_and_its_parameters(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    labels = {"conversion": "lead", "days": "2026-01-01_2026-01-31", "run": "1C6A/b"}
    warehouse.charge(labels, maximum_bytes_billed=10_000_000)
    warehouse.create_table(LEAD, COLUMNS)
    with warehouse.transaction():
        warehouse.execute([_lead("a")])
    warehouse.describe(_bigquery("SELECT 1 AS one"))
    assert _ids(warehouse) == ["a"]
    first, *others = [request.config for request in client.requests]
    assert first["query"]["createSession"] is True
    for config in (first, *others):
        assert config["labels"] == labels | {"run": "1c6a-b"}
        assert config["query"]["maximumBytesBilled"] == "10000000"
    sessions = [json.dumps(config["query"]["connectionProperties"]) for config in others]
    assert len(set(sessions)) == 1
    [id] = others[0]["query"]["queryParameters"]
    assert id == {"name": "id", "parameterType": {"type": "STRING"}, "parameterValue": {"value": "a"}}


def test_the_jobs_of_a_session_are_kept_with_their_bytes(warehouse: BigQueryWarehouse) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    with warehouse.transaction():
        warehouse.execute([_lead("a")])
    warehouse.describe(_bigquery("SELECT 1 AS one"))
    assert [job.kind for job in warehouse.jobs] == ["CREATE_TABLE", "SCRIPT"]
    assert len({job.id for job in warehouse.jobs}) == 2
    assert all(job.bytes_billed == 0 for job in warehouse.jobs)


# --- functions that BigQuery has not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("trimmed('\\u00a0 a b\\u000b\\n')", "a b"),
        ("as_is('x')", "x"),
        ("has_key([STRUCT('a' AS key, 'b' AS value)], 'a')", True),
        ("has_key([STRUCT('a' AS key, 'b' AS value)], 'b')", False),
        ("param([STRUCT('a' AS key, 'b' AS value)], 'a')", "b"),
        (
            'params_in(\'{"params":[{"key":"b","value":"1"},{"key":"a","value":"2"}]}\')',
            [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}],
        ),
        (
            "sorted_params([STRUCT('b' AS key, '1' AS value), STRUCT('a', '2'), STRUCT('b', '3')])",
            [{"key": "a", "value": "2"}, {"key": "b", "value": "1"}],
        ),
    ],
)
def test_a_function_of_ours_means_what_it_means_on_duckdb(
    warehouse: BigQueryWarehouse, call: str, expected: Any
) -> None:
    assert warehouse.query(_bigquery(f"SELECT {call} AS found")) == [{"found": expected}]


def test_r09_params_are_cleaned(warehouse: BigQueryWarehouse) -> None:
    rows = "[STRUCT(' UTM-Source ' AS key, 'x' AS value), STRUCT('', 'y'), STRUCT('a b', ''), STRUCT('c', NULL)]"
    found = warehouse.query(_bigquery(f"SELECT clean_params(p) AS found FROM (SELECT {rows} AS p)"))
    assert found == [{"found": [{"key": "utm_source", "value": "x"}]}]


# --- faults -------------------------------------------------------------------------------------------------------


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
    assert warehouse.query(_bigquery("SELECT 1 AS one")) == [{"one": 1}]
    assert failing.calls == 2


@pytest.mark.parametrize("reason", ["quotaExceeded", "invalidQuery", "stopped", "resourcesExceeded", "notFound"])
def test_a_job_that_failed_by_its_own_fault_is_not_run_again(
    warehouse: BigQueryWarehouse, failing: _Failing, reason: str
) -> None:
    failing.jobs(9, reason, "no")
    with pytest.raises(WarehouseError):
        warehouse.query(_bigquery("SELECT 1 AS one"))
    assert failing.calls == 1


def test_a_job_that_goes_on_failing_says_so_after_the_patience(warehouse: BigQueryWarehouse, failing: _Failing) -> None:
    failing.jobs(99, "rateLimitExceeded", "too many")
    with pytest.raises(WarehouseFaultError, match="also after waiting: run this again later"):
        warehouse.query(_bigquery("SELECT 1 AS one"))
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
        warehouse.execute([_bigquery("DELETE FROM conversions.lead WHERE day = DATE '2026-01-01'"), _lead("a")])
    assert failing.calls == 2
    assert len(looks) == 2
    assert _ids(warehouse) == ["a"]


def test_a_run_that_read_what_another_has_written_since_writes_nothing(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    # The emulator moves the time of a table when its columns change, not when its rows do.
    with BigQueryWarehouse(client, PATIENCE) as other:
        other.create_table(LEAD, COLUMNS | {"note": "STRING"})
    refused = pytest.raises(WarehouseConflictError, match=r"has written conversions\.lead since.*run this again")
    with refused, warehouse.transaction():
        warehouse.execute([_lead("a")])
    assert _ids(warehouse) == []


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_request_that_found_bigquery_down_is_sent_again(code: int) -> None:
    assert faults.may_be_sent_again(exceptions.from_http_status(code, "no"))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 412])
def test_a_request_that_is_wrong_is_not(code: int) -> None:
    assert not faults.may_be_sent_again(exceptions.from_http_status(code, "no"))


def test_a_warehouse_that_does_not_answer_is_no_fault_of_the_sql() -> None:
    warehouse = BigQueryWarehouse(EmulatedClient("http://127.0.0.1:9", "p"), timedelta(seconds=1))
    with pytest.raises(WarehouseFaultError, match=r"does not answer \(ConnectionError\)"):
        warehouse.query(_bigquery("SELECT 1"))


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
