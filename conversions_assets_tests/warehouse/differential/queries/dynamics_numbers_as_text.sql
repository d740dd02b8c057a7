SELECT opportunityid, CAST(actualvalue AS STRING) AS value, CAST(createdon AS STRING) AS moment, CONCAT(opportunityid, '/', CAST(statecode AS STRING)) AS code, ROUND(actualvalue, 2) AS rounded
FROM dynamics.opportunity
