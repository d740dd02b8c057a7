SELECT
  id,
  SAFE.PARSE_TIMESTAMP('%Y-%m-%dT%H:%M:%E*SZ', created_at) AS parsed,
  SAFE_CAST(created_at AS TIMESTAMP) AS cast_at,
  SAFE.PARSE_DATE('%Y-%m-%d', SUBSTR(created_at, 1, 10)) AS day,
  SUBSTR(created_at, 0, 4) AS year
FROM hubspot.contacts
