-- Won deals, on the day they were won, with the client id of the contact they belong to.
SELECT
  d.id,
  c.ga_client_id AS client_id,
  d.closed_at AS created,
  d.amount AS value,
  d.currency,
  d.contact_id AS user_id
FROM hubspot.deals AS d
LEFT JOIN hubspot.contacts AS c ON c.id = d.contact_id
WHERE d.stage = 'won'
  AND NOT d.is_deleted
  AND d.closed_at >= TIMESTAMP(@start_date)
  AND d.closed_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))
