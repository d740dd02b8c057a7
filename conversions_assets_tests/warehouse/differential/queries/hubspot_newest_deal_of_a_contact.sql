SELECT
  c.id,
  ARRAY_AGG(d.id IGNORE NULLS ORDER BY d.updated_at DESC LIMIT 1)[SAFE_OFFSET(0)] AS newest,
  ARRAY_AGG(STRUCT(d.id AS deal_id, d.updated_at AS moment) ORDER BY d.updated_at LIMIT 2) AS first_two
FROM hubspot.contacts AS c
JOIN hubspot.deals AS d ON d.id IN UNNEST(JSON_VALUE_ARRAY(c.deal_ids))
GROUP BY c.id
ORDER BY c.id
