-- R8: stored conversions and those that are (not attributed), per day before and during a run.
SELECT s.day, COUNT(*) AS ids, COUNTIF(s.client_id IS NULL) AS not_attributed
FROM stored AS s
WHERE s.day BETWEEN @first_day AND @last_day
GROUP BY s.day
