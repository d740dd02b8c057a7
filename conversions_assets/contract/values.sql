-- Conversions and value per day and currency of the accepted rows, for a person to read.
SELECT a.day, a.currency, COUNT(*) AS ids, SUM(a.value) AS value
FROM staged AS a
WHERE a.refusal IS NULL AND a.day BETWEEN @first_day AND @last_day
GROUP BY a.day, a.currency
ORDER BY a.day, a.currency
