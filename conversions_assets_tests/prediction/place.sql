-- DuckDB: the raw tables as `conversions/lead` and `adjusted/deal` would leave them.
DELETE FROM conversions.lead;
INSERT INTO conversions.lead BY NAME
SELECT
  id, '1.2' AS client_id, created, value, coalesce(currency, 'EUR') AS currency, is_qualified, user_id, created::DATE AS day,
  'attributed' AS attribution, 'run' AS run_id,
  list_filter(
    [
      {'key': 'country', 'value': country}, {'key': 'note', 'value': note}, {'key': 'size', 'value': size},
      {'key': 'source', 'value': source}
    ],
    lambda p: p.value <> ''
  ) AS params
FROM crm.leads
WHERE created::DATE BETWEEN $first AND $today - 1;

DELETE FROM conversions._lead_days;
INSERT INTO conversions._lead_days BY NAME
SELECT unnest(generate_series($first, $today - 1, INTERVAL 1 DAY))::DATE AS day, 'UTC' AS time_zone, 'f' AS fingerprint;

DELETE FROM adjusted.deal;
INSERT INTO adjusted.deal BY NAME
SELECT
  id, created, value, currency, is_qualified, user_id, created::DATE AS day, 'ACTIVE' AS status,
  CASE WHEN currency = 'EUR' THEN value END AS value_project
FROM crm.deals
WHERE status = 'won' AND created::DATE BETWEEN $first AND $today - 1;

DELETE FROM adjusted._deal_days;
INSERT INTO adjusted._deal_days BY NAME
SELECT unnest(generate_series($first, $today - 1, INTERVAL 1 DAY))::DATE AS day, 'UTC' AS time_zone;
