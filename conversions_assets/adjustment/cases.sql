-- R17, R18, R21: what the candidates' newest state means. Reads `published_days`, `covered`, `quarantine`, and
-- from the session `own`, `candidates`, `known` (sightings.sql) and `staged` (the query over the window and the open day). Leaves
-- `seen` (the winning sighting per id) and `cases` (one row per candidate with the action that the rules allow).

-- R17, R18: the winner among all sightings of an id, over the run's days, the window and the open day.
CREATE OR REPLACE TEMP TABLE seen AS
WITH sightings AS (
  SELECT o.id, o.client_id, o.created, o.value, o.currency, o.is_qualified, o.params, o.user_id, o.day
  FROM own AS o
  JOIN candidates AS c ON c.id = o.id
  UNION ALL
  SELECT s.id, s.client_id, s.created, s.value, s.currency, s.is_qualified, s.params, s.user_id, s.day
  FROM staged AS s
  WHERE s.refusal IS NULL
    AND s.day BETWEEN @first_seen_day AND @open_day
    AND NOT s.day BETWEEN @first_day AND @last_day
)
SELECT s.*
FROM sightings AS s
LEFT JOIN (
  SELECT id, IF(@latest_wins, MAX(created), MIN(created)) AS created
  FROM sightings
  GROUP BY id
  HAVING COUNT(*) > 1
) AS m ON m.id = s.id
WHERE m.id IS NULL OR m.created = s.created;

-- R18: returned, if only as a refused row or with a `created` after the open day: not vanished.
CREATE OR REPLACE TEMP TABLE returned AS
SELECT id FROM staged WHERE id IS NOT NULL
UNION DISTINCT
SELECT id FROM quarantine WHERE day BETWEEN @first_day AND @last_day AND id IS NOT NULL;

CREATE OR REPLACE TEMP TABLE cases AS
WITH joined AS (
  SELECT
    c.id,
    c.home,
    s.day AS seen_day,
    c.published AS is_published,
    s.id IS NOT NULL AS is_seen,
    r.id IS NOT NULL AS is_returned,
    -- R21: a day never published is as open as a day of the window, and so is a day that the run thaws
    c.home BETWEEN @first_window_day AND @last_window_day OR hd.day IS NULL AS home_unfrozen,
    s.day BETWEEN @first_window_day AND @last_window_day OR sd.day IS NULL AS seen_unfrozen,
    c.home BETWEEN @first_window_day AND @last_window_day OR hd.day IS NULL
      OR (@thaws AND c.home BETWEEN @first_day AND @last_day) AS home_open,
    s.day BETWEEN @first_window_day AND @last_window_day OR sd.day IS NULL
      OR (@thaws AND s.day BETWEEN @first_day AND @last_day) AS seen_open,
    c.home BETWEEN @first_day AND @last_day AS home_covered,
    s.day BETWEEN @first_day AND @last_day AS seen_covered,
    -- R31: the day is computed with another SQL than the one that was published
    COALESCE(hd.query_version <> cd.query_version, FALSE) AS query_changed,
    -- R15: from half a minor unit of the new currency on a value differs (a little less, for floats)
    CASE
      WHEN s.currency IN UNNEST(@no_decimals) THEN 0.499999
      WHEN s.currency IN UNNEST(@three_decimals) THEN 0.000499999
      WHEN s.currency IN UNNEST(@four_decimals) THEN 0.0000499999
      ELSE 0.00499999
    END AS half_unit
  FROM (
    SELECT c.id, p.day AS home, p.id IS NOT NULL AS published
    FROM candidates AS c
    LEFT JOIN known AS p ON p.id = c.id
  ) AS c
  LEFT JOIN seen AS s ON s.id = c.id
  LEFT JOIN returned AS r ON r.id = c.id
  LEFT JOIN published_days AS hd ON hd.day = c.home
  LEFT JOIN published_days AS sd ON sd.day = s.day
  LEFT JOIN covered AS cd ON cd.day = IF(c.home BETWEEN @first_day AND @last_day, c.home, s.day)
)
SELECT
  *,
  -- what the run changes of it, it changes on a frozen day
  @thaws AND (NOT COALESCE(home_unfrozen, TRUE) OR NOT COALESCE(seen_unfrozen, TRUE)) AS thawed,
  CASE
    WHEN NOT is_published THEN IF(is_seen AND seen_covered AND seen_open, 'PUBLISH', NULL)
    WHEN NOT is_seen THEN IF(NOT is_returned AND home_covered AND home_open, 'VANISH', NULL)
    WHEN NOT home_open THEN NULL
    WHEN seen_day = home THEN IF(home_covered, 'UPDATE', NULL)
    WHEN seen_open THEN IF(seen_covered, 'MOVE', NULL)
    ELSE IF(seen_covered AND home_covered, 'FOLLOW', NULL)
  END AS action
FROM joined;
