SELECT event_date, i.item_id, i.price * i.quantity AS revenue, i.quantity, ROUND(i.price, 1) AS price
FROM ga4.events_* AS e, UNNEST(e.items) AS i
WHERE e.event_name = 'purchase'
