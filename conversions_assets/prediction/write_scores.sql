-- R12: `scores_now` into `predicted.<name>`, inside one transaction. Rows that are the same stay untouched.
-- What changes lies between @first_changed and @last_changed.

DELETE FROM scores
WHERE scores.day BETWEEN @first_changed AND @last_changed
  AND (
    scores.day BETWEEN @first_day AND @last_day
    OR EXISTS (SELECT 1 FROM scores_now AS n WHERE n.id = scores.id AND n.day = scores.day)
  )
  AND NOT EXISTS (
    SELECT 1
    FROM scores_now AS n
    WHERE n.id = scores.id AND n.day = scores.day AND n.is_same
  );

INSERT INTO scores (
  id, user_id, day, probability, expected_target_value, predicted_value, value_source, model_version, scored_at,
  target_conversions, realised_target_value
)
SELECT
  n.id, n.user_id, n.day, n.probability, n.expected_target_value, n.predicted_value, n.value_source, n.model_version,
  n.scored_at, n.target_conversions, n.realised_target_value
FROM scores_now AS n
LEFT JOIN (SELECT id, day FROM scores WHERE day BETWEEN @first_changed AND @last_changed) AS kept
  ON kept.id = n.id AND kept.day = n.day
WHERE n.day BETWEEN @first_changed AND @last_changed AND kept.id IS NULL;

-- R23: which conversions and which model the scores of a day are of; `adjusted` takes it over when it has applied them.
CREATE OR REPLACE TEMP TABLE scored_now AS
SELECT c.day, CONCAT(COALESCE(c.fingerprint, ''), ' ', @newest_model) AS fingerprint
FROM covered AS c
WHERE c.day BETWEEN @first_day AND @last_day;

DELETE FROM scored_days
WHERE EXISTS (SELECT 1 FROM scored_now AS n WHERE n.day = scored_days.day AND n.fingerprint <> scored_days.fingerprint);

INSERT INTO scored_days (day, fingerprint, run_id, covered_at)
SELECT n.day, n.fingerprint, @run_id, @now
FROM scored_now AS n
LEFT JOIN scored_days AS kept ON kept.day = n.day
WHERE kept.day IS NULL;
