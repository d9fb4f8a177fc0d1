package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// Kinds of run.
const (
	KindScheduled = "scheduled"
	KindManual    = "manual" // somebody asked; the newest complete window, or [mark, now)
	KindWindow    = "window" // somebody named a window
	KindBackfill  = "backfill"
	KindReplay    = "replay" // of quarantined rows
)

// NewRun is a run to be created.
type NewRun struct {
	Environment string
	ID          string
	Pipeline    string
	Owner       string // of the pipeline, for the incidents of its tasks
	Bundle      string
	Kind        string
	Backfill    string
	Due         time.Time
	Window      commit.Window
	Params      json.RawMessage
	By          string
	Overlap     project.Overlap
	Tasks       []NewTask
}

// NewTask is a task of a new run.
type NewTask struct {
	Name     string
	Upstream []string
	When     string
	RetryIf  string
	Retries  int
	Backoff  time.Duration
	Priority int    // the higher the earlier; 0 is usual
	Needs    []Need // what an attempt holds while it runs
	Waits    []Wait
}

// CreateRun creates a run, and starts it unless it must wait its turn.
func (l *Ledger) CreateRun(ctx context.Context, n NewRun) error {
	return l.write(ctx, func(tx *Tx) error { return tx.createRun(n) })
}

func (tx *Tx) createRun(n NewRun) error {
	if len(n.Tasks) == 0 {
		return fault.New(fault.Invalid, "pipeline %s has no task to run", n.Pipeline)
	}
	params := n.Params
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	// A scheduled run reads time as it happens. Everything else may look back:
	// the target decides by its own commits what that means (PROTOCOLS §4.4).
	live := n.Kind == KindScheduled || n.Kind == KindManual
	if err := tx.exec(`INSERT INTO run (environment, run, pipeline, bundle, kind, backfill, due_us, start_us, end_us, live, params,
			state, open, overlap, created_by, created_us, owner, first_bundle)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'queued', $12, $13, $14, $15, $16, $4)`,
		n.Environment, n.ID, n.Pipeline, n.Bundle, n.Kind, n.Backfill, optionalUS(n.Due), us(n.Window.Start), us(n.Window.End),
		flag(live), string(params), len(n.Tasks), n.Overlap, n.By, us(tx.now), n.Owner); err != nil {
		return err
	}
	for _, t := range n.Tasks {
		if err := tx.createTask(n, t); err != nil {
			return err
		}
	}
	if n.Overlap == project.OverlapCancel {
		if err := tx.cancelOpen(n); err != nil {
			return err
		}
	}
	commands, err := tx.startQueued(n.Environment, n.Pipeline, n.Backfill)
	if err != nil {
		return err
	}
	return tx.steps(commands)
}

func (tx *Tx) createTask(n NewRun, t NewTask) error {
	waiting := len(t.Upstream)
	for _, w := range t.Waits {
		covered, err := tx.covered(n.Environment, w.Target, w.Window)
		if pipeline, task, ok := PreviousTask(w.Target); ok && err == nil && !covered {
			covered, err = tx.nothingBefore(n.Environment, pipeline, task, w.Window)
		}
		if err != nil {
			return err
		}
		if covered {
			continue
		}
		waiting++
		if err := tx.exec(`INSERT INTO wait (environment, run, task, idx, target, start_us, end_us, since_us) VALUES ($1, $2, $3, 0, $4, $5, $6, $7)`,
			n.Environment, n.ID, t.Name, w.Target, us(w.Window.Start), us(w.Window.End), us(tx.now)); err != nil {
			return err
		}
	}
	for _, up := range t.Upstream {
		if err := tx.exec(`INSERT INTO edge (environment, run, task, next) VALUES ($1, $2, $3, $4)`, n.Environment, n.ID, up, t.Name); err != nil {
			return err
		}
	}
	for _, one := range t.Needs {
		if err := tx.exec(`INSERT INTO task_limit (environment, run, task, name, amount) VALUES ($1, $2, $3, $4, $5)`, n.Environment, n.ID, t.Name, one.Limit, one.Amount); err != nil {
			return err
		}
	}
	return tx.exec(`INSERT INTO task (environment, run, task, idx, state, waiting, condition, retry_if, retries, backoff_us, priority, limited)
		VALUES ($1, $2, $3, 0, 'waiting', $4, $5, $6, $7, $8, $9, $10)`,
		n.Environment, n.ID, t.Name, waiting, t.When, t.RetryIf, t.Retries, t.Backoff.Microseconds(), t.Priority, flag(len(t.Needs) > 0))
}

// PreviousTarget is the target whose windows are those for which a task has
// ended well: what after_previous waits for.
func PreviousTarget(pipeline, task string) string { return "task:" + pipeline + "/" + task }

