-- R10: how many rows were refused, by day, rule and reason; those dated after the run too, which no day counts.
SELECT s.day, SUBSTR(s.refusal, 1, 2) AS rule, SUBSTR(s.refusal, 5) AS reason, COUNT(*) AS row_count
FROM staged AS s
WHERE s.refusal IS NOT NULL AND (s.day BETWEEN @first_day AND @last_day OR s.created > @latest_created)
GROUP BY s.day, s.refusal
ORDER BY s.day, s.refusal
