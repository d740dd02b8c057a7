-- Won deals, at the time they entered the won stage of their pipeline, which nobody edits by hand as the close date.
-- Name the won stages of your own pipelines here: SELECT id, label FROM hubspot.deal_stages WHERE is_closed AND probability = 1
WITH won AS (
  SELECT
    d.id,
    d.amount,
    d.deal_currency_code,
    CASE d.dealstage
      WHEN 'closedwon' THEN d.hs_v2_date_entered_closedwon
      WHEN '190003' THEN d.hs_v2_date_entered_190003
    END AS won_at
  FROM hubspot.deals AS d
  WHERE NOT d._deleted
),

-- One contact for each deal: the oldest that has a client id, else the oldest.
contacts AS (
  SELECT
    l.deal_id,
    c.id AS contact_id,
    c.ga_client_id AS client_id,
    ROW_NUMBER() OVER (PARTITION BY l.deal_id ORDER BY c.ga_client_id IS NULL, c.created_at, c.id) AS place
  FROM hubspot.deals_contacts AS l
  JOIN hubspot.contacts AS c ON c.id = l.contact_id AND NOT c._deleted
  WHERE NOT l._deleted
)

SELECT
  w.id,
  c.client_id,
  w.won_at AS created,
  w.amount AS value,
  w.deal_currency_code AS currency,
  c.contact_id AS user_id
FROM won AS w
LEFT JOIN contacts AS c ON c.deal_id = w.id AND c.place = 1
WHERE w.won_at >= TIMESTAMP(@start_date)
  AND w.won_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
