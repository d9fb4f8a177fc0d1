-- +goose Up
-- Times are int64 microseconds UTC, JSON is TEXT, flags are 0 or 1. One text for SQLite and PostgreSQL.
CREATE TABLE installation (id TEXT PRIMARY KEY, created_us BIGINT NOT NULL);
CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

CREATE TABLE bundle (
  environment TEXT NOT NULL, hash TEXT NOT NULL, created_us BIGINT NOT NULL,
  PRIMARY KEY (environment, hash));

CREATE TABLE pipeline (
  environment TEXT NOT NULL, pipeline TEXT NOT NULL,
  bundle TEXT NOT NULL,
  schedule TEXT NOT NULL DEFAULT '',
  seen_us BIGINT, mark_us BIGINT, newest_start_us BIGINT, newest_end_us BIGINT,
  paused INT NOT NULL DEFAULT 0, paused_by TEXT NOT NULL DEFAULT '', paused_note TEXT NOT NULL DEFAULT '', paused_us BIGINT,
  wake_us BIGINT,
  PRIMARY KEY (environment, pipeline));
CREATE INDEX pipeline_wake ON pipeline (wake_us);

CREATE TABLE slot (
  environment TEXT NOT NULL, pipeline TEXT NOT NULL, due_us BIGINT NOT NULL,
  start_us BIGINT NOT NULL, end_us BIGINT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  first_us BIGINT, into_us BIGINT, schedule TEXT NOT NULL DEFAULT '',
  run TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (environment, pipeline, due_us));
CREATE INDEX slot_state ON slot (environment, pipeline, state);

CREATE TABLE backfill (
  environment TEXT NOT NULL, backfill TEXT NOT NULL, pipeline TEXT NOT NULL,
  start_us BIGINT NOT NULL, end_us BIGINT NOT NULL,
  chunk TEXT NOT NULL DEFAULT '', concurrency INT NOT NULL, tasks TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL, created_us BIGINT NOT NULL, created_by TEXT NOT NULL, ended_us BIGINT,
  PRIMARY KEY (environment, backfill));

CREATE TABLE run (
  environment TEXT NOT NULL, run TEXT NOT NULL,
  pipeline TEXT NOT NULL, owner TEXT NOT NULL DEFAULT '', bundle TEXT NOT NULL,
  kind TEXT NOT NULL, backfill TEXT NOT NULL DEFAULT '',
  due_us BIGINT, start_us BIGINT NOT NULL, end_us BIGINT NOT NULL,
  live INT NOT NULL, params TEXT NOT NULL DEFAULT '{}',
  state TEXT NOT NULL, open INT NOT NULL, bad INT NOT NULL DEFAULT 0, cancelled INT NOT NULL DEFAULT 0,
  cancel_by TEXT NOT NULL DEFAULT '', overlap TEXT NOT NULL DEFAULT '',
  created_by TEXT NOT NULL DEFAULT '', created_us BIGINT NOT NULL, began_us BIGINT, ended_us BIGINT,
  PRIMARY KEY (environment, run));
CREATE INDEX run_pipeline ON run (environment, pipeline, start_us);
CREATE INDEX run_open ON run (environment, pipeline, state);
CREATE INDEX run_created ON run (created_us);
CREATE INDEX run_backfill ON run (environment, backfill, state);

CREATE TABLE task (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL,
  state TEXT NOT NULL, generation INT NOT NULL DEFAULT 1,
  attempt INT NOT NULL DEFAULT 0, epoch BIGINT NOT NULL DEFAULT 0, session TEXT NOT NULL DEFAULT '',
  failures INT NOT NULL DEFAULT 0, losses INT NOT NULL DEFAULT 0, suspect INT NOT NULL DEFAULT 0, unclosed INT NOT NULL DEFAULT 0,
  waiting INT NOT NULL, upstream TEXT NOT NULL DEFAULT '{}', condition TEXT NOT NULL DEFAULT '',
  retries INT NOT NULL, backoff_us BIGINT NOT NULL,
  ready_us BIGINT, reason TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL DEFAULT '', ending TEXT NOT NULL DEFAULT '',
  began_us BIGINT, ended_us BIGINT,
  PRIMARY KEY (environment, run, task, idx));
CREATE INDEX task_session ON task (session);

