SELECT order_id, ANY_VALUE(total HAVING MAX ordered_at) AS newest_total, MAX(ordered_at) AS moment
FROM shop.orders
GROUP BY ALL
