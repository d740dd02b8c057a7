-- HubSpot keeps properties as JSON text; amounts and dates are text.
SELECT
  id,
  SAFE_CAST(JSON_VALUE(properties, '$.amount') AS FLOAT64) AS value,
  SAFE_CAST(JSON_VALUE(properties, '$.closedate') AS TIMESTAMP) AS created,
  JSON_VALUE(properties, '$."hs_object_id"') AS object_id,
  JSON_VALUE(properties, '$.pipeline') AS pipeline
FROM hubspot.deals
WHERE JSON_VALUE(properties, '$.dealstage') = 'closedwon' AND NOT archived
