-- Functions that our SQL calls and that an engine computes best in its own way; each engine has a file of them, and
-- duckdb_functions.sql says of each what it means. A job makes those that it calls.
CREATE OR REPLACE TEMP FUNCTION trimmed(text STRING) AS (
  REGEXP_REPLACE(text, r'^[\s\pZ\x{0b}\x{85}]+|[\s\pZ\x{0b}\x{85}]+$', '')
);

CREATE OR REPLACE TEMP FUNCTION clean_params(params ARRAY<STRUCT<key STRING, value STRING>>) AS (
  ARRAY(
    SELECT AS STRUCT c.key AS key, c.value AS value
    FROM (
      SELECT
        REPLACE(
          REPLACE(LOWER(REGEXP_REPLACE(p.key, r'^[\s\pZ\x{0b}\x{85}]+|[\s\pZ\x{0b}\x{85}]+$', '')), ' ', '_'), '-', '_'
        ) AS key,
        p.value AS value,
        place
      FROM UNNEST(params) AS p WITH OFFSET AS place
    ) AS c
    WHERE c.key <> '' AND c.value <> ''
    ORDER BY c.place
  )
);

-- An empty array where nothing is left: BigQuery stores no NULL in its place.
CREATE OR REPLACE TEMP FUNCTION sorted_params(params ARRAY<STRUCT<key STRING, value STRING>>) AS (
  ARRAY(
    SELECT AS STRUCT p.key AS key, p.value AS value
    FROM UNNEST(params) AS p WITH OFFSET AS place
    WHERE NOT EXISTS (
      SELECT 1 FROM UNNEST(params) AS e WITH OFFSET AS earlier WHERE e.key = p.key AND earlier < place
    )
    ORDER BY p.key
  )
);

CREATE OR REPLACE TEMP FUNCTION has_key(params ARRAY<STRUCT<key STRING, value STRING>>, name STRING) AS (
  EXISTS (SELECT 1 FROM UNNEST(params) AS p WHERE p.key = name)
);

CREATE OR REPLACE TEMP FUNCTION param(params ARRAY<STRUCT<key STRING, value STRING>>, name STRING) AS (
  (SELECT MAX(p.value) FROM UNNEST(params) AS p WHERE p.key = name)
);

CREATE OR REPLACE TEMP FUNCTION params_in(text STRING) AS (
  ARRAY(
    SELECT AS STRUCT JSON_VALUE(p, '$.key') AS key, JSON_VALUE(p, '$.value') AS value
    FROM UNNEST(JSON_QUERY_ARRAY(text, '$.params')) AS p WITH OFFSET AS place
    ORDER BY place
  )
);

CREATE OR REPLACE TEMP FUNCTION row_hash(
  id STRING, client_id STRING, created INT64, amount INT64, other_value FLOAT64, currency STRING, is_qualified BOOL,
  params ARRAY<STRUCT<key STRING, value STRING>>, user_id STRING, refusal STRING
) AS (
  FARM_FINGERPRINT(TO_JSON_STRING(STRUCT(
    id, client_id, created, amount, other_value, currency, is_qualified, params, user_id, refusal
  ))) & 0x7FFFFFFFFFFFFFFF
);
