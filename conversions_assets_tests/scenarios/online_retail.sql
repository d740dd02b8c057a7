-- An order is an invoice; its value is what later cancellations by the same customer of the same stock codes leave of it.
-- Per customer and stock code the pieces lie on a stack: an order puts its pieces on top, a cancellation takes pieces from
-- the top (the latest order first); what it takes from an empty stack was bought before the shop's first day and is
-- dropped. In one minute orders come before cancellations. Pieces that are left are worth the mean price of the invoice's
-- lines of that stock code, rounded to pence. Lines without a customer cannot be matched: a stack for each invoice.
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
moves AS (
  SELECT i.InvoiceNo, i.StockCode, i.pieces, i.amount, v.placed_at, COALESCE(v.customer, i.InvoiceNo) AS buyer, i.pieces < 0 AS cancels
  FROM items AS i
  JOIN invoices AS v ON v.InvoiceNo = i.InvoiceNo
),
sums AS (
  SELECT *, SUM(pieces) OVER (PARTITION BY buyer, StockCode ORDER BY placed_at, cancels, InvoiceNo) AS pieces_so_far
  FROM moves
),
stacks AS (
  -- The height after each move: the sum, lifted by what cancellations took from an empty stack.
  SELECT
    *,
    pieces_so_far - LEAST(0, MIN(pieces_so_far) OVER (PARTITION BY buyer, StockCode ORDER BY placed_at, cancels, InvoiceNo)) AS height
  FROM sums
),
remains AS (
  -- Of an order's pieces remains what lies below the lowest height that the stack ever falls to later.
  SELECT
    InvoiceNo,
    pieces,
    amount,
    cancels,
    GREATEST(
      0,
      MIN(height) OVER (
        PARTITION BY buyer, StockCode
        ORDER BY placed_at, cancels, InvoiceNo
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
      ) - (height - pieces)
    ) AS left_over
  FROM stacks
)
SELECT
  v.InvoiceNo AS id,
  CAST(NULL AS STRING) AS client_id,
  TIMESTAMP(v.placed_at, 'Europe/London') AS created,
  CAST(SUM(CAST(ROUND(r.amount * r.left_over / r.pieces, 2) AS NUMERIC)) AS FLOAT64) AS value,
  v.customer AS user_id,
  [STRUCT('country' AS key, v.country AS value)] AS params
FROM remains AS r
JOIN invoices AS v ON v.InvoiceNo = r.InvoiceNo
WHERE NOT r.cancels
  AND DATE(v.placed_at) BETWEEN @start_date AND @end_date
GROUP BY v.InvoiceNo, v.placed_at, v.customer, v.country
HAVING SUM(CAST(ROUND(r.amount * r.left_over / r.pieces, 2) AS NUMERIC)) > 0
