SELECT
  opportunityid,
  DATETIME_TRUNC(createdon, MONTH) AS month,
  DATETIME_ADD(createdon, INTERVAL 1 MONTH) AS next_month,
  DATETIME_DIFF(actualclosedate, createdon, MONTH) AS months,
  DATETIME_DIFF(actualclosedate, createdon, DAY) AS days,
  EXTRACT(WEEK FROM createdon) AS week,
  EXTRACT(ISOWEEK FROM createdon) AS iso_week,
  FORMAT_DATETIME('%Y-%m', createdon) AS label,
  LAST_DAY(DATE(createdon)) AS month_end
FROM dynamics.opportunity
