SELECT opportunityid, name LIKE '100\\%\\_%' AS literal, name LIKE '%\t%' AS has_tab, TRIM(name) AS trimmed, LENGTH(name) AS n, name = '' AS is_empty
FROM dynamics.opportunity
