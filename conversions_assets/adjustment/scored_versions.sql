-- R15, R22, R27, R30: what `versions` says of scores. The value of a lead changes by its score only: reason RESCORED, in the
-- place of VALUE_CHANGED. A changed reported value is a version and no adjustment. Reads `ledger` and from the session
-- `cases`, `known`, `seen`, `scored`, `reported`, `versions`. Leaves `versions`.

CREATE OR REPLACE TEMP TABLE versions AS
SELECT
  v.* REPLACE (
    IF(v.status = 'RETRACTED', v.value_source, s.value_source) AS value_source,
    IF(v.reason IN ('VALUE_CHANGED', 'CURRENCY_CHANGED') AND s.value_source <> 'REPORTED', 'RESCORED', v.reason) AS reason,
    IF(
      v.reason IN ('VALUE_CHANGED', 'CURRENCY_CHANGED') AND s.value_source <> 'REPORTED', 'RESCORED', v.adjustment_reason
    ) AS adjustment_reason
  ),
  IF(v.status = 'RETRACTED', p.reported_value, s.reported_value) AS reported_value,
  IF(v.status = 'RETRACTED', p.reported_currency, s.reported_currency) AS reported_currency,
  IF(v.status = 'RETRACTED', p.probability, s.probability) AS probability,
  IF(v.status = 'RETRACTED', p.expected_target_value, s.expected_target_value) AS expected_target_value,
  IF(v.status = 'RETRACTED', p.model_version, s.model_version) AS model_version,
  IF(v.status = 'RETRACTED', p.scored_at, s.scored_at) AS scored_at
FROM versions AS v
LEFT JOIN known AS p ON p.id = v.id
LEFT JOIN seen AS w ON w.id = v.id
LEFT JOIN scored AS s ON s.id = w.id AND s.day = w.day;

CREATE OR REPLACE TEMP TABLE reported_versions AS
SELECT
  p.* REPLACE (
    r.reported_value AS reported_value,
    r.reported_currency AS reported_currency,
    @crm_load_id AS crm_load_id,
    @run_id AS run_id
  ),
  l.version + 1 AS version,
  CASE WHEN k.thawed THEN 'THAWED' WHEN k.query_changed THEN 'QUERY_CHANGED' ELSE 'ATTRIBUTE_CHANGED' END AS reason,
  GREATEST(@now, TIMESTAMP_ADD(l.changed_at, INTERVAL 1 MICROSECOND)) AS changed_at,
  FALSE AS is_adjustment,
  IF(k.thawed, @thaw_note, NULL) AS note,
  p.day AS day_before,
  0.0 AS value_delta
FROM reported AS r
JOIN cases AS k ON k.id = r.id AND k.action = 'UPDATE'
JOIN known AS p ON p.id = r.id AND p.value_source <> 'REPORTED'
JOIN (SELECT id, MAX(version) AS version, MAX(changed_at) AS changed_at FROM ledger GROUP BY id) AS l ON l.id = r.id
LEFT JOIN versions AS v ON v.id = r.id
WHERE v.id IS NULL;

INSERT INTO versions
SELECT COLUMNS_OF(r) FROM reported_versions AS r;
