-- R2, R5-R10: what the user's query returned, normalised and judged, in one pass.
-- Reads `user_query` (all contract columns, absent ones as NULL). Leaves two temporary tables:
--   staged    every row with its verdict: `refusal` is NULL for accepted rows; winners.sql makes these one per id and day
--   repeated  ids that had more than one row in a day

CREATE OR REPLACE TEMP TABLE staged AS
WITH cleaned AS (
  SELECT
    trimmed(id) AS id,
    REGEXP_REPLACE(trimmed(client_id), r'^(GA1\.\d+(-\d+)?\.|FPID2\.2\.)', '') AS client_id,
    created,
    -- -0.0 is 0.0
    IF(value = 0, 0, CAST(value AS FLOAT64)) AS value,
    NULLIF(UPPER(trimmed(currency)), '') AS stated_currency,
    is_qualified,
    clean_params(params) AS params,
    user_id
  FROM user_query
)
SELECT
  id,
  -- R8: compared after the prefix is gone
  IF(client_id IN ('', 'null', 'undefined', '(not set)', '0'), NULL, client_id) AS client_id,
  created,
  value,
  COALESCE(stated_currency, @project_currency) AS currency,
  is_qualified,
  sorted_params(params) AS params,
  user_id,
  DATE(created, @time_zone) AS day,
  stated_currency IS NOT NULL AS states_currency,
  -- R8: a number that became text, alone or as half of an id: 1.23E9, 1,23457E+09, 1.23e9.1.7e9
  CASE
    WHEN STRPOS(client_id, 'E') = 0 AND STRPOS(client_id, 'e') = 0 THEN FALSE
    ELSE REGEXP_CONTAINS(client_id, r'^(\d+\.)?(\d+[.,]\d+|\d)[eE]\+?\d{1,3}(\.(\d+[.,]\d+|\d)[eE]\+?\d{1,3})?$')
  END AS is_damaged,
  COALESCE(ARRAY_LENGTH(sorted_params(params)), 0) < ARRAY_LENGTH(params) AS repeats_key,
  CASE
    WHEN id IS NULL OR id = '' THEN 'R7: the id is empty'
    WHEN CHAR_LENGTH(id) > @max_id_length THEN 'R7: the id is longer than 64 characters'
    WHEN IS_NAN(value) OR IS_INF(value) THEN 'R6: the value is not a finite number'
    WHEN NOT stated_currency IN UNNEST(@currencies) THEN 'R6: the currency is no ISO 4217 code'
    WHEN created > @latest_created THEN 'R6: created lies in the future of the run'
  END AS refusal
FROM cleaned;

CREATE OR REPLACE TEMP TABLE repeated AS
SELECT
  s.day,
  s.id,
  COUNT(*) AS row_count,
  COUNT(DISTINCT TO_JSON_STRING(STRUCT(
    as_is(s.client_id) AS client_id, as_is(UNIX_MICROS(s.created)) AS created, as_float(s.value) AS value,
    as_is(s.currency) AS currency, as_is(s.is_qualified) AS is_qualified, as_is(s.params) AS params,
    as_is(s.user_id) AS user_id
  ))) AS version_count
FROM staged AS s
WHERE s.refusal IS NULL
  AND EXISTS (
    SELECT 1
    FROM (SELECT day, id FROM staged WHERE refusal IS NULL GROUP BY day, id HAVING COUNT(*) > 1) AS r
    WHERE r.day = s.day AND r.id = s.id
  )
GROUP BY s.day, s.id;
