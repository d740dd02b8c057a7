-- R21: `drift_now` into the drift report, inside the transaction of a run. A drift row belongs to the day on which the query
-- sees the id, and only a run that covers this day writes or replaces it. The day of a VALUE row of an id that moved is told
-- by the MOVED row that was written with it (the same id and seen_at).

CREATE OR REPLACE TEMP TABLE drift_before AS
SELECT
  d.id, d.day, d.kind, d.field, d.frozen_value, d.crm_value, d.currency, d.seen_at,
  CASE
    WHEN d.kind = 'MOVED' THEN SAFE_CAST(d.crm_value AS DATE)
    WHEN d.kind = 'VALUE' THEN COALESCE(SAFE_CAST(m.crm_value AS DATE), d.day)
    ELSE d.day
  END AS found_on
FROM drift AS d
LEFT JOIN drift AS m ON m.id = d.id AND m.seen_at = d.seen_at AND m.kind = 'MOVED' AND d.kind = 'VALUE';

-- Ids whose rows of these days are not what they were; the rows of the others stay untouched (R12).
CREATE OR REPLACE TEMP TABLE drift_unsettled AS
SELECT DISTINCT COALESCE(n.id, b.id) AS id
FROM drift_now AS n
FULL JOIN (SELECT * FROM drift_before WHERE found_on BETWEEN @first_day AND @last_day) AS b
  ON b.id = n.id
  AND b.day = n.day
  AND b.kind = n.kind
  AND b.field = n.field
  AND b.found_on = n.found_on
  AND b.frozen_value IS NOT DISTINCT FROM n.frozen_value
  AND b.crm_value IS NOT DISTINCT FROM n.crm_value
  AND b.currency IS NOT DISTINCT FROM n.currency
WHERE n.id IS NULL OR b.id IS NULL;

DELETE FROM drift
WHERE EXISTS (
  SELECT 1
  FROM drift_before AS b
  JOIN drift_unsettled AS u ON u.id = b.id
  WHERE b.found_on BETWEEN @first_day AND @last_day
    AND b.id = drift.id
    AND b.day = drift.day
    AND b.kind = drift.kind
    AND b.field = drift.field
    AND b.seen_at = drift.seen_at
);

INSERT INTO drift (id, day, kind, field, frozen_value, crm_value, value_delta, currency, seen_at)
SELECT n.id, n.day, n.kind, n.field, n.frozen_value, n.crm_value, n.value_delta, n.currency, @seen_at
FROM drift_now AS n
JOIN drift_unsettled AS u ON u.id = n.id;
