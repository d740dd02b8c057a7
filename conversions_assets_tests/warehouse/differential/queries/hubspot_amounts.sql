SELECT
  SUM(SAFE_CAST(NULLIF(JSON_VALUE(properties, '$.amount'), '') AS NUMERIC)) AS total,
  COUNT(SAFE_CAST(JSON_VALUE(properties, '$.amount') AS FLOAT64)) AS numbers,
  MAX(SAFE_CAST(REPLACE(JSON_VALUE(properties, '$.amount'), ',', '.') AS FLOAT64)) AS largest
FROM hubspot.deals
