SELECT
  id,
  COALESCE(
    SAFE_CAST(JSON_VALUE(properties, '$.closedate') AS TIMESTAMP),
    TIMESTAMP_MILLIS(SAFE_CAST(JSON_VALUE(properties, '$.closedate') AS INT64))
  ) AS closed_at
FROM hubspot.deals
WHERE COALESCE(JSON_VALUE(properties, '$.closedate'), '') != ''
