SELECT
  OpportunityId,
  CreatedDate,
  LAST_VALUE(StageName IGNORE NULLS) OVER (
    PARTITION BY OpportunityId ORDER BY CreatedDate ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS stage,
  FIRST_VALUE(StageName) OVER (PARTITION BY OpportunityId ORDER BY CreatedDate DESC) AS final_stage
FROM salesforce.OpportunityHistory
