SELECT
  id,
  SAFE_DIVIDE(100, value) AS share,
  IFNULL(value, 0) AS filled,
  COALESCE(currency, 'EUR') AS currency,
  CAST(value AS STRING) AS written,
  CAST(value AS INT64) AS whole,
  GREATEST(value, 50) AS at_least,
  IF(lost_reason IN ('', 'n/a'), NULL, lost_reason) AS reason
FROM pipedrive.deals
