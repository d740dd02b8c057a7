-- What the run's own days hold now, and which ids of them could change anything. Reads `stored`, `published`.
-- Leaves `own` (one row per id), `candidates` (ids whose state differs from what is published) and `known`: what is published
-- of them, so that the large table is read once. What the run could change is published between @first_home and @last_home (homes.sql).

CREATE OR REPLACE TEMP TABLE own AS
SELECT s.id, s.client_id, s.created, s.value, s.currency, s.is_qualified, s.params, s.user_id, s.day
FROM stored AS s
LEFT JOIN (
  -- R17: an id on several days; the earliest (or latest) `created` wins
  SELECT id, IF(@latest_wins, MAX(created), MIN(created)) AS created
  FROM stored
  WHERE day BETWEEN @first_day AND @last_day
  GROUP BY id
  HAVING COUNT(*) > 1
) AS m ON m.id = s.id
WHERE s.day BETWEEN @first_day AND @last_day
  AND (m.id IS NULL OR m.created = s.created);

CREATE OR REPLACE TEMP TABLE candidates AS
SELECT o.id, FALSE AS missing
FROM own AS o
LEFT JOIN (SELECT * FROM published WHERE day BETWEEN @first_home AND @last_home) AS p ON p.id = o.id
WHERE p.id IS NULL
  OR p.day <> o.day
  OR p.status = 'RETRACTED'
  OR p.value IS DISTINCT FROM o.value
  OR p.currency <> o.currency
  OR p.is_qualified IS DISTINCT FROM o.is_qualified
  OR p.client_id IS DISTINCT FROM o.client_id
  OR p.user_id IS DISTINCT FROM o.user_id
  OR TO_JSON_STRING(as_is(p.params)) IS DISTINCT FROM TO_JSON_STRING(as_is(o.params))
UNION ALL
SELECT p.id, TRUE AS missing
FROM published AS p
LEFT JOIN own AS o ON o.id = p.id
WHERE p.day BETWEEN @first_day AND @last_day
  AND p.status = 'ACTIVE'
  AND o.id IS NULL;

CREATE OR REPLACE TEMP TABLE known AS
SELECT p.*
FROM published AS p
JOIN candidates AS c ON c.id = p.id
WHERE p.day BETWEEN @first_home AND @last_home;
