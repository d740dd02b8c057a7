"""What is true for all conversions: project.yaml, the environment and the clock. Nothing else reads the environment."""

import base64
import binascii
import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from iso4217 import Currency
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

PACKAGE = Path(__file__).parent
PROJECT_FILE = PACKAGE / "project.yaml"


class ConfigurationError(Exception):
    """A setting is wrong; the message names the file or variable and what to write."""


class Thresholds(BaseModel):
    """Where a check turns from a note into an error, and from where on the guard stops a run (R19: the last three).

    Shares are between 0 and 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quarantined_share: float = Field(0.05, ge=0, le=1)
    conflicting_ids_share: float = Field(0.01, ge=0, le=1)
    not_attributed_rise: float = Field(0.10, ge=0, le=1)
    not_attributed_days: int = Field(28, ge=1)
    empty_column_rows: int = Field(50, ge=1)
    future_tolerance_minutes: int = Field(15, ge=0)
    raw_rows_fall: float = Field(0.20, ge=0, le=1)
    vanished_share: float = Field(0.20, ge=0, le=1)
    vanished_rows: int = Field(20, ge=0)


class Automation(BaseModel):
    """When what starts by itself looks for something to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check_seconds: int = Field(30, ge=1)
    daily_scan_hour: int = Field(6, ge=0, le=23)


class BigQueryCosts(BaseModel):
    """What the dry run takes for a month's price: of on-demand queries, in USD per TiB that is billed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price_per_tib: float = Field(6.25, ge=0, allow_inf_nan=False)
    loads_per_day: int = Field(24, ge=1)


class Project(BaseModel):
    """The settings of project.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = "UTC"
    currency: str = "EUR"
    thresholds: Thresholds = Thresholds()
    automation: Automation = Automation()
    bigquery: BigQueryCosts = BigQueryCosts()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"'{name}' is not an IANA time zone; write one like Europe/Berlin") from error
        return name

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str) -> str:
        if code not in {currency.code for currency in Currency}:
            raise ValueError(f"'{code}' is not an ISO 4217 currency code; write one like EUR")
        return code

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def local_date(self, instant: datetime) -> date:
        """The local day of an instant (time-zone aware)."""
        return instant.astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        """The instant at which a local day begins, in UTC. Days of 23 and 25 hours exist."""
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)


def load_project(path: Path | None = None) -> Project:
    """Read project.yaml: the one in the package, or the file that CONVERSIONS_PROJECT_FILE names.

    Raises:
        ConfigurationError: the file is missing, is no YAML, or a key or value is wrong.
    """
    path = path or Path(os.environ.get("CONVERSIONS_PROJECT_FILE") or PROJECT_FILE)
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing; it holds timezone and currency") from error
    return _read_project(path, changed)


@lru_cache(maxsize=8)
def _read_project(path: Path, _changed: int) -> Project:
    # Each conversion asks for the project: it is read once per state of the file.
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Project.model_validate(content)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path}: {problems}") from error


@dataclass(frozen=True)
class Clock:
    """The instant that stands for now (UTC), and whether CONVERSIONS_NOW replaced the real one (R33)."""

    now: datetime
    replaced: bool


def read_clock() -> Clock:
    """The present, or what CONVERSIONS_NOW says it is: an ISO 8601 time with a zone.

    Raises:
        ConfigurationError: CONVERSIONS_NOW is no ISO time or has no zone.
    """
    text = os.environ.get("CONVERSIONS_NOW")
    if not text:
        return Clock(datetime.now(UTC), replaced=False)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"CONVERSIONS_NOW={text!r} is not an ISO 8601 time; {_NOW_EXAMPLE}") from error
    if instant.tzinfo is None:
        raise ConfigurationError(f"CONVERSIONS_NOW={text!r} has no time zone; {_NOW_EXAMPLE}")
    return Clock(instant.astimezone(UTC), replaced=True)


_NOW_EXAMPLE = "write for example CONVERSIONS_NOW=2026-01-31T06:00:00+00:00"


