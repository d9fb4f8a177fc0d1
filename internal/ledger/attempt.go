package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/read"
)

// timeValue keeps signatures readable where a parameter is named at.
type timeValue = time.Time

func microseconds(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// saveAttempt keeps the attempt's own row, which outlives the task's next attempt.
func (tx *Tx) saveAttempt(c Command, before, after run.Snapshot) error {
	was, t := before.Task, after.Task
	if was.State == run.TaskClaimed && t.State == run.TaskRunning {
		return tx.exec(`INSERT INTO attempt (environment, run, task, idx, attempt, generation, epoch, session, state, began_us)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9)`,
			c.Environment, c.Run, c.Task, c.Index, t.Attempt, t.Generation, t.Epoch, t.Session, us(tx.now))
	}
	state, kind, reason := "", fault.Kind(""), ""
	switch e := c.Event.(type) {
	case run.AttemptSucceeded:
		state = "succeeded"
	case run.AttemptFailed:
		state, kind, reason = "failed", e.Kind, e.Reason
		if was.State == run.TaskCancelling {
			state = "cancelled"
		}
	case run.Deferred:
		state, reason = "deferred", e.Reason
	case run.Lost:
		if was.State == run.TaskRunning || was.State == run.TaskCancelling {
			state, kind, reason = "lost", fault.Lost, e.Reason
		}
	case run.Closed:
		if e.Committed {
			return tx.saveSuccess(c, t)
		}
	default: // no attempt ends with the others
	}
	if state == "" {
		return nil
	}
	result, err := json.Marshal(c.Result)
	if err != nil {
		return fault.New(fault.Internal, "result of %s: %w", c.Ref, err)
	}
	exit := sql.NullInt64{}
	if c.Result.ExitCode != nil {
		exit = sql.NullInt64{Int64: int64(*c.Result.ExitCode), Valid: true}
	}
	if err := tx.exec(`UPDATE attempt SET state = $6, kind = $7, reason = $8, exit_code = $9, result = $10, ended_us = $11, peak_bytes = $12
		WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4 AND attempt = $5`,
		c.Environment, c.Run, c.Task, c.Index, was.Attempt, state, kind, reason, exit, string(result), us(tx.now), c.Result.PeakBytes); err != nil {
		return err
	}
	if state != "succeeded" {
		return nil
	}
	return tx.saveSuccess(c, t)
}

// saveSuccess records what a successful attempt said: values, pins, model versions.
func (tx *Tx) saveSuccess(c Command, t run.Task) error {
	for name, v := range c.Result.Completion.Values {
		if err := tx.exec(`INSERT INTO value (environment, run, task, idx, name, value) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (environment, run, task, idx, name) DO UPDATE SET value = excluded.value`,
			c.Environment, c.Run, c.Task, c.Index, name, string(v)); err != nil {
			return err
		}
	}
	for _, p := range c.Result.Pins {
		if err := tx.savePin(c.Environment, c.Run, p); err != nil {
			return err
		}
	}
	for _, m := range c.Result.Completion.Models {
		if err := tx.saveModel(c, t.Epoch, m); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) savePin(environment, runID string, p run.Pin) error {
	return tx.exec(`INSERT INTO pin (environment, pin, feature_set, created_us, run, body) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (environment, pin) DO NOTHING`, environment, p.ID, p.Set, us(tx.now), runID, string(p.Body))
}

// saveModel gives a model its next version, once per attempt, and moves the aliases
// whose condition holds; what each condition saw stays with the version.
func (tx *Tx) saveModel(c Command, epoch int64, m commit.Model) error {
	var known, version int
	if err := tx.queryRow(`SELECT count(*) FROM model WHERE environment = $1 AND model = $2 AND epoch = $3`,
		c.Environment, m.Name, epoch).Scan(&known); err != nil || known > 0 {
		return err
	}
	if err := tx.queryRow(`SELECT coalesce(max(version), 0) + 1 FROM model WHERE environment = $1 AND model = $2`,
		c.Environment, m.Name).Scan(&version); err != nil {
		return err
	}
	kept := read.ModelBody{Model: m}
	for _, alias := range slices.Sorted(maps.Keys(m.Promote)) {
		champion, err := tx.metricsOf(c.Environment, m.Name, alias)
		if err != nil {
			return err
		}
		kept.Promotions = append(kept.Promotions, run.Promote(alias, m.Promote[alias], m.Metrics, champion))
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return fault.New(fault.Internal, "model %s: %w", m.Name, err)
	}
	if err := tx.exec(`INSERT INTO model (environment, model, version, created_us, run, task, epoch, pin, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		c.Environment, m.Name, version, us(tx.now), c.Run, c.Task, epoch, m.Pin, string(body)); err != nil {
		return err
	}
	for _, p := range kept.Promotions {
		if !p.Promoted {
			continue
		}
		if err := tx.moveAlias(c.Environment, m.Name, p.Alias, version, c.Run+"/"+c.Task); err != nil {
			return err
		}
	}
	return nil
}

// metricsOf returns the metrics of the version that has an alias; nil where none has it.
func (tx *Tx) metricsOf(environment, model, alias string) (map[string]float64, error) {
	var body string
	err := tx.queryRow(`SELECT m.body FROM model_alias a JOIN model m
			ON m.environment = a.environment AND m.model = a.model AND m.version = a.version
		WHERE a.environment = $1 AND a.model = $2 AND a.alias = $3`, environment, model, alias).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	champion := commit.Model{Metrics: map[string]float64{}} // one without metrics is a champion too
	if err := json.Unmarshal([]byte(body), &champion); err != nil {
		return nil, fault.New(fault.Internal, "read model %s: %w", model, err)
	}
	return champion.Metrics, nil
}

func (tx *Tx) moveAlias(environment, model, alias string, version int, by string) error {
	moved, err := tx.execCount(`INSERT INTO model_alias (environment, model, alias, version, moved_us, moved_by)
		SELECT environment, model, $3, version, $5, $6 FROM model WHERE environment = $1 AND model = $2 AND version = $4
		ON CONFLICT (environment, model, alias) DO UPDATE
		SET version = excluded.version, moved_us = excluded.moved_us, moved_by = excluded.moved_by`,
		environment, model, alias, version, us(tx.now), by)
	if err == nil && moved == 0 {
		err = fault.New(fault.NotFound, "there is no %s:%d", model, version)
	}
	return err
}
