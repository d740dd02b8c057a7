-- An order is an invoice; its value is what later cancellations by the same customer of the same stock codes leave of it.
-- Per customer and stock code the pieces lie on a stack: an order puts its pieces on top, a cancellation takes pieces from
-- the top (the latest order first); what it takes from an empty stack was bought before the shop's first day and is
-- dropped. In one minute orders come before cancellations. Pieces that are left are worth the mean price of the invoice's
-- lines of that stock code, rounded to pence. Cancellations without a customer cannot be matched and take nothing.
WITH invoices AS (
  SELECT
    InvoiceNo,
    MIN(InvoiceDate) AS placed_at,
    MIN(CAST(CAST(CustomerID AS INT64) AS STRING)) AS customer,
    MIN(Country) AS country
  FROM retail.lines
  GROUP BY InvoiceNo
),
items AS (
  -- Write-offs of stock (negative pieces on an invoice that cancels nothing) are no order.
  SELECT InvoiceNo, StockCode, SUM(Quantity) AS pieces, SUM(Quantity * CAST(UnitPrice AS NUMERIC)) AS amount
  FROM retail.lines
  WHERE Quantity > 0 OR STARTS_WITH(InvoiceNo, 'C')
  GROUP BY InvoiceNo, StockCode
),
cancelled AS (
  SELECT v.customer, i.StockCode
  FROM items AS i
  JOIN invoices AS v ON v.InvoiceNo = i.InvoiceNo
  WHERE i.pieces < 0
  GROUP BY v.customer, i.StockCode
),
sums AS (
  SELECT
    v.customer,
    v.placed_at,
    i.*,
    SUM(i.pieces) OVER (PARTITION BY v.customer, i.StockCode ORDER BY v.placed_at, i.pieces < 0, i.InvoiceNo) AS pieces_so_far
  FROM items AS i
  JOIN invoices AS v ON v.InvoiceNo = i.InvoiceNo
  JOIN cancelled AS c ON c.customer = v.customer AND c.StockCode = i.StockCode
),
stacks AS (
  -- The height after each move: the sum, lifted by what cancellations took from an empty stack.
  SELECT
    *,
    pieces_so_far - LEAST(0, MIN(pieces_so_far) OVER (PARTITION BY customer, StockCode ORDER BY placed_at, pieces < 0, InvoiceNo)) AS height
  FROM sums
),
remains AS (
  -- Of an order's pieces remains what lies below the lowest height that the stack ever falls to later.
  SELECT
    InvoiceNo,
    StockCode,
    GREATEST(
      0,
      MIN(height) OVER (
        PARTITION BY customer, StockCode
        ORDER BY placed_at, pieces < 0, InvoiceNo
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
      ) - (height - pieces)
    ) AS pieces
  FROM stacks
),
worth AS (
  SELECT i.InvoiceNo, CAST(ROUND(i.amount * COALESCE(r.pieces, i.pieces) / i.pieces, 2) AS NUMERIC) AS value
  FROM items AS i
  LEFT JOIN remains AS r ON r.InvoiceNo = i.InvoiceNo AND r.StockCode = i.StockCode
)
SELECT
  v.InvoiceNo AS id,
  CAST(NULL AS STRING) AS client_id,
  TIMESTAMP(v.placed_at, 'Europe/London') AS created,
  CAST(SUM(w.value) AS FLOAT64) AS value,
  v.customer AS user_id,
  [STRUCT('country' AS key, v.country AS value)] AS params
FROM invoices AS v
JOIN worth AS w ON w.InvoiceNo = v.InvoiceNo
WHERE NOT STARTS_WITH(v.InvoiceNo, 'C')
  AND DATE(v.placed_at) BETWEEN @start_date AND @end_date
GROUP BY v.InvoiceNo, v.placed_at, v.customer, v.country
HAVING SUM(w.value) > 0
