SELECT id, label, place FROM pipedrive.deals LEFT JOIN UNNEST(labels) AS label WITH OFFSET AS place ORDER BY id, place
