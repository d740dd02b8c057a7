"""The two projects that the command lines run: a copy of this package with one conversion, and a dbt project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import plain
from crm import CRM_YAML, DEFS_YAML, FIRST_DAY, LAST_DAY, NOW, SQL

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "conversions_assets"
BIN = Path(sys.executable).parent
DBT = ("dbt-duckdb>=1.11,<1.12", "dbt-core<1.12", f"duckdb=={duckdb.__version__}")

DBT_PROJECT = """\
name: peer
version: "1.0"
config-version: 2
profile: peer
flags:
  send_anonymous_usage_stats: false
"""

DBT_PROFILE = """\
peer:
  target: here
  outputs:
    here:
      type: duckdb
      path: {path}
      threads: 2
      settings:
        TimeZone: UTC
        preserve_insertion_order: false
"""

DBT_SCHEMA = """\
models:
  - name: deal
    columns:
      - name: id
        data_tests: [not_null]
      - name: created
        data_tests: [not_null]
      - name: currency
        data_tests:
          - accepted_values:
              arguments:
                values: [EUR, GBP, USD]
"""

DBT_SNAPSHOT = """\
snapshots:
  - name: deal_history
    relation: ref('deal')
    config:
      unique_key: id
      strategy: check
      check_cols: [day, client_id, created, value, currency, is_qualified, params, user_id]
      hard_deletes: new_record
"""

DBT_TESTS = {
    "one_row_per_id_and_day": "SELECT day, id FROM {{ ref('deal') }} GROUP BY day, id HAVING count(*) > 1",
    "no_negative_value": "SELECT id FROM {{ ref('deal') }} WHERE value < 0",
}


def write_text(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def make_project(folder: Path, conversions: int = 1) -> None:
    """A project of ours with the conversion `deal` (several: `deal_0` …): the package with defs of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("defs", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "home").mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder / "home")
    defs = folder / PACKAGE / "defs"
    write_text(defs / "__init__.py", "")
    write_text(defs / "crm" / "hubspot" / "defs.yaml", CRM_YAML)
    for number in range(conversions):
        name = "deal" if conversions == 1 else f"deal_{number}"
        write_text(defs / "conversions" / name / "defs.yaml", DEFS_YAML.replace("deal.sql", f"{name}.sql"))
        write_text(defs / "conversions" / name / f"{name}.sql", SQL.replace("'won'", f"'won' AND {number} = {number}"))


def environment(folder: Path, warehouse: Path | None = None) -> dict[str, str]:
    """What a process of the project sees: its code first, an instance, a cache, a warehouse and a clock of its own."""
    return {
        "PYTHONPATH": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DAGSTER_HOME": str(folder / "home"),
        "CONVERSIONS_CACHE": str(folder / "cache"),
        "CONVERSIONS_DUCKDB_PATH": str(warehouse or folder / "warehouse.duckdb"),
        "CONVERSIONS_NOW": NOW.isoformat(),
    }


def launch() -> list[str | Path]:
    """The command for the 90 days."""
    return [BIN / "dg", "launch", "--assets", "conversions/deal", "--partition-range", f"{FIRST_DAY}...{LAST_DAY}"]


def make_dbt(home: Path) -> Path:
    """dbt in a virtual environment of its own, made once; returns its command."""
    command = home / "bin" / "dbt"
    if not command.exists():
        uv = [str(BIN / "uv")]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *DBT], check=True)
    return command


def make_dbt_project(folder: Path, warehouse: Path, history: bool = False) -> None:
    """The peer's project: one incremental model (delete+insert over the window) with five tests.

    Args:
        history: also a snapshot, dbt's own record of what each id was before and when it changed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    config = "{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='day') }}"
    write_text(folder / "dbt_project.yml", DBT_PROJECT)
    write_text(folder / "profiles.yml", DBT_PROFILE.format(path=warehouse))
    write_text(folder / "models" / "deal.sql", f"{config}\n{plain.won(FIRST_DAY, LAST_DAY)}\n")
    write_text(folder / "models" / "schema.yml", DBT_SCHEMA)
    if history:
        write_text(folder / "snapshots" / "deal_history.yml", DBT_SNAPSHOT)
    for name, text in DBT_TESTS.items():
        write_text(folder / "tests" / f"{name}.sql", text)
