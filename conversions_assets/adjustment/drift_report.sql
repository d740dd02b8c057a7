-- `drift_now` into the drift report, inside the transaction of a run.

-- R21: a drift row belongs to the day on which the query sees the id; a run replaces the rows of the days it covers. The day of
-- a VALUE row of an id that moved is told by the id's MOVED row.
CREATE OR REPLACE TEMP TABLE drift_stale AS
SELECT d.id, d.kind, d.field, d.frozen_value, d.crm_value
FROM drift AS d
LEFT JOIN (
  SELECT id, MAX(SAFE_CAST(crm_value AS DATE)) AS seen_day FROM drift WHERE kind = 'MOVED' GROUP BY id
) AS m ON m.id = d.id AND d.kind = 'VALUE'
LEFT JOIN drift_now AS n
  ON n.id = d.id
  AND n.day = d.day
  AND n.kind = d.kind
  AND n.field = d.field
  AND n.frozen_value IS NOT DISTINCT FROM d.frozen_value
  AND n.crm_value IS NOT DISTINCT FROM d.crm_value
WHERE n.id IS NULL
  AND COALESCE(m.seen_day, IF(d.kind = 'MOVED', SAFE_CAST(d.crm_value AS DATE), d.day)) BETWEEN @first_day AND @last_day;

DELETE FROM drift
WHERE EXISTS (
  SELECT 1
  FROM drift_stale AS s
  WHERE s.id = drift.id
    AND s.kind = drift.kind
    AND s.field = drift.field
    AND s.frozen_value IS NOT DISTINCT FROM drift.frozen_value
    AND s.crm_value IS NOT DISTINCT FROM drift.crm_value
);

INSERT INTO drift (id, day, kind, field, frozen_value, crm_value, value_delta, currency, seen_at)
SELECT n.id, n.day, n.kind, n.field, n.frozen_value, n.crm_value, n.value_delta, n.currency, @now
FROM drift_now AS n
LEFT JOIN drift AS kept
  ON kept.id = n.id
  AND kept.day = n.day
  AND kept.kind = n.kind
  AND kept.field = n.field
  AND kept.frozen_value IS NOT DISTINCT FROM n.frozen_value
  AND kept.crm_value IS NOT DISTINCT FROM n.crm_value
WHERE kept.id IS NULL;
