package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// NewBackfill is a backfill to be created with all its runs.
type NewBackfill struct {
	Environment string
	ID          string
	Pipeline    string
	Range       commit.Window
	Chunk       string
	Concurrency int
	Direction   slot.Direction
	Reprocess   slot.Reprocess
	By          string
	Runs        []NewRun // in the order of their windows
}

// CreateBackfill creates a backfill and its runs, as one.
func (l *Ledger) CreateBackfill(ctx context.Context, b NewBackfill) error {
	return l.write(ctx, func(tx *Tx) error {
		if err := tx.exec(`INSERT INTO backfill (environment, backfill, pipeline, start_us, end_us, chunk, concurrency, state, created_us, created_by,
				direction, reprocess) VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9, $10, $11)`,
			b.Environment, b.ID, b.Pipeline, us(b.Range.Start), us(b.Range.End), b.Chunk, max(1, b.Concurrency), us(tx.now), b.By,
			cmp.Or(b.Direction, slot.OldestFirst), cmp.Or(b.Reprocess, slot.ReprocessAll)); err != nil {
			return err
		}
		runs := slices.Clone(b.Runs)
		if b.Direction == slot.NewestFirst {
			slices.Reverse(runs) // what is created first begins first
		}
		for _, r := range runs {
			r.Kind, r.Backfill = KindBackfill, b.ID
			if err := tx.createRun(r); err != nil {
				return err
			}
		}
		return tx.settleBackfill(b.Environment, b.ID)
	})
}

// settleBackfill ends a backfill whose last run has ended.
func (tx *Tx) settleBackfill(environment, id string) error {
	var open, bad, cancelled int
	if err := tx.queryRow(`SELECT count(CASE WHEN state IN ('queued', 'running') THEN 1 END), count(CASE WHEN state = 'failed' THEN 1 END),
			count(CASE WHEN state = 'cancelled' THEN 1 END)
		FROM run WHERE environment = $1 AND backfill = $2`, environment, id).Scan(&open, &bad, &cancelled); err != nil {
		return err
	}
	state, ended := run.Running, time.Time{}
	if open == 0 {
		ended = tx.now
		switch {
		case bad > 0:
			state = run.Failed
		case cancelled > 0:
			state = run.Cancelled
		default:
			state = run.Succeeded
		}
	}
	return tx.exec(`UPDATE backfill SET state = $3, ended_us = $4 WHERE environment = $1 AND backfill = $2`, environment, id, state, optionalUS(ended))
}

// CancelBackfill cancels the runs of a backfill that have not ended, the queued ones first.
func (l *Ledger) CancelBackfill(ctx context.Context, environment, id, by string) (int, error) {
	n := 0
	err := l.write(ctx, func(tx *Tx) error {
		if _, err := tx.openBackfill(environment, id); err != nil {
			return err
		}
		rows, err := tx.query(`SELECT run FROM run WHERE environment = $1 AND backfill = $2 AND state IN ('queued', 'running') ORDER BY state, start_us DESC`, environment, id)
		open, err := scanAll(rows, err, scanText)
		if err != nil {
			return err
		}
		n = len(open)
		for _, r := range open {
			if err := tx.cancelRun(environment, r, by); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// PauseBackfill pauses or resumes a backfill, with a note of who and why. What runs
// goes on; while it is paused nothing new starts.
func (l *Ledger) PauseBackfill(ctx context.Context, environment, id string, paused bool, by, note string) error {
	return l.write(ctx, func(tx *Tx) error {
		pipeline, err := tx.openBackfill(environment, id)
		if err != nil {
			return err
		}
		if err := tx.exec(`UPDATE backfill SET paused = $3, paused_by = $4, paused_note = $5, paused_us = $6 WHERE environment = $1 AND backfill = $2`,
			environment, id, flag(paused), by, note, us(tx.now)); err != nil {
			return err
		}
		commands, err := tx.startQueued(environment, pipeline, id)
		if err != nil {
			return err
		}
		return tx.steps(commands)
	})
}

// openBackfill locks a backfill that goes on, and returns its pipeline.
func (tx *Tx) openBackfill(environment, id string) (pipeline string, err error) {
	var state run.State
	err = tx.queryRow(`SELECT pipeline, state FROM backfill WHERE environment = $1 AND backfill = $2`+tx.ledger.engine.ForUpdate, environment, id).
		Scan(&pipeline, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", fault.New(fault.NotFound, "no backfill %q", id)
	case err == nil && state.Terminal():
		return "", fault.New(fault.Conflict, "backfill %s has ended: it is %s", id, state)
	}
	return pipeline, err
}

// In which order queued runs begin.
const (
	oldestFirst = `ORDER BY start_us, end_us, created_us`
	newestFirst = `ORDER BY start_us DESC, end_us DESC, created_us`
)

// turn says how many runs of a backfill may run at once, whether it is paused, and
// in which order they begin. Its row is locked: a pause, or the end of another run,
// is decided before or after, and not at the same time.
func (tx *Tx) turn(environment, id string) (most int, paused bool, order string, err error) {
	var held int
	var direction slot.Direction
	err = tx.queryRow(`SELECT concurrency, paused, direction FROM backfill WHERE environment = $1 AND backfill = $2`+tx.ledger.engine.ForUpdate, environment, id).
		Scan(&most, &held, &direction)
	order = oldestFirst
	if direction == slot.NewestFirst {
		order = newestFirst
	}
	return most, held != 0, order, err
}
