-- tidemill:
--   feature: {keys: [tailnum], event_time: time_hour}
--   available_after: 10m

-- How late this aircraft came in: the last time, and the mean of the last 20 within 14 days.
-- A row is filed under the hour of departure and says what was known once the
-- last flight of that hour had reported: nothing in it was reported later.
SELECT tailnum, time_hour, reported_at,
       arr_delay AS aircraft_last,
       CASE WHEN count(*) OVER month > 20 THEN avg(arr_delay) OVER recent ELSE avg(arr_delay) OVER month END AS aircraft_mean_20
FROM raw.flights
WHERE arr_delay IS NOT NULL AND tailnum IS NOT NULL
  AND reported_at >= $window_start - INTERVAL 14 DAY AND time_hour < $window_end
WINDOW month AS (PARTITION BY tailnum ORDER BY reported_at RANGE BETWEEN INTERVAL 14 DAY PRECEDING AND CURRENT ROW),
       recent AS (PARTITION BY tailnum ORDER BY reported_at, time_hour, carrier, flight ROWS BETWEEN 19 PRECEDING AND CURRENT ROW)
QUALIFY time_hour >= $window_start
  AND row_number() OVER (PARTITION BY tailnum, time_hour ORDER BY reported_at DESC, carrier DESC, flight DESC) = 1
