-- R23: SHA256 per day over its normalised rows ordered by id, refused ones with their reason. Without run_id and crm_load_id.
-- Reads `staged`. Leaves `fingerprints`, also for days without a row.

CREATE OR REPLACE TEMP TABLE fingerprints AS
SELECT d.day, COALESCE(f.fingerprint, TO_HEX(SHA256(''))) AS fingerprint, COALESCE(f.row_count, 0) AS row_count
FROM (SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, @last_day)) AS day) AS d
LEFT JOIN (
  SELECT t.day, TO_HEX(SHA256(STRING_AGG(t.text, '\n' ORDER BY t.id, t.text))) AS fingerprint, COUNT(*) AS row_count
  FROM (
    SELECT
      s.day,
      s.id,
      TO_JSON_STRING(STRUCT(
        s.id AS id,
        s.client_id AS client_id,
        s.created AS created,
        s.value AS value,
        s.currency AS currency,
        s.is_qualified AS is_qualified,
        s.params AS params,
        s.user_id AS user_id,
        s.refusal AS refusal
      )) AS text
    FROM (
      -- A step of its own: inside of the STRUCT each engine function would be written out many times.
      SELECT
        s.* EXCEPT (created, value),
        UNIX_MICROS(s.created) AS created,
        -- In thousandths of the currency's minor unit: the noise of float sums is no change, half a minor unit always is (R15).
        CASE
          WHEN ABS(s.value) < 1e11 THEN CAST(CAST(s.value * CASE
            WHEN s.currency IN UNNEST(@no_decimals) THEN 1e3
            WHEN s.currency IN UNNEST(@three_decimals) THEN 1e6
            WHEN s.currency IN UNNEST(@four_decimals) THEN 1e7
            ELSE 1e5
          END AS INT64) AS STRING)
          ELSE CAST(s.value AS STRING)
        END AS value
      FROM staged AS s
      WHERE s.day BETWEEN @first_day AND @last_day
    ) AS s
  ) AS t
  GROUP BY t.day
) AS f ON f.day = d.day;
