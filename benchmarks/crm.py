"""The benchmark's CRM: deals and contacts over a year in a DuckDB file, and the conversion `deal` over them."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

NOW = datetime(2026, 1, 1, 6, tzinfo=UTC)
FIRST_DAY, LAST_DAY = date(2025, 10, 3), date(2025, 12, 31)
"""The 90 days that are backfilled."""
CHANGED_FIRST, CHANGED_LAST = date(2025, 12, 10), date(2025, 12, 14)
"""The 5 days on which rows change later."""
CHANGED_ROWS = 200

SQL = """\
-- Won deals, on the day they were won, with what the contact's record says.
SELECT
  d.id,
  c.ga_client_id AS client_id,
  d.closed_at AS created,
  d.amount AS value,
  d.currency,
  [STRUCT('city' AS key, c.city AS value), STRUCT('country', c.country), STRUCT('region', c.region)] AS params,
  d.contact_id AS user_id
FROM hubspot.deals AS d
LEFT JOIN hubspot.contacts AS c ON c.id = d.contact_id
WHERE d.stage = 'won'
  AND NOT d.is_deleted
  AND d.closed_at >= TIMESTAMP(@start_date)
  AND d.closed_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
"""

DEFS_YAML = """\
type: conversions_assets.components.CustomConversion

attributes:
  description: A deal that sales won, on the day it was won.
  query: deal.sql
  start_date: "2025-01-01"
  adjustment_window_days: 30
"""

CRM_YAML = """\
type: conversions_assets.components.CrmTables

attributes:
  dataset: hubspot
  tables:
    contacts:
      primary_key: [id]
      updated_at: updated_at
    deals:
      primary_key: [id]
      updated_at: updated_at
      deleted: is_deleted
"""

# One deal in 200 is there twice, and one of five of these pairs differs. All is a function of the row number.
DEALS = """
CREATE TABLE hubspot.deals AS
WITH numbered AS (
  SELECT i, hash(i) % 1000000 / 1e6 AS a, hash(i + 1000000007) % 1000000 / 1e6 AS b FROM range($rows) AS t(i)
),
deals AS (
  SELECT
    format('D{:09d}', i) AS id,
    format('C{:09d}', hash(i * 31 + 5) % $rows) AS contact_id,
    TIMESTAMPTZ '2025-01-01 00:00:00+00'
      + to_microseconds(CAST(365 * 86400e6 * (i + a) / $rows AS BIGINT)) AS closed_at,
    round(20 + 480 * b, 2) AS amount,
    CASE WHEN b < 0.9 THEN 'EUR' WHEN b < 0.97 THEN 'USD' ELSE 'GBP' END AS currency,
    CASE WHEN a < 0.98 THEN 'won' ELSE 'lost' END AS stage,
    false AS is_deleted,
    TIMESTAMPTZ '2026-01-01 04:00:00+00' AS updated_at,
    i % 200 AS place
  FROM numbered
)
SELECT * EXCLUDE (place) FROM deals
UNION ALL
SELECT * EXCLUDE (place) FROM deals WHERE place = 7
UNION ALL
SELECT * EXCLUDE (place) REPLACE (amount + 1 AS amount, closed_at + INTERVAL 1 MICROSECOND AS closed_at)
FROM deals WHERE place = 107 AND hash(id) % 5 = 0
"""

CONTACTS = """
CREATE TABLE hubspot.contacts AS
SELECT
  format('C{:09d}', i) AS id,
  CASE
    WHEN hash(i) % 10 > 0 THEN format('{}.{}', 1000000000 + hash(i) % 1000000000, 1735689600 + i % 31536000)
  END AS ga_client_id,
  (['Berlin', 'Hamburg', 'München', 'Wien', 'Zürich', 'Köln', 'Leipzig'])[CAST(1 + hash(i + 3) % 7 AS BIGINT)] AS city,
  (['Germany', 'Austria', 'Switzerland'])[CAST(1 + hash(i + 5) % 3 AS BIGINT)] AS country,
  (['Nord', 'Süd', 'West', 'Ost'])[CAST(1 + hash(i + 7) % 4 AS BIGINT)] AS region,
  TIMESTAMPTZ '2026-01-01 04:00:00+00' AS updated_at
FROM range($rows) AS t(i)
"""

# Repetition n changes rows that no other has changed: nine of ten get another amount, one is lost.
CHANGE = f"""
CREATE OR REPLACE TEMP TABLE picked AS
SELECT id, row_number() OVER (PARTITION BY day ORDER BY hash(id)) AS place
FROM (
  SELECT DISTINCT id, CAST(timezone('Europe/Berlin', closed_at) AS DATE) AS day FROM hubspot.deals
  WHERE stage = 'won'
    AND closed_at BETWEEN TIMESTAMPTZ '{CHANGED_FIRST} 00:00:00+00' AND TIMESTAMPTZ '{CHANGED_LAST} 22:00:00+00'
)
QUALIFY place > $repetition * {CHANGED_ROWS // 5} AND place <= ($repetition + 1) * {CHANGED_ROWS // 5};
UPDATE hubspot.deals
SET
  amount = amount + 5,
  stage = CASE WHEN place % 10 = 0 THEN 'lost' ELSE stage END,
  updated_at = updated_at + to_minutes($repetition + 1)
FROM picked WHERE picked.id = deals.id
"""


def make_crm(path: Path, rows: int) -> None:
    """Write the raw tables into a DuckDB file, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with duckdb.connect(str(unfinished)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE SCHEMA hubspot")
        connection.execute(DEALS, {"rows": rows})
        connection.execute(CONTACTS, {"rows": rows})
    unfinished.rename(path)


def change_deals(path: Path, repetition: int) -> None:
    """A later load: 200 deals on 5 days are not what they were."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        pick, update = CHANGE.split(";")
        connection.execute(pick, {"repetition": repetition})
        connection.execute(update, {"repetition": repetition})
        connection.execute("CHECKPOINT")


def load_again(path: Path) -> None:
    """A later load in which one contact was touched and nothing is different."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "UPDATE hubspot.contacts SET updated_at = (SELECT max(updated_at) FROM hubspot.contacts) "
            "+ INTERVAL 1 SECOND WHERE id = 'C000000001'"
        )
        connection.execute("CHECKPOINT")
