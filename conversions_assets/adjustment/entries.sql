-- The newest ledger entries of a run: what a person sees first. Reads from the session `known` (as it was) and `versions`.
SELECT
  v.id,
  v.day,
  v.reason,
  IF(p.id IS NULL, NULL, p.value) AS value_before,
  v.value AS value_after,
  v.currency,
  IF(p.id IS NULL, NULL, p.status) AS status_before,
  v.status AS status_after,
  v.value_delta
FROM versions AS v
LEFT JOIN known AS p ON p.id = v.id
ORDER BY IF(v.reason = 'PUBLISHED', 1, 0), v.changed_at DESC, v.id
LIMIT 20
