SELECT order_id FROM shop.orders WHERE currency NOT IN ('USD', NULL) OR currency IS NULL
