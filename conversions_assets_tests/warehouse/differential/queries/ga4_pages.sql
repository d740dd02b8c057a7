SELECT
  REGEXP_EXTRACT(p.value.string_value, r'[?&]gclid=([^&]+)') AS gclid,
  REGEXP_EXTRACT(p.value.string_value, r'utm_source=(\w+)') AS source,
  SPLIT(p.value.string_value, '?')[OFFSET(0)] AS page,
  traffic_source.medium AS medium
FROM ga4.events_20260101, UNNEST(event_params) AS p
WHERE p.key = 'page_location'
