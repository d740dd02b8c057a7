-- What the keys of params hold, over all leads: what decides between a number, a category, free text and an id. Reads
-- `first_seen` of the session.
SELECT
  v.key,
  COUNT(*) AS filled,
  COUNT(DISTINCT v.value) AS distinct_values,
  COUNTIF(v.is_number) AS numbers,
  COUNTIF(v.is_number AND v.number = FLOOR(v.number)) AS whole_numbers,
  -- 01067 is a code, not a number
  COUNTIF(REGEXP_CONTAINS(v.value, r'^[+-]?0[0-9]')) AS padded_numbers,
  MIN(CHAR_LENGTH(v.value)) AS least_length,
  AVG(CHAR_LENGTH(v.value)) AS mean_length,
  AVG(ARRAY_LENGTH(SPLIT(v.value, ' '))) AS mean_words
FROM (
  SELECT p.key, p.value, number, COALESCE(NOT (IS_NAN(number) OR IS_INF(number)), FALSE) AS is_number
  FROM (
    SELECT p.key, p.value, SAFE_CAST(p.value AS FLOAT64) AS number
    FROM first_seen AS s, UNNEST(s.params) AS p
  ) AS p
) AS v
GROUP BY v.key
ORDER BY v.key
