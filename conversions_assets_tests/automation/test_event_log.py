"""Dagster's event log in SQLite, batched: the same log as Dagster's own class writes, in fewer transactions."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import text

from conversions_assets.automation.event_log import BatchedSqliteEventLogStorage

ROOT = Path(__file__).parent.parent.parent
DAILY = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-21")
DAYS = [(date(2025, 1, 1) + timedelta(days=number)).isoformat() for number in range(20)]
KEYS = [dg.AssetKey("first"), dg.AssetKey("second")]


def job(fails: bool = False) -> dg.JobDefinition:
    """Two daily assets and a check, each in one step for all days."""

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        days = context.partition_keys
        return dg.MaterializeResult(metadata={"days": len(days)}, tags={"colour": "blue"})

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run(), deps=[first])
    def second() -> None:
        if fails:
            raise ValueError("on purpose")

    @dg.asset_check(asset=first)
    def whole() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    return dg.Definitions(assets=[first, second], asset_checks=[whole]).resolve_implicit_global_asset_job_def()


def a_home(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> dg.DagsterInstance:
    folder.mkdir()
    (folder / "dagster.yaml").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return dg.DagsterInstance.from_config(str(folder))


def run(instance: dg.DagsterInstance, first: str, last: str, fails: bool = False) -> str:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job(fails).execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def log(instance: dg.DagsterInstance, runs: list[str]) -> dict[str, Any]:
    """What the UI and the conditions read, without ids and times."""
    events = [
        (number, event.dagster_event_type, event.step_key, event.dagster_event and event.dagster_event.partition)
        for number, run_id in enumerate(runs)
        for event in instance.all_logs(run_id)
        if event.is_dagster_event
    ]
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    with storage.index_connection() as connection:
        tags = connection.execute(text("SELECT asset_key, key FROM asset_event_tags ORDER BY event_id, key")).all()
        index = "SELECT dagster_event_type, asset_key, partition FROM event_logs ORDER BY id"
        indexed = connection.execute(text(index)).all()
    found: dict[str, Any] = {"events": sorted(events, key=str), "tags": tags, "indexed": sorted(indexed, key=str)}
    for key in KEYS:
        latest = instance.get_latest_materialization_event(key)
        found[f"latest of {key}"] = latest and latest.dagster_event and latest.dagster_event.partition
        found[f"days of {key}"] = sorted(instance.get_materialized_partitions(key))
        found[f"states of {key}"] = instance.get_status_by_partition(key, DAYS, DAILY)
        [record] = instance.get_asset_records([key])
        found[f"record of {key}"] = runs.index(record.asset_entry.last_run_id or "")
    return found


@pytest.fixture
def dagsters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    with a_home(tmp_path / "dagsters", monkeypatch, "telemetry: {enabled: false}\n") as instance:
        yield instance


def test_the_log_is_the_one_that_dagsters_own_class_writes(
    dagsters: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(instance: dg.DagsterInstance) -> dict[str, Any]:
        runs = [run(instance, DAYS[0], DAYS[14]), run(instance, DAYS[10], DAYS[-1], fails=True)]
        return log(instance, [*runs, run(instance, DAYS[5], DAYS[5])])

    usual = play(dagsters)
    single: list[object] = []
    with a_home(tmp_path / "ours", monkeypatch, (ROOT / "dagster.yaml").read_text(encoding="utf-8")) as ours:
        assert isinstance(ours.event_log_storage, BatchedSqliteEventLogStorage)
        real = BatchedSqliteEventLogStorage.store_event
        monkeypatch.setattr(
            BatchedSqliteEventLogStorage,
            "store_event",
            lambda storage, event: (single.append(event), real(storage, event)),
        )
        batched = play(ours)
        assert batched == usual
    assert len(usual["days of AssetKey(['first'])"]) == len(DAYS)
    # Of 54 planned and 41 materialised days only those of the run over one day are among them.
    assert len(single) < len(usual["events"]) - 80


def test_a_home_of_dagsters_own_class_is_read_on(
    dagsters: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run(dagsters, DAYS[0], DAYS[4])
    home = tmp_path / "dagsters"
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_config(str(home)) as ours:
        assert ours.get_run_by_id(before)
        run(ours, DAYS[5], DAYS[9])
        assert ours.get_materialized_partitions(KEYS[0]) == set(DAYS[:10])
