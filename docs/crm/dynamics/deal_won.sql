-- Won opportunities, on the day they were closed: Dynamics keeps a date, here midnight in UTC. West of it write
-- TIMESTAMP(o.actualclosedate, 'America/New_York'), or it is the day before.
-- The client id is that of the contact, else that of the lead that became the opportunity.
WITH qualified AS (
  SELECT
    l._qualifyingopportunityid_value AS opportunity_id,
    l.new_gaclientid AS client_id,
    ROW_NUMBER() OVER (
      PARTITION BY l._qualifyingopportunityid_value
      ORDER BY l.new_gaclientid IS NULL, l.created_at, l.id
    ) AS place
  FROM dynamics.leads AS l
  WHERE NOT l._deleted
)

SELECT
  o.id,
  COALESCE(c.new_gaclientid, q.client_id) AS client_id,
  TIMESTAMP(o.actualclosedate) AS created,
  o.actualvalue AS value,
  k.isocurrencycode AS currency,
  o._parentcontactid_value AS user_id
FROM dynamics.opportunities AS o
LEFT JOIN dynamics.contacts AS c ON c.id = o._parentcontactid_value AND NOT c._deleted
LEFT JOIN qualified AS q ON q.opportunity_id = o.id AND q.place = 1
LEFT JOIN dynamics.transactioncurrencies AS k ON k.id = o._transactioncurrencyid_value
WHERE o.statecode = 1
  AND NOT o._deleted
  AND TIMESTAMP(o.actualclosedate) >= TIMESTAMP(@start_date)
  AND TIMESTAMP(o.actualclosedate) < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
