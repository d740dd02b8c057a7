SELECT id, ARRAY_LENGTH(labels) AS n, ARRAY_TO_STRING(labels, '|') AS joined, 'hot' IN UNNEST(labels) AS hot, labels[SAFE_OFFSET(1)] AS second
FROM pipedrive.deals
ORDER BY id
