-- R9: per day and geo key the accepted rows that have a value for it.
SELECT s.day, p.key AS key, COUNT(*) AS row_count
FROM staged AS s
CROSS JOIN UNNEST(s.params) AS p
WHERE s.refusal IS NULL AND s.day BETWEEN @first_day AND @last_day AND p.key IN UNNEST(@geo_keys)
GROUP BY s.day, p.key
