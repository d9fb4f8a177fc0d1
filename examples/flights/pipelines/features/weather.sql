-- tidemill:
--   feature: {keys: [origin], event_time: time_hour}
--   available_after: 6h25m
--
-- The newest weather at the airport. The feed comes once a day, so before noon
-- it is yesterday's: that, too, is what the model will have to live with.
SELECT origin, time_hour, reported_at, wind_speed AS wind, precip, visib
FROM raw.weather
WHERE time_hour >= $window_start AND time_hour < $window_end