@dataclass(frozen=True)
class WarehouseSettings:
    """Which warehouse to use, from the environment.

    Attributes:
        kind: 'duckdb' or 'bigquery' (CONVERSIONS_WAREHOUSE).
        duckdb_path: the file of DuckDB (CONVERSIONS_DUCKDB_PATH); pages and caches lie beside it under either engine.
        gcp_project: the project that BigQuery's jobs run in (GCP_PROJECT); '' under DuckDB.
        bigquery_location: where its datasets lie, such as EU or europe-west3 (BIGQUERY_LOCATION).
    """

    kind: str
    duckdb_path: Path
    lock_timeout: timedelta
    gcp_project: str = ""
    bigquery_location: str = "EU"


def read_warehouse_settings() -> WarehouseSettings:
    """The warehouse of this process.

    Raises:
        ConfigurationError: CONVERSIONS_WAREHOUSE names an engine that does not exist, or BigQuery has no project.
    """
    kind = os.environ.get("CONVERSIONS_WAREHOUSE", "duckdb")
    if kind not in ("duckdb", "bigquery"):
        raise ConfigurationError(f"CONVERSIONS_WAREHOUSE={kind!r} is not supported; write duckdb or bigquery")
    gcp_project = os.environ.get("GCP_PROJECT", "") if kind == "bigquery" else ""
    if kind == "bigquery" and not gcp_project:
        raise ConfigurationError("CONVERSIONS_WAREHOUSE=bigquery needs GCP_PROJECT: the id of the Google Cloud project")
    path = Path(os.environ.get("CONVERSIONS_DUCKDB_PATH") or PACKAGE.parent / ".data" / "conversions.duckdb")
    timeout = os.environ.get("CONVERSIONS_LOCK_TIMEOUT_SECONDS", "600")
    try:
        seconds = float(timeout)
    except ValueError as error:
        raise ConfigurationError(f"CONVERSIONS_LOCK_TIMEOUT_SECONDS={timeout!r} is no number of seconds") from error
    return WarehouseSettings(
        kind=kind,
        duckdb_path=path.expanduser().resolve(),
        lock_timeout=timedelta(seconds=seconds),
        gcp_project=gcp_project,
        bigquery_location=os.environ.get("BIGQUERY_LOCATION") or "EU",
    )


def gcp_credentials() -> str | None:
    """A service account's key in base64 (GCP_CREDENTIALS), where a process has no files of its own; mostly None.

    Raises:
        ConfigurationError: it is no such key.
    """
    key = os.environ.get("GCP_CREDENTIALS")
    if not key:
        return None
    try:
        json.loads(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            "GCP_CREDENTIALS is no key file in base64: write what `base64 -w0 key.json` prints"
        ) from None
    return key


def use_duckdb_file(path: Path, now: datetime | None = None) -> None:
    """Point this process at a DuckDB file and, for replays, at a clock. Child processes inherit both."""
    os.environ["CONVERSIONS_DUCKDB_PATH"] = str(path)
    if now is not None:
        os.environ["CONVERSIONS_NOW"] = now.isoformat()


def write_events_in_batches() -> None:
    """Let Dagster hand over the events of many partitions together, unless the caller has chosen a size.

    Source: Dagster's `DagsterInstance.handle_new_event`.
    """
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")


def data_docs_folder() -> Path:
    """Where Great Expectations' pages of the last runs lie: beside the warehouse's file."""
    return read_warehouse_settings().duckdb_path.parent / "data_docs"


def prediction_pages_folder() -> Path:
    """Where the pages about predicted values lie: beside the warehouse's file."""
    return read_warehouse_settings().duckdb_path.parent / "predicted_values"


def dlt_folder() -> Path:
    """Where dlt works: beside the warehouse's file. It may be lost; the state lies in the warehouse."""
    return read_warehouse_settings().duckdb_path.parent / "dlt"


def cache_folder() -> Path:
    """Where derived files lie that may be deleted at any time."""
    return Path(os.environ.get("CONVERSIONS_CACHE") or PACKAGE.parent / ".data" / "cache")
