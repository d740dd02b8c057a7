-- R16: does replaying the ledger give what is published? Over the days that a run has touched, after it was written: each
-- id that is published there, or that the ledger puts there, with its newest ledger entry. Reads `published`, `ledger` and
-- from the session `versions`.
WITH touched AS (
  SELECT day FROM versions
  UNION DISTINCT
  SELECT day_before FROM versions WHERE day_before IS NOT NULL
),
-- Writing rows out as JSON is what costs: the newest days, until they hold @most_rows.
sized AS (
  SELECT t.day, COUNT(p.id) AS row_count
  FROM touched AS t
  LEFT JOIN (SELECT * FROM published WHERE day BETWEEN @first_home AND @last_home) AS p ON p.day = t.day
  GROUP BY t.day
),
compared AS (
  SELECT s.day
  FROM (SELECT day, SUM(row_count) OVER (ORDER BY day DESC) - row_count AS rows_before FROM sized) AS s
  WHERE s.rows_before < @most_rows
),
ids AS (
  SELECT p.id
  FROM published AS p
  JOIN compared AS t ON t.day = p.day
  WHERE p.day BETWEEN @first_home AND @last_home
  UNION DISTINCT
  SELECT l.id FROM ledger AS l JOIN compared AS t ON t.day = l.day_after
),
newest AS (
  SELECT l.id, MAX(l.changed_at) AS changed_at
  FROM ledger AS l
  JOIN ids AS i ON i.id = l.id
  GROUP BY l.id
),
-- Only what lies on these days: the other columns of the large tables are not read for other days.
replayed AS (
  SELECT l.id, l.after
  FROM ledger AS l
  JOIN compared AS t ON t.day = l.day_after
  JOIN newest AS n ON n.id = l.id AND n.changed_at = l.changed_at
),
shown AS (
  SELECT p.id, ROW_AS_JSON(p) AS row_now
  FROM published AS p
  JOIN compared AS t ON t.day = p.day
  WHERE p.day BETWEEN @first_home AND @last_home
)
SELECT
  (SELECT COUNT(*) FROM touched) AS touched_days,
  (SELECT COUNT(*) FROM compared) AS compared_days,
  COUNT(*) AS ids,
  COUNTIF(s.id IS NULL) AS not_published,
  COUNTIF(r.id IS NULL) AS not_in_ledger,
  COUNTIF(r.after <> s.row_now) AS different,
  COUNT(s.id) - COUNT(DISTINCT s.id) AS repeated
FROM shown AS s
FULL JOIN replayed AS r ON r.id = s.id
