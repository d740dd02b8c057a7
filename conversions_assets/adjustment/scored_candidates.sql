-- R15, R27: a lead whose reported value or currency alone has changed. Reads `published` and from the session `own` and
-- `scored`. Adds to `candidates` and `known`, and leaves `reported`: what was reported before, and what is now.

CREATE OR REPLACE TEMP TABLE reported AS
SELECT r.*
FROM (
  SELECT
    o.id,
    s.day,
    -- what was published before the value was predicted is what the SQL said
    IF(p.value_source = 'REPORTED', p.value, p.reported_value) AS value_before,
    IF(p.value_source = 'REPORTED', p.currency, p.reported_currency) AS currency_before,
    s.reported_value,
    s.reported_currency
  FROM own AS o
  JOIN scored AS s ON s.id = o.id AND s.day = o.day
  JOIN published AS p ON p.id = o.id
  WHERE p.status = 'ACTIVE' AND p.day BETWEEN @first_home AND @last_home
) AS r
WHERE (r.value_before IS NULL) <> (r.reported_value IS NULL)
  OR ABS(r.reported_value - r.value_before) >= 0.00499999
  OR r.currency_before IS DISTINCT FROM r.reported_currency;

INSERT INTO known
SELECT p.*
FROM published AS p
JOIN reported AS r ON r.id = p.id
LEFT JOIN candidates AS c ON c.id = r.id
WHERE c.id IS NULL AND p.day BETWEEN @first_home AND @last_home;

INSERT INTO candidates (id, missing)
SELECT r.id, FALSE
FROM reported AS r
LEFT JOIN candidates AS c ON c.id = r.id
WHERE c.id IS NULL;
