-- R18, R17: days of the window on which a rerun would change something although their own rows are as they were published:
-- a published row that the query returns nowhere any more (it was seen on the open day, refused, or mistyped before), and a
-- row whose newest home is a day that is covered already. Reads `published` and `staged` (the window and the open day).

WITH sightings AS (
  SELECT s.id, s.day, s.created
  FROM staged AS s
  WHERE s.refusal IS NULL AND s.day BETWEEN @first_day AND @open_day
)
SELECT p.day
FROM published AS p
LEFT JOIN (SELECT DISTINCT id FROM staged WHERE id IS NOT NULL) AS r ON r.id = p.id
WHERE p.day BETWEEN @first_day AND @last_day AND p.status = 'ACTIVE' AND r.id IS NULL
UNION DISTINCT
SELECT s.day
FROM published AS p
JOIN sightings AS s ON s.id = p.id
LEFT JOIN (
  SELECT id, IF(@latest_wins, MAX(created), MIN(created)) AS created
  FROM sightings
  GROUP BY id
  HAVING COUNT(*) > 1
) AS m ON m.id = s.id
WHERE p.day BETWEEN @first_day AND @last_day
  AND s.day BETWEEN @first_day AND @last_day
  AND s.day <> p.day
  AND (m.id IS NULL OR m.created = s.created)
