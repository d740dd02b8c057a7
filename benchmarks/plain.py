"""The peer: plain DuckDB scripts that do what a conversion's two stations do, without contract and rules."""

import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb

WON = """
  SELECT
    d.id,
    c.ga_client_id AS client_id,
    d.closed_at AS created,
    d.amount AS value,
    d.currency,
    CAST(NULL AS BOOLEAN) AS is_qualified,
    [
      {{'key': 'city', 'value': c.city}},
      {{'key': 'country', 'value': c.country}},
      {{'key': 'region', 'value': c.region}}
    ] AS params,
    d.contact_id AS user_id,
    CAST(timezone('Europe/Berlin', d.closed_at) AS DATE) AS day,
    CASE WHEN c.ga_client_id IS NULL THEN '(not attributed)' ELSE 'attributed' END AS attribution
  FROM hubspot.deals AS d
  LEFT JOIN hubspot.contacts AS c ON c.id = d.contact_id
  WHERE d.stage = 'won'
    AND NOT d.is_deleted
    AND d.closed_at >= timezone('Europe/Berlin', TIMESTAMP '{first}')
    AND d.closed_at < timezone('Europe/Berlin', TIMESTAMP '{end}')
    {only}
  QUALIFY row_number() OVER (PARTITION BY d.id ORDER BY d.closed_at) = 1
"""

TABLES = """
CREATE SCHEMA IF NOT EXISTS plain;
CREATE TABLE IF NOT EXISTS plain.deal (
  id VARCHAR, client_id VARCHAR, created TIMESTAMPTZ, value DOUBLE, currency VARCHAR, is_qualified BOOLEAN,
  params STRUCT("key" VARCHAR, "value" VARCHAR)[], user_id VARCHAR, day DATE, attribution VARCHAR, run_id VARCHAR
);
CREATE TABLE IF NOT EXISTS plain.published (
  id VARCHAR, client_id VARCHAR, created TIMESTAMPTZ, value DOUBLE, currency VARCHAR, is_qualified BOOLEAN,
  params STRUCT("key" VARCHAR, "value" VARCHAR)[], user_id VARCHAR, day DATE, attribution VARCHAR, value_source VARCHAR,
  status VARCHAR, adjustment_type VARCHAR, adjustment_reason VARCHAR, original_value DOUBLE, previous_value DOUBLE,
  previous_currency VARCHAR, adjusted_at TIMESTAMPTZ, adjustment_count BIGINT, first_published_at TIMESTAMPTZ,
  value_project DOUBLE, fx_rate DOUBLE, fx_date DATE, crm_load_id VARCHAR, run_id VARCHAR
);
CREATE TABLE IF NOT EXISTS plain.ledger (
  id VARCHAR, version BIGINT, reason VARCHAR, before VARCHAR, after VARCHAR, day_before DATE, day_after DATE,
  value_delta DOUBLE, crm_load_id VARCHAR, run_id VARCHAR, note VARCHAR, changed_at TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS plain.days (day DATE, fingerprint UBIGINT);
"""

FINGERPRINTS = "SELECT day, bit_xor(hash(r)) AS fingerprint FROM ({rows}) AS r GROUP BY day"

