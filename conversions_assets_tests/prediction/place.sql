-- The raw tables as `conversions/lead` and `adjusted/deal` would leave them.
DELETE FROM conversions.lead WHERE TRUE;

INSERT INTO conversions.lead (
  id, client_id, created, value, currency, is_qualified, params, user_id, day, attribution, run_id
)
SELECT
  id, '1.2', created, value, COALESCE(currency, 'EUR'), is_qualified,
  sorted_params(clean_params([
    STRUCT('country' AS key, country AS value), STRUCT('note', note), STRUCT('size', size), STRUCT('source', source)
  ])),
  user_id, DATE(created, 'UTC') AS day, 'attributed', 'run'
FROM crm.leads
WHERE DATE(created, 'UTC') BETWEEN @first AND @last;

DELETE FROM conversions._lead_days WHERE TRUE;

INSERT INTO conversions._lead_days (day, time_zone, fingerprint)
SELECT day, 'UTC', 'f' FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day;

DELETE FROM adjusted.deal WHERE TRUE;

INSERT INTO adjusted.deal (id, created, value, currency, is_qualified, user_id, day, status, value_project)
SELECT
  id, created, value, currency, is_qualified, user_id, DATE(created, 'UTC') AS day, 'ACTIVE',
  IF(currency = 'EUR', value, NULL)
FROM crm.deals
WHERE status = 'won' AND DATE(created, 'UTC') BETWEEN @first AND @last;

DELETE FROM adjusted._deal_days WHERE TRUE;

INSERT INTO adjusted._deal_days (day, time_zone)
SELECT day, 'UTC' FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day;
