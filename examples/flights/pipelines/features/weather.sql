-- tidemill:
--   feature: {keys: [origin], event_time: time_hour}
--   available_after: 10m

-- The weather of each hour at the airport. The feed comes once a day, so what is
-- known of it in the morning ends at midnight: the model has to live with that.
SELECT origin, time_hour, reported_at, wind_speed AS wind, precip, visib
FROM raw.weather
WHERE time_hour >= $window_start AND time_hour < $window_end
