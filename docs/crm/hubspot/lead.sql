-- Every contact, on the day it was created; one that became an opportunity or a customer is qualified.
SELECT
  c.id,
  c.ga_client_id AS client_id,
  c.created_at AS created,
  c.lifecyclestage IN ('opportunity', 'customer', 'evangelist') AS is_qualified,
  [
    STRUCT('city' AS key, c.city AS value),
    STRUCT('country', c.country),
    STRUCT('lead_source', c.hs_analytics_source),
    STRUCT('region', c.state)
  ] AS params,
  c.id AS user_id
FROM hubspot.contacts AS c
WHERE NOT c._deleted
  AND c.created_at >= TIMESTAMP(@start_date)
  AND c.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
