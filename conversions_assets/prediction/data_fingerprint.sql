-- What a model is fitted on, in one hash: every lead with a user_id as it was first seen, with its target. Reads `first_seen` and `linked`.
SELECT
  TO_HEX(SHA256(CONCAT(
    CAST(COUNT(*) AS STRING), ' ', CAST(BIT_XOR(h.hash) AS STRING), ' ', CAST(SUM(DIV(h.hash, 4294967296)) AS STRING)
  ))) AS fingerprint,
  COUNT(*) AS leads,
  COUNTIF(h.in_ledger) AS in_ledger,
  COUNTIF(h.seen_late) AS seen_late
FROM (
  SELECT
    s.in_ledger,
    s.seen_late,
    row_hash(
      s.id, s.user_id, UNIX_MICROS(s.created), l.delay_days, l.target_value, CAST(s.first_day AS STRING), NULL, s.params,
      NULL, NULL
    ) AS hash
  FROM first_seen AS s
  LEFT JOIN linked AS l ON l.id = s.id
  WHERE s.created < @cut_off AND s.user_id IS NOT NULL
) AS h
