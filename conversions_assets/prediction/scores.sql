-- R25 to R29: what `predicted.<name>` holds after a run. Reads `leads` (the run's days), `all_leads`, `fresh` (the scores of
-- these leads), `linked` and `scores`. Leaves `scores_now`: the rows of the run's days, and those of other days with what
-- their leads have brought. No freeze applies to what they have brought.

CREATE OR REPLACE TEMP TABLE scores_now AS
WITH scored AS (
  SELECT
    l.id, l.user_id, l.day, l.created, f.probability, f.expected_target_value,
    f.probability * f.expected_target_value AS predicted_value,
    COALESCE(f.value_source, 'NONE') AS value_source,
    f.model_version
  FROM leads AS l
  -- R27: nobody can tell what a lead without a user_id has become
  LEFT JOIN fresh AS f ON f.id = l.id AND f.day = l.day AND l.user_id IS NOT NULL
  UNION ALL
  SELECT
    s.id, s.user_id, s.day, a.created, s.probability, s.expected_target_value, s.predicted_value, s.value_source,
    s.model_version
  FROM scores AS s
  JOIN all_leads AS a ON a.id = s.id AND a.day = s.day
  WHERE NOT s.day BETWEEN @first_day AND @last_day
),
compared AS (
  SELECT
    n.*,
    s.scored_at AS scored_before,
    s.target_conversions AS targets_before,
    s.realised_target_value AS realised_before,
    COALESCE(
      s.id IS NOT NULL
        AND s.user_id IS NOT DISTINCT FROM n.user_id
        AND s.probability IS NOT DISTINCT FROM n.probability
        AND s.expected_target_value IS NOT DISTINCT FROM n.expected_target_value
        AND s.value_source = n.value_source
        AND s.model_version IS NOT DISTINCT FROM n.model_version,
      FALSE
    ) AS same_score,
    -- both ends of the window are in, and a target is known if it lies before the cut-off
    n.user_id IS NOT NULL AND UNIX_MICROS(n.created) + @window_micros < @cut_off_micros AS is_mature
  FROM scored AS n
  LEFT JOIN scores AS s ON s.id = n.id AND s.day = n.day
),
realised AS (
  SELECT
    c.*,
    IF(c.is_mature, COALESCE(l.target_conversions, 0), NULL) AS target_conversions,
    IF(c.is_mature, COALESCE(l.target_value, 0.0), NULL) AS realised_target_value
  FROM compared AS c
  LEFT JOIN linked AS l ON l.id = c.id
)
SELECT
  r.id, r.user_id, r.day, r.probability, r.expected_target_value, r.predicted_value, r.value_source, r.model_version,
  -- R23: it changes with the score only
  IF(r.same_score, r.scored_before, @now) AS scored_at,
  r.target_conversions,
  r.realised_target_value,
  r.same_score
    AND r.target_conversions IS NOT DISTINCT FROM r.targets_before
    AND r.realised_target_value IS NOT DISTINCT FROM r.realised_before AS is_same
FROM realised AS r;
