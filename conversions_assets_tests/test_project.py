"""project.yaml, the clock and the environment: a wrong setting says what to write."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conversions_assets.assets.warehouse import BigQueryWarehouseResource
from conversions_assets.definitions import warehouse_resource
from conversions_assets.project import (
    ConfigurationError,
    Project,
    load_project,
    read_clock,
    read_warehouse_settings,
    use_duckdb_file,
)


def _load(folder: Path, text: str) -> Project:
    file = folder / "project.yaml"
    file.write_text(text, encoding="utf-8")
    return load_project(file)


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        _load(folder, text)
    return str(refused.value)


# --- project.yaml -------------------------------------------------------------------------------------------------


def test_an_empty_file_gives_the_defaults_of_the_rules(tmp_path: Path) -> None:
    project = _load(tmp_path, "")
    assert project.timezone == "UTC"
    thresholds = project.thresholds
    assert (thresholds.quarantined_share, thresholds.conflicting_ids_share) == (0.05, 0.01)
    assert thresholds.future_tolerance_minutes == 15


def test_the_projects_own_file_is_valid() -> None:
    assert load_project().timezone


def test_settings_are_read(tmp_path: Path) -> None:
    project = _load(tmp_path, "timezone: America/New_York\ncurrency: USD\nthresholds:\n  quarantined_share: 0.1\n")
    assert (project.timezone, project.currency, project.thresholds.quarantined_share) == (
        "America/New_York",
        "USD",
        0.1,
    )


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("timezone: Berlin", ["timezone: ", "'Berlin' is not an IANA time zone; write one like Europe/Berlin"]),
        ("timezone: ../etc/passwd", ["timezone: ", "is not an IANA time zone"]),
        ("timezone: ''", ["timezone: ", "is not an IANA time zone"]),
        ("currency: euro", ["currency: ", "'euro' is not an ISO 4217 currency code; write one like EUR"]),
        ("currency: 978", ["currency: "]),
        ("time_zone: UTC", ["time_zone: "]),
        ("thresholds:\n  quarantine: 0.1", ["thresholds.quarantine: "]),
        ("thresholds:\n  quarantined_share: 5", ["thresholds.quarantined_share: ", "less than or equal to 1"]),
        (
            "thresholds:\n  conflicting_ids_share: -0.1",
            ["thresholds.conflicting_ids_share: ", "greater than or equal to 0"],
        ),
        ("thresholds:\n  future_tolerance_minutes: soon", ["thresholds.future_tolerance_minutes: "]),
        ("thresholds: 0.05", ["thresholds: "]),
        ("timezone: [", ["is not valid YAML", "line 1"]),
        ("- timezone", ["dictionary"]),
    ],
)
def test_a_wrong_setting_names_the_file_the_key_and_what_to_write(
    tmp_path: Path, text: str, sentences: list[str]
) -> None:
    message = _refusal(tmp_path, text)
    assert message.startswith(str(tmp_path / "project.yaml"))
    for sentence in sentences:
        assert sentence in message


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "timezone: Berlin\ncurrency: euro\n")
    assert "timezone: " in message
    assert "currency: " in message


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_bytes("# Währung\ncurrency: EUR\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"project\.yaml.*UTF-8"):
        load_project(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml is missing; it holds timezone and currency"):
        load_project(tmp_path / "gone.yaml")


# --- R33: the clock -----------------------------------------------------------------------------------------------


def test_r33_without_conversions_now_the_clock_is_the_present() -> None:
    clock = read_clock()
    assert not clock.replaced
    assert abs(clock.now - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["2026-01-31T06:00:00+00:00", "2026-01-31T07:00+01:00", "2026-01-31T06:00:00Z"])
def test_r33_conversions_now_replaces_the_clock_in_utc(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CONVERSIONS_NOW", text)
    clock = read_clock()
    assert (clock.now, clock.now.utcoffset(), clock.replaced) == (
        datetime(2026, 1, 31, 6, tzinfo=UTC),
        timedelta(0),
        True,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("yesterday", "is not an ISO 8601 time"),
        ("2026-13-01T00:00Z", "is not an ISO 8601 time"),
        ("2026-01-31T06:00", "has no time zone"),
        ("2026-01-31", "has no time zone"),
    ],
)
def test_r33_a_clock_without_time_or_zone_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.setenv("CONVERSIONS_NOW", text)
    with pytest.raises(ConfigurationError) as refused:
        read_clock()
    message = str(refused.value)
    assert message.startswith(f"CONVERSIONS_NOW='{text}' {problem}")
    assert "write for example CONVERSIONS_NOW=2026-01-31T06:00:00+00:00" in message


# --- the warehouse's settings -------------------------------------------------------------------------------------


def test_r13_a_run_waits_ten_minutes_for_the_file_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVERSIONS_LOCK_TIMEOUT_SECONDS", raising=False)
    assert read_warehouse_settings().lock_timeout == timedelta(minutes=10)
    monkeypatch.setenv("CONVERSIONS_LOCK_TIMEOUT_SECONDS", "2.5")
    assert read_warehouse_settings().lock_timeout == timedelta(seconds=2.5)


def test_a_lock_timeout_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSIONS_LOCK_TIMEOUT_SECONDS", "10 min")
    with pytest.raises(ConfigurationError, match="CONVERSIONS_LOCK_TIMEOUT_SECONDS='10 min'"):
        read_warehouse_settings()


def test_an_engine_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "oracle")
    with pytest.raises(ConfigurationError, match=r"CONVERSIONS_WAREHOUSE='oracle'.*duckdb"):
        read_warehouse_settings()


def test_a_process_can_be_pointed_at_a_file_and_a_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONVERSIONS_DUCKDB_PATH", "CONVERSIONS_NOW"):
        monkeypatch.setenv(name, "")
    now = datetime(2026, 1, 31, 6, tzinfo=UTC)
    use_duckdb_file(tmp_path / "demo.duckdb", now)
    assert read_warehouse_settings().duckdb_path == (tmp_path / "demo.duckdb").resolve()
    assert read_clock().now == now


def test_bigquery_needs_a_project_and_lies_in_the_eu_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GCP_PROJECT", "BIGQUERY_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONVERSIONS_WAREHOUSE", "bigquery")
    with pytest.raises(ConfigurationError, match="needs GCP_PROJECT"):
        read_warehouse_settings()
    monkeypatch.setenv("GCP_PROJECT", "acme")
    settings = read_warehouse_settings()
    assert (settings.kind, settings.gcp_project, settings.bigquery_location) == ("bigquery", "acme", "EU")
    monkeypatch.setenv("BIGQUERY_LOCATION", "europe-west3")
    assert read_warehouse_settings().bigquery_location == "europe-west3"
    resource = warehouse_resource(read_warehouse_settings())
    assert isinstance(resource, BigQueryWarehouseResource)
    assert (resource.project, resource.location) == ("acme", "europe-west3")
