-- R26: which targets a lead has brought: of the same person and from 0 to @window_micros microseconds after it, both ends
-- in. Reads `leads` (id, user_id, created) and `targets` (id, user_id, created, value). Leaves `linked`: per lead with a
-- target how many, the sum of their values (NULL where none has one), and the time to the first of them.
-- A frame over each person's leads and targets in order of time: linear, also for a person with thousands of either.

CREATE OR REPLACE TEMP TABLE linked AS
WITH known AS (
  SELECT t.user_id, UNIX_MICROS(t.created) AS moment, t.value
  FROM targets AS t
  WHERE t.user_id IS NOT NULL AND t.created < @cut_off
),
candidates AS (
  SELECT l.id, l.user_id, UNIX_MICROS(l.created) AS moment
  FROM leads AS l
  JOIN (SELECT DISTINCT user_id FROM known) AS u ON u.user_id = l.user_id
  WHERE l.created < @cut_off
),
events AS (
  SELECT user_id, moment, moment AS lead_moment, CAST(NULL AS INT64) AS target_moment, CAST(NULL AS FLOAT64) AS value
  FROM candidates
  UNION ALL
  SELECT user_id, moment, NULL, moment, value FROM known
),
-- latest, first: each target once, to one lead that came before it
assigned AS (
  SELECT
    user_id,
    target_moment,
    value,
    IF(@link_first, MIN(lead_moment) OVER before, MAX(lead_moment) OVER before) AS lead_moment
  FROM events
  WHERE NOT @link_all
  WINDOW before AS (PARTITION BY user_id ORDER BY moment RANGE BETWEEN @window_micros PRECEDING AND CURRENT ROW)
),
-- two leads of a person at the same instant: one of them
chosen AS (
  SELECT user_id, moment, MIN(id) AS id FROM candidates GROUP BY user_id, moment
),
-- all: each target for every lead before it
owned AS (
  SELECT
    user_id,
    lead_moment,
    COUNT(target_moment) OVER after AS target_conversions,
    SUM(value) OVER after AS target_value,
    MIN(target_moment) OVER after AS first_moment
  FROM events
  WHERE @link_all
  WINDOW after AS (PARTITION BY user_id ORDER BY moment RANGE BETWEEN CURRENT ROW AND @window_micros FOLLOWING)
),
totals AS (
  SELECT
    c.id,
    c.moment,
    COUNT(*) AS target_conversions,
    SUM(a.value) AS target_value,
    MIN(a.target_moment) AS first_moment
  FROM assigned AS a
  JOIN chosen AS c ON c.user_id = a.user_id AND c.moment = a.lead_moment
  WHERE a.target_moment IS NOT NULL
  GROUP BY c.id, c.moment
  UNION ALL
  SELECT c.id, c.moment, o.target_conversions, o.target_value, o.first_moment
  FROM (SELECT DISTINCT user_id, lead_moment, target_conversions, target_value, first_moment FROM owned) AS o
  JOIN candidates AS c ON c.user_id = o.user_id AND c.moment = o.lead_moment
  WHERE o.target_conversions > 0
)
SELECT id, target_conversions, target_value, (first_moment - moment) / 86400000000 AS delay_days
FROM totals;
