"""BigQuery as an engine: the protocol on the emulator, and what is asked of BigQuery where the emulator cannot tell."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from conversions_assets.warehouse.base import Table, WarehouseError
from conversions_assets.warehouse.bigquery import BigQueryWarehouse
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient
from conversions_assets_tests.warehouse.leads import COLUMNS, LEAD, bigquery, client, ids, lead, warehouse

__all__ = ["client", "warehouse"]


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
    assert warehouse.query(bigquery(f"SELECT {marks}", **given)) == [given]


def test_describe_tells_types_without_running_anything(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    query = "SELECT id, value, NULL AS user_id, @start_date AS first FROM conversions.lead"
    types = warehouse.describe(bigquery(query, start_date=date(2026, 1, 1)))
    assert types == {"id": "STRING", "value": "FLOAT64", "user_id": "NULL", "first": "DATE"}
    assert client.requests[-1].config["dryRun"] is True


def test_a_table_that_is_not_there_has_no_columns_and_an_older_one_gets_those_that_came_later(
    warehouse: BigQueryWarehouse,
) -> None:
    assert warehouse.columns(LEAD) is None
    warehouse.create_table(LEAD, COLUMNS)
    assert warehouse.columns(LEAD) == COLUMNS
    warehouse.execute([lead("a")])
    warehouse.create_table(LEAD, COLUMNS | {"user_id": "STRING", "amount": "INT64"})
    assert warehouse.columns(LEAD) == COLUMNS | {"user_id": "STRING", "amount": "INT64"}
    assert ids(warehouse) == ["a"]


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
    for size in (2, 1, 0):
        warehouse.load("fresh", frame.head(size), {"id": "STRING", "value": "FLOAT64", "day": "DATE"})
        read = warehouse.frame(bigquery("SELECT id, value, day FROM fresh ORDER BY id"))
        pd.testing.assert_frame_equal(read, frame.head(size), check_dtype=False)
    config = next(request.config for request in client.requests if "destination" in request.config)
    assert config["destination"] == f"{client.project}._SESSION.fresh"
    assert config["load"]["writeDisposition"] == "WRITE_TRUNCATE"
    assert [entry["key"] for entry in config["load"]["connectionProperties"]] == ["session_id"]


def test_r12_a_transaction_commits_whole_or_not_at_all(warehouse: BigQueryWarehouse, client: EmulatedClient) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    with warehouse.transaction():
        warehouse.execute([lead("a")])
        warehouse.execute([bigquery("UPDATE conversions.lead SET value = 1 WHERE day = DATE '2026-01-01'")])
    sent = client.requests[-1].sql.split(";\n")
    assert (sent[0], sent[-1], len(sent)) == ("BEGIN TRANSACTION", "COMMIT TRANSACTION", 4)
    with pytest.raises(WarehouseError), warehouse.transaction():
        warehouse.execute([lead("b"), bigquery("UPDATE conversions.lead SET value = ERROR('no') WHERE TRUE")])
    assert ids(warehouse) == ["a"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_r12_a_process_that_dies_between_the_statements_of_a_transaction_has_sent_none(
    warehouse: BigQueryWarehouse, client: EmulatedClient, after: int
) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    sent = len(client.requests)
    with suppress(KeyboardInterrupt), warehouse.transaction():
        warehouse.execute([lead(id) for id in "ab"[:after]])
        raise KeyboardInterrupt
    assert len(client.requests) == sent
    assert ids(warehouse) == []
    with warehouse.transaction():
        warehouse.execute([lead("c")])
    assert ids(warehouse) == ["c"]


def test_a_transaction_takes_no_select_and_no_name_with_two_values(warehouse: BigQueryWarehouse) -> None:
    warehouse.create_table(LEAD, COLUMNS)
    with pytest.raises(WarehouseError, match="takes no SELECT"), warehouse.transaction():
        warehouse.query(bigquery("SELECT 1"))
    with pytest.raises(ValueError, match="@id two values"), warehouse.transaction():
        warehouse.execute([lead("a"), lead("b")])


# --- what each job carries ----------------------------------------------------------------------------------------


def test_every_job_carries_labels_a_limit_its_session_and_its_parameters(
    warehouse: BigQueryWarehouse, client: EmulatedClient
) -> None:
    labels = {"conversion": "lead", "days": "2026-01-01_2026-01-31", "run": "1C6A/b"}
    warehouse.charge(labels, maximum_bytes_billed=10_000_000)
    warehouse.create_table(LEAD, COLUMNS)
    with warehouse.transaction():
        warehouse.execute([lead("a")])
    warehouse.describe(bigquery("SELECT 1 AS one"))
    assert ids(warehouse) == ["a"]
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
        warehouse.execute([lead("a")])
    warehouse.describe(bigquery("SELECT 1 AS one"))
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
    assert warehouse.query(bigquery(f"SELECT {call} AS found")) == [{"found": expected}]


def test_r09_params_are_cleaned(warehouse: BigQueryWarehouse) -> None:
    rows = "[STRUCT(' UTM-Source ' AS key, 'x' AS value), STRUCT('', 'y'), STRUCT('a b', ''), STRUCT('c', NULL)]"
    found = warehouse.query(bigquery(f"SELECT clean_params(p) AS found FROM (SELECT {rows} AS p)"))
    assert found == [{"found": [{"key": "utm_source", "value": "x"}]}]