// PreviousTask reads such a target.
func PreviousTask(target string) (pipeline, task string, ok bool) {
	name, ok := strings.CutPrefix(target, "task:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(name, "/")
}

// nothingBefore reports whether a task need not wait for an earlier window of its
// own: it has ended well there, or nobody ever expected it to run: there is no run
// of that window, and no slot of it but one that was
// left out. What was pruned is kept as intervals; the runs themselves are the
// record of the rest.
func (tx *Tx) nothingBefore(environment, pipeline, task string, w commit.Window) (bool, error) {
	var good, runs, slots int
	err := tx.queryRow(`SELECT count(*), count(CASE WHEN t.state IN ('succeeded', 'accepted') THEN 1 END)
		FROM run r JOIN task t ON t.environment = r.environment AND t.run = r.run
		WHERE r.environment = $1 AND r.pipeline = $2 AND t.task = $3 AND r.start_us <= $4 AND r.end_us >= $5`,
		environment, pipeline, task, us(w.Start), us(w.End)).Scan(&runs, &good)
	if err != nil || good > 0 || runs > 0 {
		return good > 0, err
	}
	err = tx.queryRow(`SELECT count(*) FROM slot WHERE environment = $1 AND pipeline = $2 AND start_us < $4 AND end_us > $3
		AND state IN ('queued', 'held', 'blocked', 'ran', 'merged') AND first_us IS NULL`,
		environment, pipeline, us(w.Start), us(w.End)).Scan(&slots)
	return slots == 0, err
}

func (tx *Tx) steps(commands []Command) error {
	for _, c := range commands {
		if err := tx.step(c); err != nil {
			return err
		}
	}
	return nil
}

// startQueued begins the queued runs of a pipeline whose turn has come, in window
// order, or those of one backfill of it, in the backfill's own.
func (tx *Tx) startQueued(environment, pipeline, backfill string) ([]Command, error) {
	most, paused, order := 1, false, oldestFirst
	if backfill != "" {
		var err error
		if most, paused, order, err = tx.turn(environment, backfill); err != nil || paused {
			return nil, err
		}
	}
	var running int
	if err := tx.queryRow(`SELECT count(*) FROM run WHERE environment = $1 AND pipeline = $2 AND backfill = $3 AND state = 'running'`,
		environment, pipeline, backfill).Scan(&running); err != nil {
		return nil, err
	}
	free := slot.Turns(most, running, paused)
	type queued struct{ id, overlap string }
	rows, err := tx.query(`SELECT run, overlap FROM run WHERE environment = $1 AND pipeline = $2 AND backfill = $3 AND state = 'queued' `+order+` LIMIT 64`,
		environment, pipeline, backfill)
	waiting, err := scanAll(rows, err, func(r *sql.Rows) (queued, error) {
		var q queued
		return q, r.Scan(&q.id, &q.overlap)
	})
	if err != nil {
		return nil, err
	}
	var commands []Command
	for _, q := range waiting {
		if free <= 0 && q.overlap != string(project.OverlapAllow) {
			break
		}
		free--
		begun, err := tx.begin(environment, q.id)
		if err != nil {
			return nil, err
		}
		commands = append(commands, begun...)
	}
	return commands, nil
}

func (tx *Tx) begin(environment, id string) ([]Command, error) {
	if err := tx.exec(`UPDATE run SET state = 'running', began_us = $3 WHERE environment = $1 AND run = $2`, environment, id, us(tx.now)); err != nil {
		return nil, err
	}
	rows, err := tx.query(`SELECT task, idx FROM task WHERE environment = $1 AND run = $2 AND state = 'waiting' AND waiting = 0 ORDER BY task, idx`, environment, id)
	return scanAll(rows, err, func(r *sql.Rows) (Command, error) {
		c := Command{Ref: run.Ref{Environment: environment, Run: id}, Event: run.Started{}, Actor: "ledger"}
		return c, r.Scan(&c.Task, &c.Index)
	})
}

func (tx *Tx) cancelOpen(n NewRun) error {
	rows, err := tx.query(`SELECT run FROM run WHERE environment = $1 AND pipeline = $2 AND backfill = $3 AND run <> $4 AND state IN ('queued', 'running')`,
		n.Environment, n.Pipeline, n.Backfill, n.ID)
	open, err := scanAll(rows, err, scanText)
	if err != nil {
		return err
	}
	for _, id := range open {
		if err := tx.cancelRun(n.Environment, id, "overlap: cancel"); err != nil {
			return err
		}
	}
	return nil
}

func scanText(r *sql.Rows) (string, error) {
	var s string
	return s, r.Scan(&s)
}

// runEnded follows the end of a run: the next one's turn, and a backfill's end.
func (tx *Tx) runEnded(h run.Header, state run.State) ([]Command, error) {
	tx.note.Ended = append(tx.note.Ended, RunRef{Environment: h.Environment, Run: h.ID})
	tx.note.Slots = true // overlap policies wait for it
	if err := tx.exec(`UPDATE pipeline SET wake_us = $3 WHERE environment = $1 AND pipeline = $2 AND bundle <> ''
		AND EXISTS (SELECT 1 FROM slot WHERE environment = $1 AND pipeline = $2 AND state IN ('queued', 'held'))`,
		h.Environment, h.Pipeline, us(tx.now)); err != nil {
		return nil, err
	}
	if state == run.Succeeded { // incidents of the run as a whole, such as late
		if err := tx.leave(h.Environment, h.Pipeline, "", h.Window, "run "+h.ID+" succeeded"); err != nil {
			return nil, err
		}
		if err := tx.unblock(h.Environment, h.ID); err != nil {
			return nil, err
		}
	}
	var backfill string
	if err := tx.queryRow(`SELECT backfill FROM run WHERE environment = $1 AND run = $2`, h.Environment, h.ID).Scan(&backfill); err != nil {
		return nil, err
	}
	if backfill != "" {
		if err := tx.settleBackfill(h.Environment, backfill); err != nil {
			return nil, err
		}
	}
	return tx.startQueued(h.Environment, h.Pipeline, backfill)
}

// published extends what tables cover, and wakes the tasks that waited for it.
func (tx *Tx) published(ref run.Ref, tables []commit.TableCommit) ([]Command, error) {
	var commands []Command
	for _, t := range tables {
		if t.Window.IsZero() {
			continue
		}
		woken, err := tx.cover(ref.Environment, t.Table.String(), t.Window)
		if err != nil {
			return nil, err
		}
		commands = append(commands, woken...)
	}
	return commands, nil
}

// cover adds an interval to what a target covers and returns the tasks that waited for it.
func (tx *Tx) cover(environment, target string, w commit.Window) ([]Command, error) {
	start, end := us(w.Start), us(w.End)
	rows, err := tx.query(`SELECT start_us, end_us FROM published WHERE environment = $1 AND target = $2 AND start_us <= $4 AND end_us >= $3`,
		environment, target, start, end)
	touching, err := scanAll(rows, err, func(r *sql.Rows) ([2]int64, error) {
		var i [2]int64
		return i, r.Scan(&i[0], &i[1])
	})
	if err != nil {
		return nil, err
	}
	for _, i := range touching {
		start, end = min(start, i[0]), max(end, i[1])
		if err := tx.exec(`DELETE FROM published WHERE environment = $1 AND target = $2 AND start_us = $3`, environment, target, i[0]); err != nil {
			return nil, err
		}
	}
	if err := tx.exec(`INSERT INTO published (environment, target, start_us, end_us) VALUES ($1, $2, $3, $4)`, environment, target, start, end); err != nil {
		return nil, err
	}
	return tx.wake(environment, target, start, end)
}

func (tx *Tx) wake(environment, target string, start, end int64) ([]Command, error) {
	rows, err := tx.query(`SELECT run, task, idx FROM wait WHERE environment = $1 AND target = $2 AND start_us >= $3 AND end_us <= $4 ORDER BY run, task, idx`,
		environment, target, start, end)
	table, _ := project.ParseTable(target)
	commands, err := scanAll(rows, err, func(r *sql.Rows) (Command, error) {
		c := Command{Ref: run.Ref{Environment: environment}, Event: run.Covered{Table: table}, Actor: "ledger"}
		return c, r.Scan(&c.Run, &c.Task, &c.Index)
	})
	if err != nil {
		return nil, err
	}
	for _, c := range commands {
		if err := tx.exec(`DELETE FROM wait WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4 AND target = $5`,
			environment, c.Run, c.Task, c.Index, target); err != nil {
			return nil, err
		}
		if err := tx.unblock(environment, c.Run); err != nil {
			return nil, err
		}
	}
	return commands, nil
}

func (tx *Tx) covered(environment, target string, w commit.Window) (bool, error) {
	if !w.Start.Before(w.End) {
		return true, nil
	}
	var n int
	err := tx.queryRow(`SELECT count(*) FROM published WHERE environment = $1 AND target = $2 AND start_us <= $3 AND end_us >= $4`,
		environment, target, us(w.Start), us(w.End)).Scan(&n)
	return n > 0, err
}

// cancelRun asks every open task of a run to end.
func (tx *Tx) cancelRun(environment, id, by string) error {
	if err := tx.exec(`UPDATE run SET cancel_by = $3, state = CASE state WHEN 'queued' THEN 'running' ELSE state END WHERE environment = $1 AND run = $2`,
		environment, id, by); err != nil {
		return err
	}
	rows, err := tx.query(`SELECT task, idx FROM task WHERE environment = $1 AND run = $2
		AND state IN ('waiting', 'ready', 'claimed', 'running', 'backoff') ORDER BY task, idx`, environment, id)
	commands, err := scanAll(rows, err, func(r *sql.Rows) (Command, error) {
		c := Command{Ref: run.Ref{Environment: environment, Run: id}, Event: run.CancelRequested{By: by}, Actor: by}
		return c, r.Scan(&c.Task, &c.Index)
	})
	if err != nil {
		return err
	}
	// The last tasks first: a task that ends cancelled would end those behind it as upstream_failed.
	slices.Reverse(commands)
	for _, c := range commands {
		if err := tx.step(c); err != nil && !isRace(err) {
			return err
		}
	}
	return nil
}
