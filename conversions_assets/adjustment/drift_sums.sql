-- The drift report in sums: per kind and currency.
SELECT d.kind, d.currency, COUNT(*) AS row_count, COUNT(DISTINCT d.id) AS ids, SUM(d.value_delta) AS value_delta
FROM drift AS d
GROUP BY d.kind, d.currency
ORDER BY d.kind, d.currency
