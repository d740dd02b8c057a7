-- R28: the leads as they were when they were first seen: the first ledger row, where there is one, else the present row. A
-- row with one ledger entry is published as that entry says, so only the entries of rows that changed are read out of JSON.
-- Reads `leads` (id, user_id, created, day, params), `published` and `ledger`. Leaves `first_seen`.

CREATE OR REPLACE TEMP TABLE first_seen AS
SELECT
  s.id,
  s.user_id,
  s.created,
  s.day,
  CASE
    WHEN p.id IS NULL THEN s.params
    WHEN c.id IS NULL THEN p.params
    ELSE params_in(c.after)
  END AS params,
  COALESCE(c.day_after, p.day, s.day) AS first_day,
  p.id IS NOT NULL AS in_ledger,
  -- a backfill sees a lead long after it came in: its params may have been filled since
  p.id IS NOT NULL AND p.first_published_at > TIMESTAMP_ADD(s.created, INTERVAL 72 HOUR) AS seen_late
FROM leads AS s
LEFT JOIN published AS p ON p.id = s.id
LEFT JOIN (
  SELECT l.id, l.after, l.day_after
  FROM ledger AS l
  JOIN (SELECT id FROM ledger WHERE version = 2) AS changed ON changed.id = l.id
  WHERE l.version = 1
) AS c ON c.id = s.id;
