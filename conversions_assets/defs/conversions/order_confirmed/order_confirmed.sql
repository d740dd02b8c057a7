-- Website orders that the CRM confirmed or that were paid. A cancelled one falls out and is taken back.
SELECT
  o.id,
  o.ga_client_id AS client_id,
  o.ordered_at AS created,
  o.total AS value,
  o.currency,
  [
    STRUCT('country' AS key, o.country AS value),
    STRUCT('region', o.region),
    STRUCT('city', o.city)
  ] AS params,
  o.contact_id AS user_id
FROM shop.orders AS o
WHERE o.status IN ('confirmed', 'paid')
  AND NOT o.is_deleted
  AND o.ordered_at >= TIMESTAMP(@start_date)
  AND o.ordered_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