CREATE TABLE edge (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, next TEXT NOT NULL,
  PRIMARY KEY (environment, run, task, next));

CREATE TABLE ready (
  rank_us BIGINT NOT NULL, environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL,
  PRIMARY KEY (environment, run, task, idx));
CREATE INDEX ready_rank ON ready (rank_us);

CREATE TABLE wait (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL,
  target TEXT NOT NULL, start_us BIGINT NOT NULL, end_us BIGINT NOT NULL, since_us BIGINT NOT NULL,
  PRIMARY KEY (environment, run, task, idx, target));
CREATE INDEX wait_target ON wait (environment, target);

CREATE TABLE published (
  environment TEXT NOT NULL, target TEXT NOT NULL, start_us BIGINT NOT NULL, end_us BIGINT NOT NULL,
  PRIMARY KEY (environment, target, start_us));

CREATE TABLE attempt (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL, attempt INT NOT NULL,
  generation INT NOT NULL, epoch BIGINT NOT NULL, session TEXT NOT NULL,
  state TEXT NOT NULL, kind TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', exit_code INT,
  result TEXT NOT NULL DEFAULT '{}',
  began_us BIGINT NOT NULL, ended_us BIGINT, peak_bytes BIGINT,
  PRIMARY KEY (environment, run, task, idx, attempt));

CREATE TABLE session (
  session TEXT PRIMARY KEY, worker TEXT NOT NULL, version TEXT NOT NULL, slots INT NOT NULL,
  state TEXT NOT NULL, began_us BIGINT NOT NULL, ended_us BIGINT, reason TEXT NOT NULL DEFAULT '');

CREATE TABLE event (
  seq BIGINT PRIMARY KEY, at_us BIGINT NOT NULL,
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL, attempt INT NOT NULL, epoch BIGINT NOT NULL,
  actor TEXT NOT NULL, name TEXT NOT NULL, was TEXT NOT NULL, became TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '');
CREATE INDEX event_run ON event (environment, run, seq);
CREATE INDEX event_at ON event (at_us);

CREATE TABLE value (
  environment TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, idx INT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (environment, run, task, idx, name));

CREATE TABLE incident (
  environment TEXT NOT NULL, incident TEXT NOT NULL, fingerprint TEXT NOT NULL,
  kind TEXT NOT NULL, severity TEXT NOT NULL, pipeline TEXT NOT NULL, task TEXT NOT NULL, owner TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL, summary TEXT NOT NULL,
  opened_us BIGINT NOT NULL, updated_us BIGINT NOT NULL, resolved_us BIGINT, resolution TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (environment, incident));
CREATE UNIQUE INDEX incident_open ON incident (environment, fingerprint) WHERE state <> 'resolved';
CREATE TABLE incident_run (
  environment TEXT NOT NULL, incident TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL,
  start_us BIGINT NOT NULL, end_us BIGINT NOT NULL, reason TEXT NOT NULL, left_us BIGINT,
  PRIMARY KEY (environment, incident, run, task));

CREATE TABLE outbox (
  id BIGINT PRIMARY KEY, environment TEXT NOT NULL, incident TEXT NOT NULL, action TEXT NOT NULL,
  channel TEXT NOT NULL, state TEXT NOT NULL, attempts INT NOT NULL DEFAULT 0,
  created_us BIGINT NOT NULL, next_us BIGINT NOT NULL, sent_us BIGINT, answer TEXT NOT NULL DEFAULT '', body TEXT NOT NULL);
CREATE INDEX outbox_next ON outbox (state, next_us);

CREATE TABLE pin (
  environment TEXT NOT NULL, pin TEXT NOT NULL, feature_set TEXT NOT NULL, created_us BIGINT NOT NULL,
  run TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (environment, pin));
CREATE TABLE model (
  environment TEXT NOT NULL, model TEXT NOT NULL, version INT NOT NULL,
  created_us BIGINT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, epoch BIGINT NOT NULL, pin TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (environment, model, version));
CREATE UNIQUE INDEX model_epoch ON model (environment, model, epoch);
CREATE TABLE model_alias (
  environment TEXT NOT NULL, model TEXT NOT NULL, alias TEXT NOT NULL, version INT NOT NULL,
  moved_us BIGINT NOT NULL, moved_by TEXT NOT NULL,
  PRIMARY KEY (environment, model, alias));

-- +goose Down
SELECT 1;
