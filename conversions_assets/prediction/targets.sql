-- R25, R27: what counts as a target, valued in the project's currency. Reads `published` of the target.
SELECT t.id, t.user_id, t.created, t.day, t.value_project AS value
FROM published AS t
WHERE t.status = 'ACTIVE' AND t.is_qualified IS DISTINCT FROM FALSE AND t.user_id IS NOT NULL
