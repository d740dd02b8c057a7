-- One row per day of `staged`: what Great Expectations checks and what a person reads. One aggregate query for any range.
SELECT
  s.day,
  COUNT(*) + COALESCE(MAX(r.surplus_rows), 0) AS returned_rows,
  COUNTIF(s.refusal IS NULL) AS ids,
  COUNTIF(s.refusal IS NOT NULL) AS quarantined_rows,
  COUNTIF(STARTS_WITH(s.refusal, 'R6')) AS quarantined_r6,
  COUNTIF(STARTS_WITH(s.refusal, 'R7')) AS quarantined_r7,
  COUNTIF(s.refusal IS NULL AND s.client_id IS NULL) AS not_attributed_rows,
  COUNTIF(s.is_damaged) AS damaged_client_ids,
  COUNTIF(s.refusal IS NULL AND s.value < 0) AS negative_values,
  COUNTIF(s.refusal IS NULL AND s.repeats_key) AS repeated_keys,
  COALESCE(MAX(r.repeated_ids), 0) AS repeated_ids,
  COALESCE(MAX(r.surplus_rows), 0) AS surplus_rows,
  COALESCE(MAX(r.conflicting_ids), 0) AS conflicting_ids
FROM staged AS s
LEFT JOIN (
  SELECT
    day,
    COUNT(*) AS repeated_ids,
    SUM(row_count - 1) AS surplus_rows,
    COUNTIF(version_count > 1) AS conflicting_ids
  FROM repeated
  GROUP BY day
) AS r ON r.day = s.day
WHERE s.day BETWEEN @first_day AND @last_day
GROUP BY s.day
ORDER BY s.day
