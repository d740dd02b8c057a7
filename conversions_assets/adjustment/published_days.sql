-- R21: a day counts as published once a run has covered it, also without a row. Part of the transaction of apply.sql.
-- Open days take the version of the SQL that computed them (R31); frozen days keep theirs.

DELETE FROM published_days
WHERE published_days.day BETWEEN @first_day AND @last_day
  AND (published_days.day >= @first_window_day OR @thaws)
  AND published_days.query_version <> (SELECT c.query_version FROM covered AS c WHERE c.day = published_days.day);

INSERT INTO published_days (day, query_version, time_zone, run_id, covered_at, fingerprint, first_window_day)
SELECT c.day, c.query_version, c.time_zone, @run_id, @now, c.fingerprint, @first_window_day
FROM covered AS c
LEFT JOIN published_days AS kept ON kept.day = c.day
WHERE c.day BETWEEN @first_day AND @last_day AND kept.day IS NULL;

UPDATE published_days
SET first_window_day = @first_window_day
WHERE published_days.day BETWEEN @first_day AND @last_day AND published_days.first_window_day < @first_window_day;

-- R23: what the run has applied is what `conversions/<name>` holds of these days.
UPDATE published_days
SET fingerprint = (SELECT c.fingerprint FROM covered AS c WHERE c.day = published_days.day)
WHERE published_days.day BETWEEN @first_day AND @last_day
  AND published_days.day >= @first_window_day
  AND published_days.fingerprint IS DISTINCT FROM (SELECT c.fingerprint FROM covered AS c WHERE c.day = published_days.day);
