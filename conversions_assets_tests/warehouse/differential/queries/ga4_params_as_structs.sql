SELECT
  user_pseudo_id,
  ARRAY(
    SELECT AS STRUCT p.key AS key, COALESCE(p.value.string_value, CAST(p.value.int_value AS STRING)) AS value
    FROM UNNEST(event_params) AS p
    ORDER BY p.key
  ) AS params
FROM ga4.events_20260101
