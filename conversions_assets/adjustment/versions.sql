-- R15, R16, R20, R22, R24, R31: the new version of each id that changes. Reads `ledger` and from the session `known`,
-- `cases`, `seen` and `day_rates`. Leaves `versions`: the published row as it will be, its ledger entry and its place in it.

CREATE OR REPLACE TEMP TABLE versions AS
WITH compared AS (
  SELECT
    k.id,
    k.action,
    k.query_changed,
    k.thawed,
    p.status = 'RETRACTED' AS was_retracted,
    k.action = 'VANISH' AS vanishes,
    IF(k.action = 'VANISH', p.currency, s.currency) AS currency,
    (p.value IS NULL) <> (s.value IS NULL)
      OR COALESCE(ABS(s.value - p.value) >= k.half_unit, FALSE) AS value_changes,
    p.currency <> s.currency AS currency_changes,
    p.is_qualified IS DISTINCT FROM s.is_qualified AS qualification_changes,
    p.client_id IS DISTINCT FROM s.client_id
      OR p.user_id IS DISTINCT FROM s.user_id
      OR TO_JSON_STRING(as_is(p.params)) IS DISTINCT FROM TO_JSON_STRING(as_is(s.params)) AS attributes_change
  FROM cases AS k
  LEFT JOIN known AS p ON p.id = k.id
  LEFT JOIN seen AS s ON s.id = k.id
  WHERE k.action IS NOT NULL
),
reasoned AS (
  SELECT
    *,
    action <> 'PUBLISH'
      AND (vanishes OR was_retracted OR value_changes OR currency_changes OR qualification_changes) AS is_adjustment,
    CASE
      WHEN thawed THEN 'THAWED'
      WHEN action = 'PUBLISH' THEN 'PUBLISHED'
      WHEN query_changed THEN 'QUERY_CHANGED'
      WHEN vanishes THEN 'VANISHED'
      WHEN was_retracted THEN 'REAPPEARED'
      WHEN value_changes THEN 'VALUE_CHANGED'
      WHEN currency_changes THEN 'CURRENCY_CHANGED'
      WHEN qualification_changes THEN 'QUALIFICATION_CHANGED'
      WHEN action = 'MOVE' THEN 'MOVED'
      ELSE 'ATTRIBUTE_CHANGED'
    END AS reason
  FROM compared
  WHERE action IN ('PUBLISH', 'VANISH', 'MOVE')
    OR was_retracted OR value_changes OR currency_changes OR qualification_changes OR attributes_change
),
timed AS (
  SELECT
    v.*,
    COALESCE(l.version, 0) + 1 AS version,
    -- R16, R22: strictly rising per id, after `created`, also under a clock that stands still
    GREATEST(
      @now,
      COALESCE(TIMESTAMP_ADD(l.changed_at, INTERVAL 1 MICROSECOND), @now),
      TIMESTAMP_ADD(COALESCE(s.created, p.created), INTERVAL 1 MICROSECOND)
    ) AS changed_at
  FROM reasoned AS v
  LEFT JOIN known AS p ON p.id = v.id
  LEFT JOIN seen AS s ON s.id = v.id
  LEFT JOIN (
    SELECT l.id, MAX(l.version) AS version, MAX(l.changed_at) AS changed_at
    FROM ledger AS l
    JOIN reasoned AS v ON v.id = l.id AND v.action <> 'PUBLISH'
    GROUP BY l.id
  ) AS l ON l.id = v.id
),
valued AS (
  SELECT
    t.*,
    CASE
      WHEN t.vanishes THEN 0.0
      WHEN t.action = 'PUBLISH' OR t.was_retracted OR t.value_changes THEN s.value
      ELSE p.value
    END AS value
  FROM timed AS t
  LEFT JOIN known AS p ON p.id = t.id
  LEFT JOIN seen AS s ON s.id = t.id
)
SELECT
  v.id,
  IF(v.vanishes, p.client_id, s.client_id) AS client_id,
  -- A row that stays at home while the CRM shows it on a frozen day keeps the time that belongs to its day.
  IF(v.action IN ('VANISH', 'FOLLOW'), p.created, s.created) AS created,
  v.value,
  v.currency,
  IF(v.vanishes, p.is_qualified, s.is_qualified) AS is_qualified,
  IF(v.vanishes, p.params, s.params) AS params,
  IF(v.vanishes, p.user_id, s.user_id) AS user_id,
  IF(v.action IN ('VANISH', 'FOLLOW'), p.day, s.day) AS day,
  IF(IF(v.vanishes, p.client_id, s.client_id) IS NULL, '(not attributed)', 'attributed') AS attribution,
  CASE WHEN v.vanishes THEN p.value_source WHEN v.value IS NULL THEN 'NONE' ELSE 'REPORTED' END AS value_source,
  IF(v.vanishes, 'RETRACTED', 'ACTIVE') AS status,
  CASE
    WHEN v.vanishes THEN 'RETRACTION'
    WHEN v.is_adjustment THEN 'RESTATEMENT'
    ELSE COALESCE(p.adjustment_type, 'NONE')
  END AS adjustment_type,
  IF(v.is_adjustment, v.reason, p.adjustment_reason) AS adjustment_reason,
  IF(v.action = 'PUBLISH', v.value, p.original_value) AS original_value,
  IF(v.is_adjustment, p.value, p.previous_value) AS previous_value,
  IF(v.is_adjustment, p.currency, p.previous_currency) AS previous_currency,
  -- after `created` also where a row that was adjusted earlier moves to a later day
  CASE
    WHEN v.is_adjustment THEN v.changed_at
    WHEN p.adjusted_at IS NULL THEN NULL
    ELSE GREATEST(p.adjusted_at, TIMESTAMP_ADD(IF(v.action = 'FOLLOW', p.created, s.created), INTERVAL 1 MICROSECOND))
  END AS adjusted_at,
  COALESCE(p.adjustment_count, 0) + IF(v.is_adjustment, 1, 0) AS adjustment_count,
  COALESCE(p.first_published_at, v.changed_at) AS first_published_at,
  -- R24: the project's own currency is worth 1; without a rate the others stay NULL, never 1:1
  v.value * IF(v.currency = @project_currency, 1.0, x.fx_rate) AS value_project,
  IF(v.currency = @project_currency, 1.0, x.fx_rate) AS fx_rate,
  IF(v.currency = @project_currency, IF(v.action IN ('VANISH', 'FOLLOW'), p.day, s.day), x.fx_date) AS fx_date,
  @crm_load_id AS crm_load_id,
  @run_id AS run_id,
  v.version,
  v.reason,
  v.changed_at,
  v.is_adjustment,
  -- R19, R21: the reason that a person gave
  CASE
    WHEN v.thawed AND v.vanishes AND @release_note IS NOT NULL THEN CONCAT(@thaw_note, '; released: ', @release_note)
    WHEN v.thawed THEN @thaw_note
    WHEN v.vanishes THEN @release_note
  END AS note,
  p.day AS day_before,
  COALESCE(v.value, 0.0) - COALESCE(p.value, 0.0) AS value_delta
FROM valued AS v
LEFT JOIN known AS p ON p.id = v.id
LEFT JOIN seen AS s ON s.id = v.id
LEFT JOIN day_rates AS x
  ON x.currency = v.currency AND x.day = IF(v.action IN ('VANISH', 'FOLLOW'), p.day, s.day);
