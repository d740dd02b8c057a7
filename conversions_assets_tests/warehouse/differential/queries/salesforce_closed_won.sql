SELECT
  o.Id AS id,
  CAST(o.CloseDate AS STRING) AS close_date,
  TIMESTAMP(o.CloseDate, 'Europe/Berlin') AS created,
  ROUND(o.Amount, 2) AS value,
  o.CurrencyIsoCode AS currency,
  a.Name AS account
FROM salesforce.Opportunity AS o
LEFT JOIN salesforce.Account AS a ON a.Id = o.AccountId
WHERE o.StageName = 'Closed Won' AND NOT o.IsDeleted
