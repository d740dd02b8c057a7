-- R21: how old a frozen day was when its value was seen to differ: the window that would have caught the difference.
SELECT
  d.currency,
  DATE_DIFF(DATE(d.seen_at, @time_zone), d.day, DAY) AS age,
  SUM(ABS(d.value_delta)) AS changed
FROM drift AS d
WHERE d.value_delta <> 0
GROUP BY 1, 2
ORDER BY 1, 2
