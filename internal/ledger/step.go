package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// Command is one event for one task.
type Command struct {
	run.Ref
	Event  run.Event
	Actor  string     // who says so: a session, "scheduler", or a person
	Result run.Result // what an attempt reports with its end
}

// Step applies commands in order, each on its own: errs[i] is run.ErrStale,
// run.ErrIllegal or nil for commands[i]. The second result is an error of the
// database, after which nothing is applied.
func (l *Ledger) Step(ctx context.Context, commands ...Command) (errs []error, err error) {
	err = l.write(ctx, func(tx *Tx) error {
		var err error
		errs, err = tx.each(commands)
		return err
	})
	return errs, err
}

func (tx *Tx) each(commands []Command) ([]error, error) {
	errs := make([]error, len(commands))
	for i, c := range commands {
		errs[i] = tx.step(c)
		if errs[i] != nil && !errors.Is(errs[i], run.ErrStale) && !errors.Is(errs[i], run.ErrIllegal) {
			return nil, fmt.Errorf("%s of %s: %w", run.Name(c.Event), c.Ref, errs[i])
		}
	}
	return errs, nil
}

// step applies one command and everything that follows from it inside the ledger.
func (tx *Tx) step(c Command) error {
	queue := []Command{c}
	for first := true; len(queue) > 0; first = false {
		c := queue[0]
		queue = queue[1:]
		more, err := tx.apply(c)
		if err != nil {
			// A dependant that no longer waits does not care.
			if !first && errors.Is(err, run.ErrIllegal) {
				continue
			}
			return err
		}
		queue = append(queue, more...)
	}
	return nil
}

func (tx *Tx) apply(c Command) ([]Command, error) {
	before, err := tx.snapshot(c.Ref)
	if err != nil {
		return nil, err
	}
	after, effects, err := run.Apply(before, c.Event, tx.now)
	if err != nil {
		return nil, err
	}
	if err := tx.saveTask(c.Ref, before.Task, after.Task); err != nil {
		return nil, err
	}
	if err := tx.saveHeader(before.Run, after.Run); err != nil {
		return nil, err
	}
	if err := tx.saveAttempt(c, before, after); err != nil {
		return nil, err
	}
	if err := tx.saveEvent(c, before.Task, after.Task); err != nil {
		return nil, err
	}
	if was, is := before.Task.State.Held(), after.Task.State.Held(); was != is && before.Task.Limited {
		sign := 1
		if was {
			sign = -1
		}
		if err := tx.take(c.Ref, sign); err != nil {
			return nil, err
		}
	}
	return tx.follow(c, after, effects)
}

// follow turns effects into rows and further commands.
func (tx *Tx) follow(c Command, s run.Snapshot, effects []run.Effect) ([]Command, error) {
	var more []Command
	offered := false
	for _, effect := range effects {
		var err error
		var commands []Command
		switch e := effect.(type) {
		case run.Offer:
			offered = true
			err = tx.offer(c.Ref, s, e.At)
		case run.Stop:
			tx.note.Stops = append(tx.note.Stops, StopOrder{e.Session, e.Epoch})
		case run.Ended:
			commands, err = tx.dependants(c.Ref, e.State)
		case run.Published:
			commands, err = tx.published(c.Ref, e.Tables)
		case run.RunEnded:
			commands, err = tx.runEnded(s.Run, e.State)
		case run.Tell:
			err = tx.tell(c.Ref, s.Run, e)
		}
		if err != nil {
			return nil, err
		}
		more = append(more, commands...)
	}
	if !offered && s.Task.State != run.TaskReady && s.Task.State != run.TaskBackoff {
		if err := tx.withdraw(c.Ref, s.Task.Limited); err != nil {
			return nil, err
		}
	}
	if s.Task.State.Good() {
		woken, err := tx.wake(c.Environment, PreviousTarget(s.Run.Pipeline, c.Task), us(s.Run.Window.Start), us(s.Run.Window.End))
		if err != nil {
			return nil, err
		}
		more = append(more, woken...)
	}
	if s.Task.State == run.TaskSucceeded {
		return more, tx.recovered(c.Ref, s.Run)
	}
	return more, nil
}

func (tx *Tx) dependants(ref run.Ref, state run.TaskState) ([]Command, error) {
	if err := tx.exec(`DELETE FROM wait WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`,
		ref.Environment, ref.Run, ref.Task, ref.Index); err != nil {
		return nil, err
	}
	rows, err := tx.query(`SELECT next FROM edge WHERE environment = $1 AND run = $2 AND task = $3 ORDER BY next`,
		ref.Environment, ref.Run, ref.Task)
	return scanAll(rows, err, func(r *sql.Rows) (Command, error) {
		c := Command{Ref: ref, Event: run.UpstreamEnded{Task: ref.Task, State: state}, Actor: "ledger"}
		c.Index = 0
		return c, r.Scan(&c.Task)
	})
}

