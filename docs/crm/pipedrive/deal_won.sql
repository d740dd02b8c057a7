-- Won deals, at the time they were won. The client id is the deal's own (leads hand theirs on), else its person's.
SELECT
  d.id,
  COALESCE(d.ga_client_id, p.ga_client_id) AS client_id,
  d.won_time AS created,
  d.value,
  d.currency,
  d.person_id AS user_id
FROM pipedrive.deals AS d
LEFT JOIN pipedrive.persons AS p ON p.id = d.person_id AND NOT p._deleted
WHERE d.status = 'won'
  AND NOT d._deleted
  AND d.won_time >= TIMESTAMP(@start_date)
  AND d.won_time < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
