SELECT
  EXTRACT(HOUR FROM TIMESTAMP_MICROS(event_timestamp) AT TIME ZONE 'Europe/Berlin') AS hour,
  DATE(TIMESTAMP_MICROS(event_timestamp), 'Europe/Berlin') AS day,
  FORMAT_TIMESTAMP('%Y-%m-%d %H:%M', TIMESTAMP_MICROS(event_timestamp), 'America/New_York') AS in_new_york,
  EXTRACT(DAYOFWEEK FROM TIMESTAMP_MICROS(event_timestamp)) AS weekday
FROM ga4.events_*
ORDER BY event_timestamp
