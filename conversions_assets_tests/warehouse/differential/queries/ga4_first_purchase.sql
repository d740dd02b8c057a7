WITH purchases AS (
  SELECT
    user_pseudo_id,
    event_timestamp,
    (SELECT p.value.string_value FROM UNNEST(event_params) AS p WHERE p.key = 'transaction_id') AS id
  FROM ga4.events_*
  WHERE event_name = 'purchase'
)
SELECT id, user_pseudo_id, TIMESTAMP_MICROS(event_timestamp) AS created
FROM purchases
QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY event_timestamp) = 1
