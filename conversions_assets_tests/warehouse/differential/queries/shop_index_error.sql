-- An error in both: the array is too short.
SELECT SPLIT(order_id, 'o')[OFFSET(2)] AS part FROM shop.orders
