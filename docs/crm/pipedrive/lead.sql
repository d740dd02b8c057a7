-- Every lead, on the day it was created; one that became a deal is gone from Pipedrive's leads, and is qualified.
-- The client id is the lead's own (a custom field of deals), else its person's.
SELECT
  l.id,
  COALESCE(l.ga_client_id, p.ga_client_id) AS client_id,
  l.created_at AS created,
  d.lead_id IS NOT NULL AS is_qualified,
  [
    STRUCT('city' AS key, p.postal_address_locality AS value),
    STRUCT('country', p.postal_address_country),
    STRUCT('lead_source', l.source_name),
    STRUCT('region', p.postal_address_admin_area_level_1)
  ] AS params,
  l.person_id AS user_id
FROM pipedrive.leads AS l
LEFT JOIN pipedrive.persons AS p ON p.id = l.person_id AND NOT p._deleted
LEFT JOIN (
  SELECT DISTINCT source_lead_id AS lead_id
  FROM pipedrive.deals
  WHERE NOT _deleted
) AS d ON d.lead_id = l.id
WHERE (NOT l._deleted OR d.lead_id IS NOT NULL)
  AND l.created_at >= TIMESTAMP(@start_date)
  AND l.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
