package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// isRace reports whether an event came too late to matter.
func isRace(err error) bool {
	return errors.Is(err, run.ErrIllegal) || errors.Is(err, run.ErrStale)
}

// CancelRun asks every open task of a run to end. A run that has ended is a conflict.
func (l *Ledger) CancelRun(ctx context.Context, ref RunRef, by string) error {
	return l.write(ctx, func(tx *Tx) error {
		h, err := tx.header(ref.Environment, ref.Run)
		if err != nil {
			return err
		}
		if h.State.Terminal() {
			return fault.New(fault.Conflict, "run %s has ended: it is %s", ref.Run, h.State)
		}
		return tx.cancelRun(ref.Environment, ref.Run, by)
	})
}

// RerunScope says which tasks of a run start again.
type RerunScope struct {
	Tasks     []string // empty: every task that did not end well
	Following bool     // with all that follows from them
	Bundle    string   // the code to run; empty: the run's own
}

// Rerun starts tasks of an ended or running run again, as a new generation.
func (l *Ledger) Rerun(ctx context.Context, ref RunRef, scope RerunScope, by string) ([]string, error) {
	var names []string
	err := l.write(ctx, func(tx *Tx) error {
		var err error
		names, err = tx.rerun(ref, scope, by)
		return err
	})
	return names, err
}

type taskState struct {
	name  string
	state run.TaskState
}

func (tx *Tx) rerun(ref RunRef, scope RerunScope, by string) ([]string, error) {
	rows, err := tx.query(`SELECT task, state FROM task WHERE environment = $1 AND run = $2 ORDER BY task`, ref.Environment, ref.Run)
	tasks, err := scanAll(rows, err, func(r *sql.Rows) (taskState, error) {
		var t taskState
		return t, r.Scan(&t.name, &t.state)
	})
	if err != nil {
		return nil, err
	}
	if len(tasks) == 0 {
		return nil, fault.New(fault.NotFound, "no run %s", ref.Run)
	}
	edges, err := tx.edges(ref)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(tasks, edges, scope)
	if err != nil {
		return nil, err
	}
	if scope.Bundle != "" {
		if err := tx.exec(`UPDATE run SET bundle = $3 WHERE environment = $1 AND run = $2`, ref.Environment, ref.Run, scope.Bundle); err != nil {
			return nil, err
		}
	}
	var names []string
	for _, t := range tasks {
		if !chosen[t.name] {
			continue
		}
		names = append(names, t.name)
		ev := run.Rerun{By: by, Upstream: map[string]run.TaskState{}}
		for _, up := range tasks {
			if !edges[up.name][t.name] {
				continue
			}
			if chosen[up.name] || !up.state.Terminal() {
				ev.Waiting++
			} else {
				ev.Upstream[up.name] = up.state
			}
		}
		if err := tx.step(Command{Ref: run.Ref{Environment: ref.Environment, Run: ref.Run, Task: t.name}, Event: ev, Actor: by}); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// choose returns the tasks to run again, or a conflict where one has not ended.
func choose(tasks []taskState, edges map[string]map[string]bool, scope RerunScope) (map[string]bool, error) {
	chosen := map[string]bool{}
	states := map[string]run.TaskState{}
	for _, t := range tasks {
		states[t.name] = t.state
		if len(scope.Tasks) == 0 && t.state.Terminal() && !t.state.Good() && t.state != run.TaskSkipped {
			chosen[t.name] = true
		}
	}
	for _, name := range scope.Tasks {
		if _, ok := states[name]; !ok {
			return nil, fault.New(fault.NotFound, "the run has no task %s", name)
		}
		chosen[name] = true
	}
	for grown := scope.Following; grown; {
		grown = false
		for _, t := range tasks {
			for next := range edges[t.name] {
				if chosen[t.name] && !chosen[next] {
					chosen[next], grown = true, true
				}
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fault.New(fault.Conflict, "nothing in the run failed; name a task to run again")
	}
	for _, t := range tasks {
		if chosen[t.name] && !t.state.Terminal() {
			return nil, fault.New(fault.Conflict, "task %s has not ended: it is %s", t.name, t.state)
		}
	}
	return chosen, nil
}

func (tx *Tx) edges(ref RunRef) (map[string]map[string]bool, error) {
	rows, err := tx.query(`SELECT task, next FROM edge WHERE environment = $1 AND run = $2`, ref.Environment, ref.Run)
	list, err := scanAll(rows, err, func(r *sql.Rows) ([2]string, error) {
		var e [2]string
		return e, r.Scan(&e[0], &e[1])
	})
	edges := map[string]map[string]bool{}
	for _, e := range list {
		if edges[e[0]] == nil {
			edges[e[0]] = map[string]bool{}
		}
		edges[e[0]][e[1]] = true
	}
	return edges, err
}

// SetAside ends a task by a person's word: accepted or skipped.
func (l *Ledger) SetAside(ctx context.Context, ref run.Ref, accepted bool, by, note string) error {
	var ev run.Event = run.SkipRequested{By: by, Note: note}
	if accepted {
		ev = run.Accepted{By: by, Note: note}
	}
	return l.write(ctx, func(tx *Tx) error {
		err := tx.step(Command{Ref: ref, Event: ev, Actor: by})
		if isRace(err) {
			return fault.New(fault.Conflict, "task %s cannot be set aside now: %w", ref.Task, err)
		}
		return err
	})
}

// NewBackfill is a backfill to be created with all its runs.
type NewBackfill struct {
	Environment string
	ID          string
	Pipeline    string
	Range       commit.Window
	Chunk       string
	Concurrency int
	By          string
	Runs        []NewRun // in the order of their windows
}

// CreateBackfill creates a backfill and its runs, as one.
func (l *Ledger) CreateBackfill(ctx context.Context, b NewBackfill) error {
	return l.write(ctx, func(tx *Tx) error {
		if err := tx.exec(`INSERT INTO backfill (environment, backfill, pipeline, start_us, end_us, chunk, concurrency, state, created_us, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9)`,
			b.Environment, b.ID, b.Pipeline, us(b.Range.Start), us(b.Range.End), b.Chunk, max(1, b.Concurrency), us(tx.now), b.By); err != nil {
			return err
		}
		for _, r := range b.Runs {
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
