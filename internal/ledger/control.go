package ledger

import (
	"context"
	"database/sql"
	"errors"

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
	if err := tx.unblock(ref.Environment, ref.Run); err != nil {
		return nil, err
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
