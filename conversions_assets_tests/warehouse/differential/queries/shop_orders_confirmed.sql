-- The demo's order_confirmed, without the parameters.
SELECT
  o.order_id AS id,
  o.ga_client_id AS client_id,
  o.ordered_at AS created,
  o.total AS value,
  o.currency,
  NOT COALESCE(o.cancelled, FALSE) AS is_qualified,
  [STRUCT('status' AS key, o.status AS value), STRUCT('day', CAST(DATE(o.ordered_at, 'Europe/Berlin') AS STRING))] AS params
FROM shop.orders AS o
WHERE o.ordered_at >= TIMESTAMP('2026-03-28') AND o.ordered_at < TIMESTAMP(DATE_ADD(DATE '2026-03-29', INTERVAL 1 DAY))
