-- What a run changes, in sums: per home day, reason and currency.
SELECT
  v.day, v.reason, v.currency,
  COUNT(*) AS ids,
  COUNTIF(v.is_adjustment) AS adjustments,
  COUNTIF(v.is_adjustment AND v.status = 'ACTIVE') AS restated,
  SUM(v.value_delta) AS value_delta
FROM versions AS v
GROUP BY v.day, v.reason, v.currency
ORDER BY v.day, v.reason, v.currency
