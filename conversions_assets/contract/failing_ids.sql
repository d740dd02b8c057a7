-- Ids of the rows behind a failed blocking rule (ids only, never values). Rule names are those of suite.py.
SELECT 'quarantine' AS rule_name, day, COALESCE(id, '(no id)') AS id FROM staged WHERE refusal IS NOT NULL
UNION ALL
SELECT 'conflicting_ids', day, id FROM repeated WHERE version_count > 1
UNION ALL
SELECT 'client_ids', day, id FROM staged WHERE REGEXP_CONTAINS(client_id, r'^\d+(\.\d+)?[eE]\+?\d+$')
ORDER BY 1, 2, 3
