SELECT * FROM (SELECT CurrencyIsoCode, StageName, Probability FROM salesforce.Opportunity)
PIVOT (SUM(Probability) FOR StageName IN ('Closed Won' AS won, 'Closed Lost' AS lost))
ORDER BY CurrencyIsoCode
