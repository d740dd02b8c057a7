-- R21: how frozen rows differ from what the CRM says now: one row per differing field. Reads from the session `known`,
-- `cases` and `seen`. Leaves `drift_now`.

CREATE OR REPLACE TEMP TABLE drift_now AS
WITH frozen AS (
  SELECT
    k.id,
    k.seen_day,
    p.day AS home,
    -- R17: the row stays where it is published; the new sighting is only listed
    CASE
      WHEN NOT k.is_published THEN IF(k.seen_covered AND NOT k.seen_open, 'NEW_LATE', NULL)
      WHEN NOT k.is_seen THEN
        IF(NOT k.is_returned AND k.home_covered AND NOT k.home_open AND p.status = 'ACTIVE', 'VANISHED', NULL)
      WHEN k.seen_day <> k.home THEN IF(k.seen_covered AND NOT (k.home_open AND k.seen_open), 'MOVED', NULL)
      ELSE IF(k.home_covered AND NOT k.home_open, 'VALUE', NULL)
    END AS kind,
    NOT k.home_open AS home_frozen,
    p.value AS frozen_value,
    s.value AS crm_value,
    p.currency AS frozen_currency,
    s.currency AS crm_currency,
    p.is_qualified AS frozen_qualified,
    s.is_qualified AS crm_qualified,
    (p.value IS NULL) <> (s.value IS NULL)
      OR COALESCE(ABS(s.value - p.value) >= k.half_unit, FALSE) AS value_differs
  FROM cases AS k
  LEFT JOIN known AS p ON p.id = k.id
  LEFT JOIN seen AS s ON s.id = k.id
)
SELECT
  id, COALESCE(home, seen_day) AS day, kind,
  IF(kind = 'MOVED', 'day', 'value') AS field,
  IF(kind = 'MOVED', CAST(home AS STRING), CAST(frozen_value AS STRING)) AS frozen_value,
  IF(kind = 'MOVED', CAST(seen_day AS STRING), CAST(crm_value AS STRING)) AS crm_value,
  CASE kind WHEN 'NEW_LATE' THEN COALESCE(crm_value, 0.0) WHEN 'VANISHED' THEN -COALESCE(frozen_value, 0.0) ELSE 0.0 END AS value_delta,
  COALESCE(frozen_currency, crm_currency) AS currency,
  COALESCE(seen_day, home) AS found_on
FROM frozen
WHERE kind IN ('NEW_LATE', 'VANISHED', 'MOVED')
UNION ALL
SELECT
  id, home, 'VALUE', 'value', CAST(frozen_value AS STRING), CAST(crm_value AS STRING),
  COALESCE(crm_value, 0.0) - COALESCE(frozen_value, 0.0), frozen_currency, seen_day
FROM frozen
WHERE kind IN ('VALUE', 'MOVED') AND home_frozen AND value_differs
UNION ALL
SELECT id, home, 'VALUE', 'currency', frozen_currency, crm_currency, 0.0, frozen_currency, seen_day
FROM frozen
WHERE kind IN ('VALUE', 'MOVED') AND home_frozen AND frozen_currency <> crm_currency
UNION ALL
SELECT
  id, home, 'VALUE', 'is_qualified', CAST(frozen_qualified AS STRING), CAST(crm_qualified AS STRING), 0.0, frozen_currency, seen_day
FROM frozen
WHERE kind IN ('VALUE', 'MOVED') AND home_frozen AND frozen_qualified IS DISTINCT FROM crm_qualified;
