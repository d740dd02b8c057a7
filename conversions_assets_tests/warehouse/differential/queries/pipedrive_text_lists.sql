SELECT status, STRING_AGG(title, ', ' ORDER BY title) AS titles, ARRAY_AGG(id ORDER BY id DESC) AS ids, LOGICAL_OR(value > 50) AS any_large, COUNT(DISTINCT currency) AS currencies
FROM pipedrive.deals
GROUP BY status
ORDER BY status
