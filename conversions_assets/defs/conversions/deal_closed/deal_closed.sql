-- Won deals, on their close date, which sales may correct by hand, with the client id of the contact they belong to.
-- The won stages of your own pipelines: SELECT id, label FROM hubspot.deal_stages WHERE is_closed AND probability = 1
WITH contacts AS (
  SELECT
    l.deal_id,
    c.id,
    c.ga_client_id,
    -- One for each deal: the oldest that has a client id, else the oldest.
    ROW_NUMBER() OVER (PARTITION BY l.deal_id ORDER BY c.ga_client_id IS NULL, c.created_at, c.id) AS place
  FROM hubspot.deals_contacts AS l
  JOIN hubspot.contacts AS m ON m.id = l.contact_id
  -- The deals of a merged contact belong to the one that took it over.
  JOIN hubspot.contacts AS c ON c.id = COALESCE(m._merged_into, m.id) AND NOT c._deleted
  WHERE NOT l._deleted
)

SELECT
  d.id,
  c.ga_client_id AS client_id,
  d.closedate AS created,
  d.amount AS value,
  d.deal_currency_code AS currency,
  c.id AS user_id
FROM hubspot.deals AS d
LEFT JOIN contacts AS c ON c.deal_id = d.id AND c.place = 1
WHERE d.dealstage IN ('closedwon', '190003')
  AND NOT d._deleted
  AND d.closedate >= TIMESTAMP(@start_date)
  AND d.closedate < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
