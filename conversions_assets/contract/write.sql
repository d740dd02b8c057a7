-- R10-R12: bring the good days of a run to what the query says now. Rows that are the same stay untouched, with the run that
-- wrote them: the same input twice changes nothing. Runs inside one transaction.

DELETE FROM stored
WHERE stored.day BETWEEN @first_day AND @last_day
  AND NOT stored.day IN UNNEST(@failing_days)
  AND NOT EXISTS (
    SELECT 1
    FROM staged AS a
    WHERE a.refusal IS NULL
      AND a.day = stored.day
      AND a.id = stored.id
      AND a.created = stored.created
      AND a.currency = stored.currency
      AND a.client_id IS NOT DISTINCT FROM stored.client_id
      AND a.value IS NOT DISTINCT FROM stored.value
      AND a.is_qualified IS NOT DISTINCT FROM stored.is_qualified
      AND a.user_id IS NOT DISTINCT FROM stored.user_id
      AND TO_JSON_STRING(as_is(a.params)) IS NOT DISTINCT FROM TO_JSON_STRING(as_is(stored.params))
  );

INSERT INTO stored (id, client_id, created, value, currency, is_qualified, params, user_id, day, attribution, run_id)
SELECT
  a.id, a.client_id, a.created, a.value, a.currency, a.is_qualified, a.params, a.user_id, a.day,
  IF(a.client_id IS NULL, '(not attributed)', 'attributed'),
  @run_id
FROM staged AS a
LEFT JOIN (SELECT day, id FROM stored WHERE day BETWEEN @first_day AND @last_day) AS kept
  ON kept.day = a.day AND kept.id = a.id
WHERE a.refusal IS NULL
  AND a.day BETWEEN @first_day AND @last_day
  AND NOT a.day IN UNNEST(@failing_days)
  AND kept.id IS NULL;

-- Refused rows are shown for failing days too (R10). One of a later day (its `created` lies in the future) is kept until that day closes or the id returns elsewhere.
CREATE OR REPLACE TEMP TABLE refused AS
SELECT DISTINCT
  s.id,
  s.day,
  SUBSTR(s.refusal, 1, 2) AS rule,
  SUBSTR(s.refusal, 5) AS reason,
  TO_JSON_STRING(STRUCT(
    as_is(s.id) AS id,
    as_is(s.client_id) AS client_id,
    as_is(FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%E6SZ', s.created)) AS created,
    as_is(CAST(s.value AS STRING)) AS value,
    as_is(s.currency) AS currency,
    as_is(s.is_qualified) AS is_qualified,
    -- R9: what looks personal goes nowhere
    IF(
      p.day IS NOT NULL,
      [STRUCT('removed' AS key, 'R9: looks personal' AS value)],
      IF(ARRAY_LENGTH(s.params) > 0, s.params, NULL)
    ) AS params,
    as_is(s.user_id) AS user_id
  )) AS row
FROM staged AS s
LEFT JOIN (SELECT DISTINCT day, COALESCE(id, '') AS id FROM personal) AS p
  ON p.day = s.day AND p.id = COALESCE(s.id, '')
WHERE s.refusal IS NOT NULL
  AND (s.day BETWEEN @first_day AND @last_day OR s.created > @latest_created);

DELETE FROM quarantine
WHERE quarantine.day >= @first_day
  AND (
    quarantine.day <= @last_day OR quarantine.id IN (SELECT id FROM staged)
  )
  AND NOT EXISTS (
    SELECT 1
    FROM refused AS r
    WHERE r.day = quarantine.day AND r.row = quarantine.row AND r.reason = quarantine.reason
  );

INSERT INTO quarantine (id, day, rule, reason, row, crm_load_id, run_id, quarantined_at)
SELECT r.id, r.day, r.rule, r.reason, r.row, @crm_load_id, @run_id, @now
FROM refused AS r
LEFT JOIN (SELECT day, row, reason FROM quarantine WHERE day >= @first_day) AS kept
  ON kept.day = r.day AND kept.row = r.row AND kept.reason = r.reason
WHERE kept.day IS NULL;

-- A day counts as covered also without a row; the version says which SQL it was computed with (R31).
DELETE FROM covered
WHERE covered.day BETWEEN @first_day AND @last_day
  AND NOT covered.day IN UNNEST(@failing_days)
  AND NOT covered.query_version = @query_version;

-- R23: the fingerprint of what is stored now; adjusted takes it over when it has applied it.
UPDATE covered
SET fingerprint = (SELECT f.fingerprint FROM fingerprints AS f WHERE f.day = covered.day)
WHERE covered.day BETWEEN @first_day AND @last_day
  AND NOT covered.day IN UNNEST(@failing_days)
  AND covered.fingerprint IS DISTINCT FROM (SELECT f.fingerprint FROM fingerprints AS f WHERE f.day = covered.day);

INSERT INTO covered (day, query_version, time_zone, run_id, covered_at, fingerprint)
SELECT d.day, @query_version, @time_zone, @run_id, @now, f.fingerprint
FROM (SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, @last_day)) AS day) AS d
LEFT JOIN fingerprints AS f ON f.day = d.day
LEFT JOIN covered AS kept ON kept.day = d.day
WHERE kept.day IS NULL AND NOT d.day IN UNNEST(@failing_days);
