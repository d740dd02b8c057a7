-- Dynamics keeps UTC without a zone, and states as numbers.
SELECT
  opportunityid AS id,
  TIMESTAMP(actualclosedate) AS created,
  TIMESTAMP(actualclosedate, 'Europe/Berlin') AS as_local,
  CAST(actualvalue AS FLOAT64) AS value,
  actualvalue * 2 AS doubled,
  CASE statecode WHEN 1 THEN 'won' WHEN 2 THEN 'lost' ELSE 'open' END AS state
FROM dynamics.opportunity
WHERE actualclosedate IS NOT NULL
