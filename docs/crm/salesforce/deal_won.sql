-- Won opportunities, at the time of the first history row in a won stage; without one, at the close date (edited by hand).
-- The client id is the primary contact's, another contact's that has one, or the converted lead's.
WITH won AS (
  SELECT h.opportunityid, MIN(h.created_at) AS won_at
  FROM salesforce.opportunity_history AS h
  JOIN salesforce.opportunity_stages AS s ON s.apiname = h.stagename AND s.iswon
  WHERE NOT h._deleted
  GROUP BY h.opportunityid
),

contacts AS (
  SELECT
    r.opportunityid,
    c.id AS contact_id,
    c.ga_client_id__c AS client_id,
    ROW_NUMBER() OVER (
      PARTITION BY r.opportunityid
      ORDER BY c.ga_client_id__c IS NULL, r.isprimary DESC, r.created_at, r.id
    ) AS place
  FROM salesforce.opportunity_contact_roles AS r
  JOIN salesforce.contacts AS c ON c.id = r.contactid AND NOT c._deleted
  WHERE NOT r._deleted
),

leads AS (
  SELECT
    l.convertedopportunityid AS opportunityid,
    l.id AS lead_id,
    l.convertedcontactid AS contact_id,
    l.ga_client_id__c AS client_id,
    ROW_NUMBER() OVER (
      PARTITION BY l.convertedopportunityid
      ORDER BY l.ga_client_id__c IS NULL, l.created_at, l.id
    ) AS place
  FROM salesforce.leads AS l
  WHERE NOT l._deleted
    AND l.convertedopportunityid IS NOT NULL
)

SELECT
  o.id,
  COALESCE(c.client_id, l.client_id) AS client_id,
  COALESCE(w.won_at, TIMESTAMP(o.closedate)) AS created,
  o.amount AS value,
  o.currencyisocode AS currency, -- delete this line where Salesforce has one currency
  COALESCE(c.contact_id, l.contact_id, l.lead_id) AS user_id
FROM salesforce.opportunities AS o
LEFT JOIN won AS w ON w.opportunityid = o.id
LEFT JOIN contacts AS c ON c.opportunityid = o.id AND c.place = 1
LEFT JOIN leads AS l ON l.opportunityid = o.id AND l.place = 1
WHERE o.iswon
  AND NOT o._deleted
  AND COALESCE(w.won_at, TIMESTAMP(o.closedate)) >= TIMESTAMP(@start_date)
  AND COALESCE(w.won_at, TIMESTAMP(o.closedate)) < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
