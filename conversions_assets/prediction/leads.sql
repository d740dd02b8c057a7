-- The leads of a range of days, as `conversions/<name>` holds them. Reads `stored`. Leaves `leads`.
CREATE OR REPLACE TEMP TABLE leads AS
SELECT s.id, s.user_id, s.created, s.day, s.params
FROM stored AS s
WHERE s.day BETWEEN @first_day AND @last_day;
