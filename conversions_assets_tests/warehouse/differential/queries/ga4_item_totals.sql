SELECT item_id, SUM(quantity) AS n, ANY_VALUE(item_id) AS same FROM ga4.events_20260101, UNNEST(items) GROUP BY item_id ORDER BY item_id
