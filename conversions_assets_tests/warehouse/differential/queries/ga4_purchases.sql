-- The way GA4's own documentation reads event_params.
SELECT
  user_pseudo_id,
  TIMESTAMP_MICROS(event_timestamp) AS created,
  (SELECT value.string_value FROM UNNEST(event_params) WHERE key = 'transaction_id') AS id,
  (SELECT COALESCE(value.double_value, value.int_value) FROM UNNEST(event_params) WHERE key = 'value') AS value,
  (SELECT value.int_value FROM UNNEST(event_params) WHERE key = 'ga_session_id') AS session_id
FROM ga4.events_*
WHERE _TABLE_SUFFIX BETWEEN '20260101' AND '20260102' AND event_name = 'purchase'
