package read

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// ModelBody is a model version as its row keeps it.
type ModelBody struct {
	commit.Model
	Promotions []run.Promotion `json:"promotions,omitempty"`
}

// ModelInfo is a model version as people ask for it.
type ModelInfo struct {
	commit.Model
	Version int
	Created time.Time
	Run     string
	Task    string
	Aliases []string

	Promotions []run.Promotion // what the conditions of its aliases saw when it was recorded
}

// ModelVersions lists the versions of a model (of all, where it is empty), the newest first.
func (q *Reader) ModelVersions(ctx context.Context, environment, model string) ([]ModelInfo, error) {
	return q.models(ctx, `environment = $1 AND ($2 = '' OR model = $2)`, environment, model)
}

// ModelsMade lists the versions that an attempt made.
func (q *Reader) ModelsMade(ctx context.Context, ref run.Ref, attempt int) ([]ModelInfo, error) {
	return q.models(ctx, `environment = $1 AND run = $2 AND task = $3 AND epoch = (SELECT epoch FROM attempt a
		WHERE a.environment = $1 AND a.run = $2 AND a.task = $3 AND a.idx = $4 AND a.attempt = $5)`, ref.Environment, ref.Run, ref.Task, ref.Index, attempt)
}

func (q *Reader) models(ctx context.Context, where string, args ...any) ([]ModelInfo, error) {
	rows, err := q.query(ctx, `SELECT environment, version, created_us, run, task, body FROM model
		WHERE `+where+` ORDER BY model, version DESC`, args...)
	environment := ""
	list, err := engine.All(rows, err, func(r *sql.Rows) (ModelInfo, error) {
		var m ModelInfo
		var created int64
		var body string
		if err := r.Scan(&environment, &m.Version, &created, &m.Run, &m.Task, &body); err != nil {
			return m, err
		}
		var kept ModelBody
		err := json.Unmarshal([]byte(body), &kept)
		m.Created, m.Model, m.Promotions = engine.At(created), kept.Model, kept.Promotions
		return m, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		rows, err := q.query(ctx, `SELECT alias FROM model_alias WHERE environment = $1 AND model = $2 AND version = $3 ORDER BY alias`,
			environment, list[i].Name, list[i].Version)
		if list[i].Aliases, err = engine.All(rows, err, scanText); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ModelVersion finds a version by number or alias; the empty name means the newest.
func (q *Reader) ModelVersion(ctx context.Context, environment, model, which string) (ModelInfo, error) {
	all, err := q.ModelVersions(ctx, environment, model)
	if err != nil {
		return ModelInfo{}, err
	}
	if model == "" || len(all) == 0 {
		return ModelInfo{}, fault.New(fault.NotFound, "no model %q", model)
	}
	if which == "" {
		return all[0], nil
	}
	number, _ := strconv.Atoi(which)
	for _, m := range all {
		if m.Version == number {
			return m, nil
		}
		if slices.Contains(m.Aliases, which) {
			return m, nil
		}
	}
	return ModelInfo{}, fault.New(fault.NotFound, "model %s has no version or alias %q", model, which)
}

// Pin returns a pin by its id.
func (q *Reader) Pin(ctx context.Context, environment, id string) (run.Pin, error) {
	p := run.Pin{ID: id}
	var body string
	err := q.db.QueryRowContext(ctx, q.engine.Text(`SELECT feature_set, body FROM pin WHERE environment = $1 AND pin = $2`), environment, id).Scan(&p.Set, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.New(fault.NotFound, "no pin %q", id)
	}
	p.Body = json.RawMessage(body)
	return p, err
}

// AttemptOf returns the number of the attempt that made a model version.
func (q *Reader) AttemptOf(ctx context.Context, environment string, m ModelInfo) (int, error) {
	var attempt int
	err := q.db.QueryRowContext(ctx, q.engine.Text(`SELECT a.attempt FROM attempt a JOIN model m
			ON m.environment = a.environment AND m.run = a.run AND m.task = a.task AND m.epoch = a.epoch
		WHERE m.environment = $1 AND m.model = $2 AND m.version = $3`), environment, m.Name, m.Version).Scan(&attempt)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "the attempt that made %s:%d is no longer in the history", m.Name, m.Version)
	}
	return attempt, err
}

func scanText(r *sql.Rows) (string, error) {
	var s string
	return s, r.Scan(&s)
}
