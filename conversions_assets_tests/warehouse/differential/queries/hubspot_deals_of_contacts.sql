SELECT c.id, deal_id, position, d.archived
FROM hubspot.contacts AS c, UNNEST(JSON_VALUE_ARRAY(c.deal_ids)) AS deal_id WITH OFFSET AS position
LEFT JOIN hubspot.deals AS d ON d.id = deal_id
ORDER BY c.id, position
