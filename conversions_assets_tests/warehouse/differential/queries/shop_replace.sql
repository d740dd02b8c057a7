SELECT * REPLACE (IFNULL(total, 0) AS total, UPPER(status) AS status) FROM shop.orders WHERE cancelled IS NOT TRUE
