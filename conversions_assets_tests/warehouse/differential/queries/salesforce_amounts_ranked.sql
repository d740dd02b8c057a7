SELECT Id, RANK() OVER (ORDER BY Amount) AS up, RANK() OVER (ORDER BY Amount DESC) AS down, MIN(Amount) OVER (PARTITION BY StageName) AS least
FROM salesforce.Opportunity
