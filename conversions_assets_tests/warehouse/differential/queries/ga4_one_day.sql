SELECT event_name, COUNT(*) AS n, COUNT(DISTINCT user_pseudo_id) AS users
FROM `ga4.events_*`
WHERE _TABLE_SUFFIX = '20260102'
GROUP BY event_name
