-- The newest rows for a person to look at, without what may tell who somebody is: of client_id and user_id whether they are
-- there, of params the keys, of an id that looks like an address nothing.
SELECT
  IF(STRPOS(s.id, '@') > 0, '(hidden)', s.id) AS id,
  s.created,
  s.value,
  s.currency,
  s.is_qualified,
  IF(s.client_id IS NULL, 'no', 'yes') AS client_id,
  IF(s.user_id IS NULL, 'no', 'yes') AS user_id,
  (SELECT STRING_AGG(p.key, ', ' ORDER BY p.key) FROM UNNEST(s.params) AS p) AS params,
  COALESCE(s.refusal, '') AS refused
FROM staged AS s
WHERE s.day BETWEEN @first_day AND @last_day
ORDER BY s.created DESC, s.id
LIMIT 20
