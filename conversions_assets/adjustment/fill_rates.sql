-- Lines of `date,currency,rate` into the table of rates; what is there stays.
INSERT INTO rates (date, currency, rate)
SELECT f.date, f.currency, f.rate
FROM (
  SELECT
    CAST(SPLIT(line, ',')[SAFE_OFFSET(0)] AS DATE) AS date,
    SPLIT(line, ',')[SAFE_OFFSET(1)] AS currency,
    CAST(SPLIT(line, ',')[SAFE_OFFSET(2)] AS FLOAT64) AS rate
  FROM UNNEST(SPLIT(@text, '\n')) AS line
) AS f
LEFT JOIN rates AS kept ON kept.date = f.date AND kept.currency = f.currency
WHERE kept.date IS NULL;
