SELECT TIMESTAMP_TRUNC(ordered_at, DAY) AS day, TIMESTAMP_TRUNC(ordered_at, DAY, 'Europe/Berlin') AS local_day, TIMESTAMP_TRUNC(ordered_at, WEEK(MONDAY)) AS week, DATETIME(ordered_at, 'Europe/Berlin') AS local_time
FROM shop.orders
