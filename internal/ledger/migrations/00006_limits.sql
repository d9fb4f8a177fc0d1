-- +goose Up
-- What is there of each limited thing, and how much of it running attempts hold. capacity -1: without limit.
CREATE TABLE limits (
  environment TEXT NOT NULL, name TEXT NOT NULL, capacity BIGINT NOT NULL, used BIGINT NOT NULL,
  PRIMARY KEY (environment, name));
CREATE TABLE task_limit (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, name TEXT NOT NULL, amount INT NOT NULL,
  PRIMARY KEY (environment, run, task, name));
CREATE INDEX task_limit_name ON task_limit (environment, name);
ALTER TABLE task ADD COLUMN priority INT NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN limited INT NOT NULL DEFAULT 0;
-- held: the limit in whose queue the task stands; turn: its place there, and among all that may start.
ALTER TABLE ready ADD COLUMN held TEXT NOT NULL DEFAULT '';
ALTER TABLE ready ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
DROP INDEX ready_rank;
CREATE INDEX ready_turn ON ready (held, turn);
CREATE INDEX ready_rank ON ready (rank_us);

-- +goose Down
SELECT 1;
