SELECT
  OpportunityId,
  StageName,
  CreatedDate,
  LAG(StageName) OVER w AS before,
  LEAD(CreatedDate) OVER w AS until,
  TIMESTAMP_DIFF(LEAD(CreatedDate) OVER w, CreatedDate, DAY) AS days,
  TIMESTAMP_DIFF(LEAD(CreatedDate) OVER w, CreatedDate, HOUR) AS hours,
  DATE_DIFF(DATE(LEAD(CreatedDate) OVER w), DATE(CreatedDate), WEEK) AS weeks
FROM salesforce.OpportunityHistory
WINDOW w AS (PARTITION BY OpportunityId ORDER BY CreatedDate)
ORDER BY OpportunityId, CreatedDate
