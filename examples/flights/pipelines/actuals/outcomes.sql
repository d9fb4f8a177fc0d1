-- tidemill:
--   mode: replace_window

-- What became of yesterday's predictions. Cancelled and diverted flights have no
-- arrival delay and are left out, as they are in training.
SELECT p.time_hour, p.carrier, p.flight, p.model_version, p.prediction,
       f.arr_delay, f.arr_delay > 30 AS late
FROM score.predictions AS p JOIN raw.flights AS f USING (time_hour, carrier, flight)
WHERE f.arr_delay IS NOT NULL AND p.time_hour >= $window_start AND p.time_hour < $window_end
