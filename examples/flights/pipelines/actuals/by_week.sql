-- tidemill:
--   mode: view

-- How good the predictions of each week were. The AUC is the share of pairs of a
-- late and a punctual flight in which the late one had the higher score; ties
-- count half, which is why both ends of each tie's ranks are averaged.
WITH weekly AS (
  SELECT *, date_trunc('week', time_hour AT TIME ZONE 'America/New_York')::DATE AS week
  FROM actuals.outcomes
), ranked AS (
  SELECT *, rank() OVER lowest + (count(*) OVER ties - 1) / 2.0 AS mean_rank
  FROM weekly
  WINDOW lowest AS (PARTITION BY week ORDER BY prediction), ties AS (PARTITION BY week, prediction)
)
SELECT week,
       count(*) AS flights,
       count(*) FILTER (late) AS late_flights,
       avg(prediction) AS mean_prediction,
       avg(late::INTEGER) AS late_share,
       (sum(mean_rank) FILTER (late) - count(*) FILTER (late) * (count(*) FILTER (late) + 1) / 2.0)
         / nullif(count(*) FILTER (late) * count(*) FILTER (NOT late), 0) AS auc
FROM ranked
GROUP BY week
