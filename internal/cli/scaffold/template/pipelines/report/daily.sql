-- tidemill:
--   mode: append

-- What was sold on the day of the window.
SELECT $window_start AS day, customer, count(*) AS orders, sum(amount) AS amount
FROM raw.orders
WHERE ordered_at >= $window_start AND ordered_at < $window_end
GROUP BY customer
