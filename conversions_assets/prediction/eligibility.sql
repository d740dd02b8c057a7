-- R25: whether there is anything to predict from. Reads `leads` and `targets`.
SELECT
  COUNTIF(t.day BETWEEN @first_day AND @last_day) AS recent_targets,
  COUNT(*) AS targets,
  MAX(t.day) AS newest_day,
  COUNT(DISTINCT t.user_id) AS target_users,
  COUNT(DISTINCT l.user_id) AS matched_users
FROM targets AS t
LEFT JOIN (SELECT DISTINCT user_id FROM leads WHERE user_id IS NOT NULL) AS l ON l.user_id = t.user_id