ADJUST = """
CREATE OR REPLACE TEMP TABLE own AS SELECT * FROM plain.deal WHERE day BETWEEN DATE '{first}' AND DATE '{last}';

CREATE OR REPLACE TEMP TABLE changed AS
SELECT o.*
FROM own AS o
LEFT JOIN plain.published AS p ON p.id = o.id
WHERE p.id IS NULL
  OR p.status = 'RETRACTED'
  OR p.value IS DISTINCT FROM o.value
  OR p.currency IS DISTINCT FROM o.currency
  OR p.client_id IS DISTINCT FROM o.client_id
  OR p.user_id IS DISTINCT FROM o.user_id
  OR p.params IS DISTINCT FROM o.params;

CREATE OR REPLACE TEMP TABLE missing AS
SELECT p.id
FROM plain.published AS p
LEFT JOIN own AS o ON o.id = p.id
WHERE p.day BETWEEN DATE '{first}' AND DATE '{last}' AND p.status = 'ACTIVE' AND o.id IS NULL;

CREATE OR REPLACE TEMP TABLE elsewhere AS {query};

CREATE OR REPLACE TEMP TABLE newest AS
WITH sighted AS (
  SELECT * EXCLUDE (run_id), 'ACTIVE' AS status FROM changed
  UNION ALL
  SELECT *, 'ACTIVE' FROM elsewhere
  UNION ALL
  SELECT
    p.id, p.client_id, p.created, 0.0, p.currency, p.is_qualified, p.params, p.user_id, p.day, p.attribution,
    'RETRACTED'
  FROM plain.published AS p
  JOIN missing AS m ON m.id = p.id
  WHERE p.id NOT IN (SELECT id FROM elsewhere)
)
SELECT
  s.id, s.client_id, s.created, s.value, s.currency, s.is_qualified, s.params, s.user_id, s.day, s.attribution,
  'REPORTED' AS value_source,
  s.status,
  CASE
    WHEN p.id IS NULL THEN 'NONE' WHEN s.status = 'ACTIVE' THEN 'RESTATEMENT' ELSE 'RETRACTION'
  END AS adjustment_type,
  CASE
    WHEN p.id IS NULL THEN NULL WHEN s.status = 'ACTIVE' THEN 'VALUE_CHANGED' ELSE 'VANISHED'
  END AS adjustment_reason,
  COALESCE(p.original_value, s.value) AS original_value,
  p.value AS previous_value,
  p.currency AS previous_currency,
  CASE WHEN p.id IS NOT NULL THEN now() END AS adjusted_at,
  COALESCE(p.adjustment_count + 1, 0) AS adjustment_count,
  COALESCE(p.first_published_at, now()) AS first_published_at,
  CASE WHEN s.currency = 'EUR' THEN s.value END AS value_project,
  CASE WHEN s.currency = 'EUR' THEN 1.0 END AS fx_rate,
  CASE WHEN s.currency = 'EUR' THEN s.day END AS fx_date,
  'load' AS crm_load_id,
  '{run}' AS run_id
FROM sighted AS s
LEFT JOIN plain.published AS p ON p.id = s.id;

BEGIN;
INSERT INTO plain.ledger
SELECT
  n.id,
  COALESCE((SELECT max(l.version) FROM plain.ledger AS l WHERE l.id = n.id), 0) + 1,
  COALESCE(n.adjustment_reason, 'PUBLISHED'),
  CASE WHEN p.id IS NOT NULL THEN to_json(p) END,
  to_json(n),
  p.day, n.day, n.value - COALESCE(p.value, 0), 'load', '{run}', NULL, now()
FROM newest AS n
LEFT JOIN plain.published AS p ON p.id = n.id;
DELETE FROM plain.published WHERE id IN (SELECT id FROM newest WHERE adjustment_type <> 'NONE');
INSERT INTO plain.published SELECT * FROM newest;
COMMIT;
"""


def convert(path: Path, first: date, last: date, run: str) -> None:
    """The days' conversions: delete the range, insert what the query says."""
    with _open(path) as connection:
        connection.execute(TABLES)
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM plain.deal WHERE day BETWEEN DATE '{first}' AND DATE '{last}'")
        connection.execute(f"INSERT INTO plain.deal SELECT *, '{run}' FROM ({won(first, last)})")
        connection.execute("COMMIT")


def adjust(path: Path, first: date, last: date, window: tuple[date, date], run: str) -> None:
    """Publish what differs on the days; ids that are missing there are looked for in the window."""
    only = "AND d.id IN (SELECT id FROM changed UNION ALL SELECT id FROM missing)"
    outside = f"day NOT BETWEEN DATE '{first}' AND DATE '{last}'"
    query = f"SELECT * FROM ({won(*window, only=only)}) WHERE {outside}"
    with _open(path) as connection:
        connection.execute(TABLES)
        connection.execute(ADJUST.format(first=first, last=last, query=query, run=run))


def react(path: Path, window: tuple[date, date], run: str) -> None:
    """A new load: find the days of the window whose rows are not those that were published, and do both for them."""
    with _open(path) as connection:
        connection.execute(TABLES)
        for table in ("deals", "contacts"):
            connection.execute(f"SELECT max(updated_at), count(*) FROM hubspot.{table}").fetchall()
        connection.execute(f"CREATE OR REPLACE TEMP TABLE now AS {FINGERPRINTS.format(rows=won(*window))}")
        changed = connection.execute(
            "SELECT min(n.day), max(n.day) FROM now AS n LEFT JOIN plain.days AS d ON d.day = n.day "
            "WHERE d.fingerprint IS DISTINCT FROM n.fingerprint"
        ).fetchone()
    if changed is None or changed[0] is None:
        return
    first, last = changed
    convert(path, first, last, run)
    adjust(path, first, last, window, run)
    with _open(path) as connection:
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM plain.days WHERE day BETWEEN DATE '{first}' AND DATE '{last}'")
        rows = f"SELECT * EXCLUDE (run_id) FROM plain.deal WHERE day BETWEEN DATE '{first}' AND DATE '{last}'"
        connection.execute(f"INSERT INTO plain.days {FINGERPRINTS.format(rows=rows)}")
        connection.execute("COMMIT")


def won(first: date, last: date, only: str = "") -> str:
    """What the conversion `deal` returns for the local days, one row per id."""
    return WON.format(first=first, end=last + timedelta(days=1), only=only)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


if __name__ == "__main__":
    react(Path(sys.argv[1]), (date.fromisoformat(sys.argv[2]), date.fromisoformat(sys.argv[3])), "command")
