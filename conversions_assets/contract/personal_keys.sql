-- R9: per day and key how many values look personal.
SELECT day, key, looks_like, COUNT(*) AS value_count
FROM personal
WHERE day BETWEEN @first_day AND @last_day
GROUP BY day, key, looks_like
ORDER BY day, key, looks_like
