"""`dg scaffold defs`: folders that load and explain themselves."""

from typing import Any

import dagster as dg

CONVERSION_YAML = """\
type: conversions_assets.components.CustomConversion

attributes:
  # The SQL file in this folder: BigQuery SQL, one SELECT over raw tables.
  query: {name}.sql
  # The first local day. Every day from here to yesterday is a partition.
  start_date: "{start_date}"
  # Late changes in the CRM are published for this many days, then a day is frozen. Without it: at once.
  adjustment_window_days: 30
"""

CONVERSION_SQL = """\
-- One row per conversion. Columns: id, client_id, created (required); value, currency, is_qualified, params, user_id.
-- @start_date and @end_date (DATE, inclusive) are the days that a run asks for, one day wider on each side.
SELECT
  o.id,
  o.ga_client_id AS client_id,
  o.ordered_at AS created,
  o.total AS value,
  o.currency,
  [STRUCT('city' AS key, o.city AS value), STRUCT('country', o.country)] AS params
FROM shop.orders AS o
WHERE o.status = 'paid'
  AND o.ordered_at >= TIMESTAMP(@start_date)
  AND o.ordered_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""

CRM_TABLES_YAML = """\
type: conversions_assets.components.CrmTables

attributes:
  # The dataset (DuckDB: schema) that a loader fills.
  dataset: {name}
  tables:
    orders:
      primary_key: [id]
      # A column that moves with every change.
      updated_at: updated_at
      # A column that tells the load; without it a change of max(updated_at) and of the row count is a new load.
      # load_id: _load_id
"""


class CustomConversionScaffolder(dg.Scaffolder[Any]):
    """Writes defs.yaml and a commented SQL file."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        name = request.target_path.name
        (request.target_path / "defs.yaml").write_text(
            CONVERSION_YAML.format(name=name, start_date="2025-01-01"), encoding="utf-8"
        )
        (request.target_path / f"{name}.sql").write_text(CONVERSION_SQL, encoding="utf-8")


class CrmTablesScaffolder(dg.Scaffolder[Any]):
    """Writes a commented defs.yaml."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        (request.target_path / "defs.yaml").write_text(
            CRM_TABLES_YAML.format(name=request.target_path.name), encoding="utf-8"
        )
