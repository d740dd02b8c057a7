-- R21, R27: what is reported of frozen leads and differs now. Their scores are not compared: no CRM says them. Reads from the
-- session `cases` and `reported`. Adds to `drift_now`.

INSERT INTO drift_now (id, day, kind, field, frozen_value, crm_value, value_delta, currency, found_on)
SELECT
  k.id, k.home, 'VALUE', 'reported_value', CAST(r.value_before AS STRING), CAST(r.reported_value AS STRING), 0.0,
  COALESCE(r.currency_before, r.reported_currency), k.seen_day
FROM reported AS r
JOIN cases AS k ON k.id = r.id AND k.seen_day = r.day
WHERE NOT k.home_open AND IF(k.seen_day = k.home, k.home_covered, k.seen_covered);
