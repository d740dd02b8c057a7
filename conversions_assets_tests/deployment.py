"""A project folder of a user, made for one test: YAML and SQL on disk, loaded and run by Dagster."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from conversions_assets.definitions import build_definitions

ORDER_YAML = """\
type: conversions_assets.components.CustomConversion
attributes:
  query: order.sql
  start_date: "2026-01-01"
  adjustment_window_days: 10
"""
ORDER_SQL = """\
SELECT id, client_id, created, value
FROM shop.orders
WHERE created >= TIMESTAMP(@start_date) AND created < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""
SHOP_YAML = """\
type: conversions_assets.components.CrmTables
attributes:
  dataset: shop
  tables:
    orders:
      primary_key: [id]
      load_id: load_id
"""
PYPROJECT = """\
[tool.dg]
directory_type = "project"
[tool.dg.cli]
suppress_warnings = ["project_and_activated_venv_mismatch"]
[tool.dg.project]
root_module = "{module}"
defs_module = "{module}.defs"
code_location_target_module = "{module}.definitions"
registry_modules = ["conversions_assets.components"]
"""
DEFINITIONS = """\
from pathlib import Path
import dagster as dg
from conversions_assets.definitions import build_definitions

@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(Path(__file__).parent)
"""


@dataclass
class Deployment:
    """A project folder with one conversion `order` over `shop.orders`, in UTC, unless files say otherwise."""

    root: Path
    now: str = "2026-01-31T06:00:00+00:00"
    module: str = field(default="")
    _loaded: tuple[Any, dg.Definitions] | None = None

    @property
    def defs(self) -> Path:
        return self.root / self.module / "defs"

    @property
    def duckdb_path(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CONVERSIONS_DUCKDB_PATH": str(self.duckdb_path),
            "CONVERSIONS_PROJECT_FILE": str(self.root / "project.yaml"),
            "CONVERSIONS_CACHE": str(self.root / "cache"),
            "CONVERSIONS_NOW": self.now,
            "DAGSTER_HOME": str(self.root / "home"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self.root), os.environ.get("PYTHONPATH")))),
        }

    def write(self, files: Mapping[str, str]) -> None:
        """Write files below defs/."""
        for name, text in files.items():
            path = self.defs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def load(self) -> dg.Definitions:
        """The definitions, as Dagster would load them: anew when a file or the clock has changed."""
        self.point()
        files = [self.root / "project.yaml", *sorted(self.defs.rglob("*"))]
        state = (self.now, *((path, path.stat().st_mtime_ns) for path in files))
        if self._loaded is None or self._loaded[0] != state:
            self._loaded = state, build_definitions(self.root / self.module)
        return self._loaded[1]

    def point(self) -> None:
        """Let this process work with the deployment's files."""
        os.environ.update({k: v for k, v in self.environment.items() if k.startswith("CONVERSIONS_")})
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))

    def launch(self, first: date | str, last: date | str, *assets: str) -> dg.ExecuteInProcessResult:
        """One run over a range of days; assets as 'conversions/order', by default both."""
        keys = [dg.AssetKey(name.split("/")) for name in assets or ("conversions/order", "adjusted/order")]
        job = self.load().resolve_implicit_global_asset_job_def()
        with self.instance() as instance:
            return job.execute_in_process(
                instance=instance,
                asset_selection=keys,
                tags={
                    "dagster/asset_partition_range_start": str(first),
                    "dagster/asset_partition_range_end": str(last),
                },
                raise_on_error=False,
            )

    def materialize(self, *assets: str) -> dg.ExecuteInProcessResult:
        """One run of assets without partitions, such as those of a CRM."""
        keys = [dg.AssetKey(name.split("/")) for name in assets]
        job = self.load().resolve_implicit_global_asset_job_def()
        with self.instance() as instance:
            return job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False)

    def instance(self) -> dg.DagsterInstance:
        """Runs and events in memory; the whole way with a DAGSTER_HOME is in scenarios/."""
        return dg.DagsterInstance.ephemeral()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.duckdb_path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()

    def set_orders(self, *rows: tuple[str, str, float | None], load: str = "L1") -> None:
        """A new load of `shop.orders`: (id, ISO time in UTC, value)."""
        with duckdb.connect(str(self.duckdb_path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
            connection.execute(
                "CREATE OR REPLACE TABLE shop.orders "
                "(id VARCHAR, client_id VARCHAR, created TIMESTAMPTZ, value DOUBLE, load_id VARCHAR)"
            )
            for id, created, value in rows:
                connection.execute(
                    "INSERT INTO shop.orders VALUES (?, '1.2', ?::TIMESTAMPTZ, ?, ?)", [id, created, value, load]
                )


def make_deployment(root: Path, files: Mapping[str, str] | None = None, zone: str = "UTC") -> Deployment:
    """Make the folder; `files` below defs/ replace or add to the conversion `order` and the tables of `shop`."""
    module = f"deployment_{abs(hash(str(root))) % 10**9}"
    deployment = Deployment(root, module=module)
    deployment.defs.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format(module=module), encoding="utf-8")
    (root / "project.yaml").write_text(f"timezone: {zone}\ncurrency: EUR\n", encoding="utf-8")
    (root / module / "__init__.py").touch()
    (root / module / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    standard = {
        "conversions/order/defs.yaml": ORDER_YAML,
        "conversions/order/order.sql": ORDER_SQL,
        "crm/shop/defs.yaml": SHOP_YAML,
    }
    deployment.write(standard | dict(files or {}))
    return deployment


def causes(error: BaseException) -> str:
    """The messages of an error and of what caused it."""
    texts, seen = [], error
    while seen is not None:
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    return "\n".join(texts)