// offer puts a task where claims look for work.
func (tx *Tx) offer(ref run.Ref, s run.Snapshot, when timeValue) error {
	if tx.note.Offered.IsZero() || when.Before(tx.note.Offered) {
		tx.note.Offered = when
	}
	if s.Task.Limited { // it may stand in a queue, and what is offered now may need nothing of it
		if err := tx.withdraw(ref, true); err != nil {
			return err
		}
	}
	turn, err := tx.turnOf(s.Run, s.Task)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO ready (rank_us, environment, run, task, idx, turn) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (environment, run, task, idx) DO UPDATE SET rank_us = excluded.rank_us`,
		us(s.Task.ReadyAt), ref.Environment, ref.Run, ref.Task, ref.Index, turn)
}

func (tx *Tx) snapshot(ref run.Ref) (run.Snapshot, error) {
	h, err := tx.header(ref.Environment, ref.Run)
	if err != nil {
		return run.Snapshot{}, err
	}
	t := run.Task{Name: ref.Task, Index: ref.Index}
	var upstream string
	var ready sql.NullInt64
	var suspect, unclosed, limited int
	var backoffUS int64
	err = tx.queryRow(`SELECT state, generation, attempt, epoch, session, failures, losses, suspect, unclosed,
			waiting, upstream, condition, retry_if, retries, backoff_us, ready_us, reason, kind, ending, priority, limited
		FROM task WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`,
		ref.Environment, ref.Run, ref.Task, ref.Index).
		Scan(&t.State, &t.Generation, &t.Attempt, &t.Epoch, &t.Session, &t.Failures, &t.Losses, &suspect, &unclosed,
			&t.Waiting, &upstream, &t.When, &t.RetryIf, &t.Retries, &backoffUS, &ready, &t.Reason, &t.Kind, &t.Ending, &t.Priority, &limited)
	if errors.Is(err, sql.ErrNoRows) {
		return run.Snapshot{}, fault.New(fault.NotFound, "no task %s in run %s", ref.Task, ref.Run)
	}
	if err != nil {
		return run.Snapshot{}, err
	}
	t.Suspect, t.Unclosed, t.Limited, t.ReadyAt, t.Backoff = suspect != 0, unclosed != 0, limited != 0, optionalAt(ready), microseconds(backoffUS)
	if err := json.Unmarshal([]byte(upstream), &t.Upstream); err != nil {
		return run.Snapshot{}, fault.New(fault.Internal, "upstream of %s: %w", ref, err)
	}
	return run.Snapshot{Run: h, Task: t}, nil
}

func (tx *Tx) header(environment, id string) (run.Header, error) {
	h := run.Header{Environment: environment, ID: id}
	var start, end int64
	err := tx.queryRow(`SELECT pipeline, owner, bundle, start_us, end_us, state, open, bad, cancelled, cancel_by
		FROM run WHERE environment = $1 AND run = $2`+tx.ledger.engine.ForUpdate, environment, id).
		Scan(&h.Pipeline, &h.Owner, &h.Bundle, &start, &end, &h.State, &h.Open, &h.Bad, &h.Cancelled, &h.CancelBy)
	if errors.Is(err, sql.ErrNoRows) {
		return h, fault.New(fault.NotFound, "no run %s", id)
	}
	h.Window = commit.Window{Start: at(start), End: at(end)}
	return h, err
}

// saveTask writes the row if it is still as it was read: the guard of I2.
func (tx *Tx) saveTask(ref run.Ref, was, t run.Task) error {
	upstream, err := json.Marshal(t.Upstream)
	if err != nil {
		return fault.New(fault.Internal, "upstream of %s: %w", ref, err)
	}
	began, ended := sql.NullInt64{}, sql.NullInt64{}
	if t.State == run.TaskRunning && was.State == run.TaskClaimed {
		began = optionalUS(tx.now)
	}
	if t.State.Terminal() {
		ended = optionalUS(tx.now)
	}
	n, err := tx.execCount(`UPDATE task SET state = $5, generation = $6, attempt = $7, epoch = $8, session = $9, failures = $10,
			losses = $11, suspect = $12, unclosed = $13, waiting = $14, upstream = $15, ready_us = $16, reason = $17, kind = $18,
			ending = $19, began_us = coalesce($20, began_us), ended_us = $21
		WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4 AND state = $22 AND attempt = $23 AND epoch = $24`,
		ref.Environment, ref.Run, ref.Task, ref.Index, t.State, t.Generation, t.Attempt, t.Epoch, t.Session, t.Failures,
		t.Losses, flag(t.Suspect), flag(t.Unclosed), t.Waiting, string(upstream), optionalUS(t.ReadyAt), t.Reason, t.Kind,
		t.Ending, began, ended, was.State, was.Attempt, was.Epoch)
	if err == nil && n == 0 {
		return run.ErrStale
	}
	return err
}

func (tx *Tx) saveHeader(was, h run.Header) error {
	if was == h {
		return nil
	}
	ended := sql.NullInt64{}
	if h.State.Terminal() {
		ended = optionalUS(tx.now)
	}
	return tx.exec(`UPDATE run SET state = $3, open = $4, bad = $5, cancelled = $6, cancel_by = $7, ended_us = $8
		WHERE environment = $1 AND run = $2`,
		h.Environment, h.ID, h.State, h.Open, h.Bad, h.Cancelled, h.CancelBy, ended)
}

func (tx *Tx) saveEvent(c Command, was, t run.Task) error {
	seq, err := tx.next("event")
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO event (seq, at_us, environment, run, task, idx, attempt, epoch, actor, name, was, became, cause)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		seq, us(tx.now), c.Environment, c.Run, c.Task, c.Index, t.Attempt, t.Epoch, c.Actor, run.Name(c.Event), was.State, t.State, t.Reason)
}
