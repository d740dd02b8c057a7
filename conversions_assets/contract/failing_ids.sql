-- Ids of the rows behind failed rules, 20 per rule (ids only, never values). Rule names are those of suite.py; each has the list
-- of its failing days, which is empty where it passed.
SELECT rule_name, id
FROM (
  SELECT rule_name, day, id, ROW_NUMBER() OVER (PARTITION BY rule_name ORDER BY day, id) AS place
  FROM (
    SELECT 'quarantine' AS rule_name, day, COALESCE(id, '(no id)') AS id
    FROM staged WHERE refusal IS NOT NULL AND day IN UNNEST(@quarantine_days)
    UNION ALL
    SELECT 'conflicting_ids', day, id FROM repeated WHERE version_count > 1 AND day IN UNNEST(@conflicting_ids_days)
    UNION ALL
    SELECT 'duplicate_ids', day, id FROM repeated WHERE version_count > 1 AND day IN UNNEST(@duplicate_ids_days)
    UNION ALL
    SELECT 'client_ids', day, COALESCE(id, '(no id)') FROM staged WHERE is_damaged AND day IN UNNEST(@client_ids_days)
    UNION ALL
    SELECT DISTINCT 'personal_data', day, COALESCE(id, '(no id)') FROM personal WHERE day IN UNNEST(@personal_data_days)
    UNION ALL
    SELECT 'attribution', day, id
    FROM staged WHERE refusal IS NULL AND client_id IS NULL AND day IN UNNEST(@attribution_days)
    UNION ALL
    SELECT 'params', day, id FROM staged WHERE refusal IS NULL AND repeats_key AND day IN UNNEST(@params_days)
    UNION ALL
    SELECT 'negative_values', day, id
    FROM staged WHERE refusal IS NULL AND value < 0 AND day IN UNNEST(@negative_values_days)
  )
)
WHERE place <= 20
ORDER BY rule_name, place
