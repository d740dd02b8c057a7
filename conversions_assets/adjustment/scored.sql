-- R25, R27, R30: the leads of a run with the value that may be published of them. Reads `stored`, `scores`, `published` and
-- `ledger`. Leaves `scored`: the columns that the other scripts read of `stored`, and beside them what `adjusted` adds of a
-- score. Where the published value stands, all of its score stands.

CREATE OR REPLACE TEMP TABLE scored AS
WITH compared AS (
  SELECT
    s.id, s.client_id, s.created, s.is_qualified, s.params, s.user_id, s.day,
    s.value AS reported_value,
    s.currency AS reported_currency,
    n.predicted_value, n.probability, n.expected_target_value, n.model_version, n.scored_at,
    COALESCE(n.value_source, 'NONE') AS value_source,
    p.value AS value_before, p.currency AS currency_before, p.value_source AS source_before,
    p.probability AS probability_before, p.expected_target_value AS expected_before, p.model_version AS model_before,
    p.scored_at AS scored_before,
    CASE
      WHEN p.id IS NULL OR p.status = 'RETRACTED' THEN TRUE
      -- R21: what is frozen keeps its value
      WHEN p.day < @first_window_day AND NOT (@thaws AND p.day BETWEEN @first_day AND @last_day) THEN FALSE
      WHEN s.user_id IS NULL THEN TRUE
      WHEN p.value_source = 'REPORTED' THEN TRUE
      WHEN COALESCE(r.rescored, 0) >= @most_rescorings THEN FALSE
      WHEN n.predicted_value IS NULL OR p.value IS NULL THEN (n.predicted_value IS NULL) <> (p.value IS NULL)
      ELSE ABS(n.predicted_value - p.value) + 1e-9 >= GREATEST(@least_units, @least_share * ABS(p.value))
    END AS is_new,
    -- predicted for the first time: what the SQL says stands until there is a score
    COALESCE(p.value_source = 'REPORTED' AND p.status = 'ACTIVE', FALSE) AND n.predicted_value IS NULL AS waits
  FROM stored AS s
  LEFT JOIN (SELECT * FROM scores WHERE day BETWEEN @first_day AND @last_day) AS n ON n.id = s.id AND n.day = s.day
  LEFT JOIN (SELECT * FROM published WHERE day BETWEEN @first_home AND @last_home) AS p ON p.id = s.id
  LEFT JOIN (SELECT id, COUNT(*) AS rescored FROM ledger WHERE reason = 'RESCORED' GROUP BY id) AS r ON r.id = s.id
  WHERE s.day BETWEEN @first_day AND @last_day
)
SELECT
  c.id, c.client_id, c.created,
  CASE WHEN NOT c.is_new THEN c.value_before WHEN c.waits THEN c.reported_value ELSE c.predicted_value END AS value,
  CASE WHEN NOT c.is_new THEN c.currency_before WHEN c.waits THEN c.reported_currency ELSE @project_currency END AS currency,
  c.is_qualified, c.params, c.user_id, c.day, c.reported_value, c.reported_currency,
  IF(c.is_new AND NOT c.waits, c.value_source, c.source_before) AS value_source,
  IF(c.is_new, c.probability, c.probability_before) AS probability,
  IF(c.is_new, c.expected_target_value, c.expected_before) AS expected_target_value,
  IF(c.is_new, c.model_version, c.model_before) AS model_version,
  IF(c.is_new, c.scored_at, c.scored_before) AS scored_at
FROM compared AS c;
