SELECT day, COUNT(o.order_id) AS orders, COALESCE(SUM(o.total), 0) AS total
FROM UNNEST(GENERATE_DATE_ARRAY(DATE '2026-03-27', DATE '2026-03-30')) AS day
LEFT JOIN shop.orders AS o ON DATE(o.ordered_at, 'Europe/Berlin') = day
GROUP BY day
ORDER BY day
