-- R24: the rate of each day and currency that a version may need: units of the project's currency for one unit, by the newest
-- day on which both currencies have a rate, at most 7 days back. Reads `rates` (units of a currency for 1 EUR), `known`
-- and from the session `cases` and `seen`. Leaves `day_rates`.
CREATE OR REPLACE TEMP TABLE day_rates AS
WITH needed AS (
  SELECT s.currency, s.day FROM seen AS s WHERE s.currency <> @project_currency
  UNION DISTINCT
  SELECT s.currency, p.day
  FROM seen AS s
  JOIN known AS p ON p.id = s.id
  WHERE s.currency <> @project_currency
  UNION DISTINCT
  SELECT p.currency, p.day
  FROM cases AS k
  JOIN known AS p ON p.id = k.id
  WHERE p.currency <> @project_currency
),
per_euro AS (
  SELECT r.date, r.currency, r.rate FROM rates AS r WHERE r.rate > 0
  UNION ALL
  SELECT DISTINCT r.date, 'EUR', 1.0 FROM rates AS r WHERE r.currency <> 'EUR'
),
found AS (
  SELECT n.currency, n.day, MAX(r.date) AS fx_date
  FROM needed AS n
  JOIN per_euro AS r ON r.currency = n.currency AND r.date BETWEEN DATE_SUB(n.day, INTERVAL 7 DAY) AND n.day
  JOIN per_euro AS own ON own.currency = @project_currency AND own.date = r.date
  GROUP BY n.currency, n.day
)
SELECT f.currency, f.day, f.fx_date, MAX(own.rate / r.rate) AS fx_rate
FROM found AS f
JOIN per_euro AS r ON r.currency = f.currency AND r.date = f.fx_date
JOIN per_euro AS own ON own.currency = @project_currency AND own.date = f.fx_date
GROUP BY f.currency, f.day, f.fx_date;
