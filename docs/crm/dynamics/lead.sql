-- Every lead, on the day it was created: qualified TRUE, disqualified FALSE, open NULL.
-- A qualified lead is the person of its contact, as deals are.
SELECT
  l.id,
  l.new_gaclientid AS client_id,
  l.created_at AS created,
  l.estimatedamount AS value,
  k.isocurrencycode AS currency,
  CASE l.statecode WHEN 1 THEN TRUE WHEN 2 THEN FALSE END AS is_qualified,
  [
    STRUCT('city' AS key, l.address1_city AS value),
    STRUCT('country', l.address1_country),
    STRUCT('lead_source', CAST(l.leadsourcecode AS STRING)),
    STRUCT('region', l.address1_stateorprovince)
  ] AS params,
  COALESCE(l._parentcontactid_value, l.id) AS user_id
FROM dynamics.leads AS l
LEFT JOIN dynamics.transactioncurrencies AS k ON k.id = l._transactioncurrencyid_value
WHERE NOT l._deleted
  AND l.created_at >= TIMESTAMP(@start_date)
  AND l.created_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
