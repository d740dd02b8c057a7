-- R23: SHA256 per day over the hashes of its normalised rows, refused ones with their reason. Without run_id and crm_load_id.
-- Reads `staged`. Leaves `fingerprints`, also for days without a row.

CREATE OR REPLACE TEMP TABLE fingerprints AS
SELECT d.day, COALESCE(f.fingerprint, TO_HEX(SHA256(''))) AS fingerprint, COALESCE(f.row_count, 0) AS row_count
FROM (SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, @last_day)) AS day) AS d
LEFT JOIN (
  SELECT
    h.day,
    -- Of hashes, so that no row is kept: neither a lost, an added nor a changed row leaves all three as they were.
    TO_HEX(SHA256(CONCAT(
      CAST(COUNT(*) AS STRING), ' ', CAST(BIT_XOR(h.hash) AS STRING), ' ', CAST(SUM(DIV(h.hash, 4294967296)) AS STRING)
    ))) AS fingerprint,
    COUNT(*) AS row_count
  FROM (
    SELECT
      a.day,
      row_hash(
        a.id, a.client_id, UNIX_MICROS(a.created), a.amount, IF(a.amount IS NULL, a.value, NULL), a.currency, a.is_qualified,
        a.params, a.user_id, a.refusal
      ) AS hash
    FROM (
      SELECT
        s.*,
        -- In thousandths of the currency's minor unit: the noise of float sums is no change, half a minor unit always is (R15).
        CASE
          WHEN ABS(s.value) < 1e11 THEN CAST(s.value * CASE
            WHEN s.currency IN UNNEST(@no_decimals) THEN 1e3
            WHEN s.currency IN UNNEST(@three_decimals) THEN 1e6
            WHEN s.currency IN UNNEST(@four_decimals) THEN 1e7
            ELSE 1e5
          END AS INT64)
        END AS amount
      FROM staged AS s
      WHERE s.day BETWEEN @first_day AND @last_day
    ) AS a
  ) AS h
  GROUP BY h.day
) AS f ON f.day = d.day;
