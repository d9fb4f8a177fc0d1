package ledger

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger/read"
)

// stuckRuns are scheduled runs of which nothing can go on, because a target does
// not cover a window. There are few waits, and they lead to the runs.
const stuckRuns = ` FROM wait w JOIN run r ON r.environment = w.environment AND r.run = w.run
		JOIN slot s ON s.environment = r.environment AND s.pipeline = r.pipeline AND s.due_us = r.due_us AND s.run = r.run
	WHERE w.environment = $1 AND r.kind = 'scheduled' AND r.state = 'running' AND r.cancel_by = ''
		AND NOT EXISTS (SELECT 1 FROM task t WHERE t.environment = r.environment AND t.run = r.run
			AND t.state IN ('ready', 'claimed', 'running', 'backoff', 'cancelling', 'closing'))`

// StuckRun is a scheduled run that cannot go on, with its slot and the first thing
// that it waits for.
type StuckRun struct {
	RunRef
	Pipeline string
	Slot     slot.Slot
	Wait     Wait
}

// Stuck lists the scheduled runs that cannot go on.
func (l *Ledger) Stuck(ctx context.Context, environment string) ([]StuckRun, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT r.environment, r.run, r.pipeline, s.due_us, s.start_us, s.end_us, s.state, s.reason,
		w.target, w.start_us, w.end_us`+stuckRuns+` ORDER BY r.due_us, r.run, w.task, w.target`), environment)
	all, err := scanAll(rows, err, func(r *sql.Rows) (StuckRun, error) {
		var one StuckRun
		var due, start, end, from, to int64
		err := r.Scan(&one.Environment, &one.Run, &one.Pipeline, &due, &start, &end, &one.Slot.State, &one.Slot.Reason, &one.Wait.Target, &from, &to)
		one.Slot.Due, one.Slot.Window = at(due), calendar.Window{Start: at(start), End: at(end)}
		one.Wait.Window = commit.Window{Start: at(from), End: at(to)}
		return one, err
	})
	var out []StuckRun
	for _, one := range all {
		if len(out) == 0 || out[len(out)-1].Run != one.Run {
			out = append(out, one)
		}
	}
	return out, err
}

// Block asks judge about the slot of a run, if that still cannot go on: what it
// waits for may have come since it was looked at. A run that is given up is
// cancelled, and its slot joins the incident of the missed ones.
func (l *Ledger) Block(ctx context.Context, stuck StuckRun, owner string, judge func(s slot.Slot, now time.Time) (after slot.Slot, givenUp bool)) error {
	return l.write(ctx, func(tx *Tx) error {
		if _, err := tx.header(stuck.Environment, stuck.Run); err != nil { // locks it
			return err
		}
		var still int
		if err := tx.queryRow(`SELECT count(*)`+stuckRuns+` AND r.run = $2`, stuck.Environment, stuck.Run).Scan(&still); err != nil || still == 0 {
			return err
		}
		rows, err := tx.query(`SELECT due_us, start_us, end_us, state, reason, first_us, into_us, schedule FROM slot
			WHERE environment = $1 AND pipeline = $2 AND due_us = $3 AND run = $4`, stuck.Environment, stuck.Pipeline, us(stuck.Slot.Due), stuck.Run)
		found, err := scanAll(rows, err, read.ScanSlot)
		if err != nil || len(found) == 0 {
			return err
		}
		after, givenUp := judge(found[0], tx.now)
		if after.State == found[0].State && after.Reason == found[0].Reason {
			return nil
		}
		if err := tx.exec(`UPDATE slot SET state = $4, reason = $5 WHERE environment = $1 AND pipeline = $2 AND due_us = $3`,
			stuck.Environment, stuck.Pipeline, us(after.Due), after.State, after.Reason); err != nil || !givenUp {
			return err
		}
		if err := tx.tellOfMissed(stuck.Environment, stuck.Pipeline, []slot.Slot{after}, func(slot.Slot) NewRun { return NewRun{Owner: owner} }); err != nil {
			return err
		}
		return tx.cancelRun(stuck.Environment, stuck.Run, "the end of its look-back")
	})
}

// unblock follows a run that goes on after all.
func (tx *Tx) unblock(environment, id string) error {
	return tx.exec(`UPDATE slot SET state = 'ran', reason = '' WHERE environment = $1 AND state = 'blocked' AND run = $2
		AND pipeline = (SELECT pipeline FROM run WHERE environment = $1 AND run = $2)
		AND due_us = (SELECT due_us FROM run WHERE environment = $1 AND run = $2)`, environment, id)
}
