-- R19: what the guard asks before a run writes. Reads `published`, `flagged` (keys of raw rows that carry a delete flag) and
-- from the session `cases`. The window's ids are those that this run might retract: ACTIVE and at home in the window, and in
-- a run that thaws (R21) at home on the run's own days.
SELECT
  (SELECT COUNT(*) FROM cases AS k WHERE k.action = 'VANISH') AS vanishing,
  (
    SELECT COUNT(DISTINCT k.id)
    FROM cases AS k
    JOIN flagged AS f ON f.id = k.id
    WHERE k.action = 'VANISH'
  ) AS deleted,
  (
    SELECT COUNT(*)
    FROM published AS p
    WHERE p.status = 'ACTIVE'
      AND (
        p.day BETWEEN @first_window_day AND @last_window_day
        OR (@thaws AND p.day BETWEEN @first_day AND @last_day)
      )
  ) AS window_ids
