SELECT
  order_id,
  ordered_at,
  COUNT(*) OVER (ORDER BY ordered_at) AS n,
  SUM(IF(cancelled, 0, 1)) OVER (PARTITION BY currency ORDER BY ordered_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS last_two,
  DENSE_RANK() OVER (ORDER BY currency) AS by_currency
FROM shop.orders
ORDER BY ordered_at
