SELECT event_name, ARRAY_TO_STRING(ARRAY(SELECT key FROM UNNEST(event_params) ORDER BY key), ',') AS keys, EXISTS (SELECT 1 FROM UNNEST(event_params) WHERE key = 'value') AS has_value
FROM ga4.events_*
