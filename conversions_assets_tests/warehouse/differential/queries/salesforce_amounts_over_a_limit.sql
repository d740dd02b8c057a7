-- NaN is greater than nothing in BigQuery.
SELECT Id, Amount > 50 AS large, Amount >= 47.205 AS at_least, Amount < 100 AS small, Amount = Amount AS same
FROM salesforce.Opportunity
ORDER BY Id
