-- Every lead, on the day it was created; a converted one is qualified, and its person is then the contact.
SELECT
  l.id,
  l.ga_client_id__c AS client_id,
  l.created_at AS created,
  l.isconverted AS is_qualified,
  [
    STRUCT('city' AS key, l.city AS value),
    STRUCT('country', l.country),
    STRUCT('lead_source', l.leadsource),
    STRUCT('region', l.state)
  ] AS params,
  COALESCE(l.convertedcontactid, l.id) AS user_id
FROM salesforce.leads AS l
WHERE NOT l._deleted
  AND l.created_at >= TIMESTAMP(@start_date)
  AND l.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
