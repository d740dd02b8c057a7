-- What is published beside what the CRM says now, over the window: per day and currency. Reads `stored` and `published`.
SELECT
  s.day, s.currency,
  SUM(s.published_ids) AS published_ids,
  SUM(s.crm_ids) AS crm_ids,
  SUM(s.published_value) AS published_value,
  SUM(s.crm_value) AS crm_value
FROM (
  SELECT
    p.day, p.currency, IF(p.status = 'ACTIVE', 1, 0) AS published_ids, 0 AS crm_ids,
    COALESCE(p.value, 0.0) AS published_value, 0.0 AS crm_value
  FROM published AS p
  WHERE p.day BETWEEN @first_window_day AND @last_window_day
  UNION ALL
  SELECT c.day, c.currency, 0, 1, 0.0, COALESCE(c.value, 0.0)
  FROM stored AS c
  WHERE c.day BETWEEN @first_window_day AND @last_window_day
) AS s
GROUP BY s.day, s.currency
ORDER BY s.day, s.currency
