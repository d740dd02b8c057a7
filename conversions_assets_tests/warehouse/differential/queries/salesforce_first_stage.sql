SELECT OpportunityId, StageName, CreatedDate
FROM salesforce.OpportunityHistory
QUALIFY ROW_NUMBER() OVER (PARTITION BY OpportunityId ORDER BY CreatedDate) = 1
