SELECT
  StageName,
  COUNT(*) AS n,
  SUM(Probability) AS probability,
  AVG(Probability) AS mean_probability,
  MIN(Amount) AS smallest,
  MAX(CloseDate) AS last_close,
  COUNT(DISTINCT AccountId) AS accounts
FROM salesforce.Opportunity
GROUP BY StageName
HAVING COUNT(*) > 0
ORDER BY StageName
