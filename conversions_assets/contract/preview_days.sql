-- What `make validate` shows of the staged rows, per day.
SELECT
  s.day,
  COUNTIF(s.refusal IS NULL) AS ids,
  COUNTIF(s.refusal IS NOT NULL) AS refused,
  COUNTIF(s.refusal IS NULL AND s.client_id IS NULL) AS not_attributed,
  COUNTIF(s.refusal IS NULL AND s.user_id IS NOT NULL AND COALESCE(s.is_qualified, TRUE)) AS targets
FROM staged AS s
WHERE s.day BETWEEN @first_day AND @last_day
GROUP BY s.day
ORDER BY s.day
