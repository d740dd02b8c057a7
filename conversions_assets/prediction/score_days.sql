-- What a run has scored, per day. Reads `scores`.
SELECT
  s.day,
  COUNT(*) AS leads,
  COUNTIF(s.value_source = 'PREDICTED') AS predicted,
  COUNTIF(s.value_source = 'FALLBACK') AS fallback,
  COUNTIF(s.value_source = 'NONE') AS without_value,
  COUNTIF(s.user_id IS NULL) AS without_user_id,
  SUM(s.probability) AS expected_targets,
  SUM(s.predicted_value) AS predicted_value
FROM scores AS s
WHERE s.day BETWEEN @first_day AND @last_day
GROUP BY s.day
ORDER BY s.day
