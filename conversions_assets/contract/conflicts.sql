-- R5: ids with rows that differ, and all ids, over the whole result: an id on two days is one id.
SELECT
  (SELECT COUNT(DISTINCT id) FROM repeated WHERE version_count > 1 AND day BETWEEN @first_day AND @last_day) AS conflicting,
  (SELECT COUNT(DISTINCT id) FROM staged WHERE refusal IS NULL AND day BETWEEN @first_day AND @last_day) AS ids
