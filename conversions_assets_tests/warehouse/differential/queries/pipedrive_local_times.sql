-- Local times as text: twice on the night the clock is set back, never on the night it is set forward.
SELECT
  id,
  SAFE.PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', add_time, 'Europe/Berlin') AS created,
  SAFE_CAST(add_time AS DATETIME) AS local_time,
  SAFE_CAST(NULLIF(won_time, '') AS TIMESTAMP) AS won_utc
FROM pipedrive.deals
ORDER BY id
