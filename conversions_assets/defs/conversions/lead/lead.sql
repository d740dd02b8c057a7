-- Every contact that is not junk.
SELECT
  c.id,
  c.ga_client_id AS client_id,
  c.created_at AS created,
  c.lifecycle = 'customer' AS is_qualified,
  [
    STRUCT('country' AS key, c.country AS value),
    STRUCT('job_title', c.job_title),
    STRUCT('lead_source', c.lead_source)
  ] AS params,
  c.id AS user_id
FROM hubspot.contacts AS c
WHERE c.lifecycle <> 'junk'
  AND NOT c.is_deleted
  AND c.created_at >= TIMESTAMP(@start_date)
  AND c.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
