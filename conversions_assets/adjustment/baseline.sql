-- R19: what a run that writes has found in the raw tables is what the next run compares with. Part of the transaction of
-- apply.sql; a count that is still the same stays untouched (R12). Reads `raw_now`.

DELETE FROM raw_rows
WHERE NOT EXISTS (
  SELECT 1 FROM raw_now AS n WHERE n.raw_table = raw_rows.raw_table AND n.row_count = raw_rows.row_count
);

INSERT INTO raw_rows (raw_table, row_count, run_id, counted_at)
SELECT n.raw_table, n.row_count, @run_id, @now
FROM raw_now AS n
LEFT JOIN raw_rows AS kept ON kept.raw_table = n.raw_table
WHERE kept.raw_table IS NULL;
