-- R16: `versions` into the ledger and the published table, inside the transaction of a run (R12).

INSERT INTO ledger (
  id, version, reason, before, after, day_before, day_after, value_delta, crm_load_id, run_id, note, changed_at
)
SELECT
  v.id,
  v.version,
  v.reason,
  IF(p.id IS NULL, NULL, ROW_AS_JSON(p)),
  ROW_AS_JSON(v),
  v.day_before,
  v.day AS day_after,
  v.value_delta,
  @crm_load_id,
  @run_id,
  v.note,
  v.changed_at
FROM versions AS v
LEFT JOIN known AS p ON p.id = v.id;

DELETE FROM published
WHERE published.day BETWEEN @first_home AND @last_home
  AND published.id IN (SELECT id FROM versions WHERE reason <> 'PUBLISHED');

INSERT INTO published
SELECT COLUMNS_OF(v) FROM versions AS v;
