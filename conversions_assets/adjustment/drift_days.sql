-- The drift report in sums: per home day and currency.
SELECT d.day, d.currency, COUNT(*) AS row_count, COUNT(DISTINCT d.id) AS ids, SUM(d.value_delta) AS value_delta
FROM drift AS d
GROUP BY d.day, d.currency
ORDER BY d.day, d.currency
