-- What is published for a run's days, in sums: per day and currency.
SELECT
  p.day, p.currency,
  COUNTIF(p.status = 'ACTIVE') AS active,
  COUNTIF(p.status = 'RETRACTED') AS retracted,
  COUNTIF(p.status = 'ACTIVE' AND p.client_id IS NULL) AS not_attributed,
  -- R24: they count in their own currency only
  COUNTIF(p.status = 'ACTIVE' AND p.value IS NOT NULL AND p.value_project IS NULL) AS without_rate,
  SUM(p.value) AS value
FROM published AS p
WHERE p.day BETWEEN @first_day AND @last_day
GROUP BY p.day, p.currency
ORDER BY p.day, p.currency
