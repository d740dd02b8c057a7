-- Where an id has more than one row in a day: only the one that counts stays in `staged`. Reads `staged` and `repeated`.

-- R5: of rows that differ the earliest (or latest) `created` wins; ties: TRUE before NULL before FALSE in is_qualified, then
-- more non-NULL columns, then the smallest canonical JSON. Never row order.
CREATE OR REPLACE TEMP TABLE winners AS
SELECT
  id, client_id, created, value, currency, is_qualified, params, user_id, day, states_currency, is_damaged, repeats_key,
  refusal
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY day, id
      ORDER BY
        IF(@latest_wins, -1, 1) * UNIX_MICROS(created),
        CASE WHEN is_qualified THEN 0 WHEN is_qualified IS NULL THEN 1 ELSE 2 END,
        IF(client_id IS NULL, 1, 0) + IF(value IS NULL, 1, 0) + IF(is_qualified IS NULL, 1, 0)
          + IF(ARRAY_LENGTH(params) > 0, 0, 1) + IF(user_id IS NULL, 1, 0),
        canonical
    ) AS place
  FROM (
    SELECT
      s.*,
      TO_JSON_STRING(STRUCT(
        as_is(s.client_id) AS client_id,
        as_is(FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%E6SZ', s.created)) AS created,
        as_is(s.currency) AS currency,
        as_is(s.id) AS id,
        as_is(s.is_qualified) AS is_qualified,
        -- BigQuery keeps an empty array where DuckDB keeps NULL
        as_is(IF(ARRAY_LENGTH(s.params) > 0, s.params, NULL)) AS params,
        as_is(s.user_id) AS user_id,
        as_float(s.value) AS value
      )) AS canonical
    FROM staged AS s
    WHERE s.refusal IS NULL
      AND EXISTS (SELECT 1 FROM repeated AS r WHERE r.day = s.day AND r.id = s.id)
  )
)
WHERE place = 1;

DELETE FROM staged
WHERE refusal IS NULL
  AND EXISTS (SELECT 1 FROM repeated AS r WHERE r.day = staged.day AND r.id = staged.id);

INSERT INTO staged (
  id, client_id, created, value, currency, is_qualified, params, user_id, day, states_currency, is_damaged, repeats_key,
  refusal
)
SELECT
  id, client_id, created, value, currency, is_qualified, params, user_id, day, states_currency, is_damaged, repeats_key,
  refusal
FROM winners;
