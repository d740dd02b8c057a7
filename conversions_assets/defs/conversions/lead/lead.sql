-- Every contact, but for junk, which sales puts into the lifecycle stage `other`.
SELECT
  c.id,
  c.ga_client_id AS client_id,
  c.created_at AS created,
  c.lifecyclestage = 'customer' AS is_qualified,
  [
    STRUCT('country' AS key, c.country AS value),
    STRUCT('job_title', c.jobtitle),
    STRUCT('lead_source', c.hs_analytics_source)
  ] AS params,
  c.id AS user_id
FROM hubspot.contacts AS c
WHERE c.lifecyclestage <> 'other'
  AND NOT c._deleted
  AND c.created_at >= TIMESTAMP(@start_date)
  AND c.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
