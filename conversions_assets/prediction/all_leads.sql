-- Every lead once: where an id is stored on several days (it moved), its earliest or latest `created` counts, as in R17.
-- Reads `stored`.
SELECT s.id, s.user_id, s.created, s.day, s.params
FROM stored AS s
LEFT JOIN (
  SELECT id, IF(@latest_wins, MAX(created), MIN(created)) AS created
  FROM stored
  GROUP BY id
  HAVING COUNT(*) > 1
) AS m ON m.id = s.id
WHERE m.id IS NULL OR m.created = s.created
