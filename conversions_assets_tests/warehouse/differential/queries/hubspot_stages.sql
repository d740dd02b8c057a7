SELECT JSON_VALUE(properties, '$.dealstage') AS stage, COUNT(*) AS deals, COUNTIF(archived) AS archived
FROM hubspot.deals
GROUP BY stage
ORDER BY stage
