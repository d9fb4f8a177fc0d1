package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/slot"
	"github.com/tidemill/tidemill/internal/ledger/read"
)

// Activate makes a bundle the live version of an environment. Of pipelines that it
// lacks what has not started is decided once more; their history stays. Limits are
// the capacities of what is limited, by name.
func (l *Ledger) Activate(ctx context.Context, environment, bundle string, pipelines []string, limits map[string]int) error {
	return l.write(ctx, func(tx *Tx) error {
		if err := tx.exec(`INSERT INTO bundle (environment, hash, created_us) VALUES ($1, $2, $3) ON CONFLICT (environment, hash) DO NOTHING`,
			environment, bundle, us(tx.now)); err != nil {
			return err
		}
		if err := tx.exec(`UPDATE pipeline SET bundle = '', wake_us = NULL WHERE environment = $1`, environment); err != nil {
			return err
		}
		for _, p := range pipelines {
			if err := tx.exec(`INSERT INTO pipeline (environment, pipeline, bundle, wake_us) VALUES ($1, $2, $3, $4)
				ON CONFLICT (environment, pipeline) DO UPDATE SET bundle = excluded.bundle, wake_us = excluded.wake_us`,
				environment, p, bundle, us(tx.now)); err != nil {
				return err
			}
		}
		tx.note.Slots = true
		if err := tx.exec(`UPDATE pipeline SET wake_us = $2 WHERE environment = $1 AND bundle = ''
			AND EXISTS (SELECT 1 FROM slot s WHERE s.environment = pipeline.environment AND s.pipeline = pipeline.pipeline
				AND s.state IN ('expected', 'queued', 'held'))`, environment, us(tx.now)); err != nil {
			return err
		}
		return tx.setLimits(environment, limits)
	})
}

// Due lists the pipelines whose slots must be decided now, and when the next one must be.
func (l *Ledger) Due(ctx context.Context, environment string) (pipelines []string, next time.Time, err error) {
	now := us(l.Now())
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT pipeline FROM pipeline WHERE environment = $1 AND wake_us <= $2 ORDER BY wake_us, pipeline`), environment, now)
	if pipelines, err = scanAll(rows, err, scanText); err != nil {
		return nil, time.Time{}, err
	}
	var wake sql.NullInt64
	err = l.reader.QueryRowContext(ctx, l.engine.Text(`SELECT min(wake_us) FROM pipeline WHERE environment = $1 AND wake_us > $2`), environment, now).Scan(&wake)
	return pipelines, optionalAt(wake), err
}

// Decider decides from what the ledger knows. It fills in what only files know.
type Decider func(p slot.Pipeline, now time.Time) (slot.Decision, error)

// Decide loads a pipeline, asks decide, and writes the decision together with
// the runs that it starts, in one transaction (I1).
func (l *Ledger) Decide(ctx context.Context, environment, pipeline string, decide Decider, newRun func(slot.Slot) NewRun) (slot.Decision, error) {
	var d slot.Decision
	err := l.write(ctx, func(tx *Tx) error {
		p, err := tx.slotPipeline(environment, pipeline)
		if err != nil {
			return err
		}
		if d, err = decide(p, tx.now); err != nil {
			return err
		}
		return tx.saveDecision(environment, pipeline, d, newRun)
	})
	return d, err
}

func (tx *Tx) slotPipeline(environment, pipeline string) (slot.Pipeline, error) {
	var p slot.Pipeline
	var seen, mark, start, end sql.NullInt64
	var paused int
	var note string
	err := tx.queryRow(`SELECT schedule, seen_us, mark_us, newest_start_us, newest_end_us, paused, paused_note FROM pipeline
		WHERE environment = $1 AND pipeline = $2`+tx.ledger.engine.ForUpdate, environment, pipeline).
		Scan(&p.Known, &seen, &mark, &start, &end, &paused, &note)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.New(fault.NotFound, "no pipeline %s", pipeline)
	}
	if err != nil {
		return p, err
	}
	p.Seen, p.Mark, p.Paused = optionalAt(seen), optionalAt(mark), paused != 0
	p.Newest = calendar.Window{Start: optionalAt(start), End: optionalAt(end)}
	rows, err := tx.query(`SELECT due_us, start_us, end_us, state, reason, first_us, into_us, schedule FROM slot
		WHERE environment = $1 AND pipeline = $2 AND (state IN ('expected', 'queued', 'held') OR state = 'skipped' AND reason = $3) ORDER BY due_us`,
		environment, pipeline, slot.ReasonPaused)
	open, err := scanAll(rows, err, read.ScanSlot)
	if err != nil {
		return p, err
	}
	for _, s := range open {
		switch s.State {
		case slot.Expected:
			p.Future = s
		case slot.Queued, slot.Held:
			p.Waiting = append(p.Waiting, s)
		default:
			p.Suspended = append(p.Suspended, s)
		}
	}
	rows, err = tx.query(`SELECT run, start_us, end_us, cancel_by FROM run
		WHERE environment = $1 AND pipeline = $2 AND kind = 'scheduled' AND state IN ('queued', 'running') ORDER BY start_us`, environment, pipeline)
	p.Running, err = scanAll(rows, err, func(r *sql.Rows) (slot.Run, error) {
		var one slot.Run
		var start, end int64
		var by string
		err := r.Scan(&one.ID, &start, &end, &by)
		one.Window, one.Cancelling = calendar.Window{Start: at(start), End: at(end)}, by != ""
		return one, err
	})
	return p, err
}

func (tx *Tx) saveDecision(environment, pipeline string, d slot.Decision, newRun func(slot.Slot) NewRun) error {
	runs := map[int64]string{}
	for _, s := range d.Start {
		runs[us(s.Due)] = NewID(tx.now)
	}
	for _, s := range d.Write {
		if err := tx.exec(`INSERT INTO slot (environment, pipeline, due_us, start_us, end_us, state, reason, first_us, into_us, schedule, run)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (environment, pipeline, due_us) DO UPDATE SET start_us = excluded.start_us, end_us = excluded.end_us, state = excluded.state,
				reason = excluded.reason, first_us = excluded.first_us, into_us = excluded.into_us, schedule = excluded.schedule, run = excluded.run`,
			environment, pipeline, us(s.Due), us(s.Window.Start), us(s.Window.End), s.State, s.Reason,
			optionalUS(s.First), optionalUS(s.Into), s.Schedule, runs[us(s.Due)]); err != nil {
			return err
		}
	}
	if err := tx.tellOfMissed(environment, pipeline, d.Missed, newRun); err != nil {
		return err
	}
	if err := tx.exec(`UPDATE pipeline SET schedule = $3, seen_us = $4, mark_us = $5, newest_start_us = $6, newest_end_us = $7, wake_us = $8
		WHERE environment = $1 AND pipeline = $2`,
		environment, pipeline, d.Known, optionalUS(d.Seen), optionalUS(d.Mark), optionalUS(d.Newest.Start), optionalUS(d.Newest.End), optionalUS(d.Wake)); err != nil {
		return err
	}
	for _, c := range d.Cancel {
		if err := tx.cancelRun(environment, c.Run, c.Reason); err != nil {
			return err
		}
	}
	for _, s := range d.Start {
		n := newRun(s)
		n.ID, n.Kind, n.Due, n.Environment, n.Pipeline = runs[us(s.Due)], KindScheduled, s.Due, environment, pipeline
		n.Window = s.Window
		if err := tx.createRun(n); err != nil {
			return err
		}
	}
	return nil
}

// tellOfMissed opens or extends the incident of slots that nobody ran. Each
// belongs to it until a success covers its window.
func (tx *Tx) tellOfMissed(environment, pipeline string, missed []slot.Slot, newRun func(slot.Slot) NewRun) error {
	for _, s := range missed {
		if err := tx.report(Report{
			Environment: environment, Kind: "missed_slot", Severity: "warning", Pipeline: pipeline, Owner: newRun(s).Owner,
			Run: pipeline + "@" + s.Due.UTC().Format(time.RFC3339), Window: s.Window, Summary: slot.Gap([]slot.Slot{s}),
		}); err != nil {
			return err
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return tx.sumUpMissed(environment, pipeline)
}

// sumUpMissed lets the open incident of missed slots, if there is one, say how many
// of them are not made up for.
func (tx *Tx) sumUpMissed(environment, pipeline string) error {
	rows, err := tx.query(`SELECT s.due_us, s.start_us, s.end_us, s.state, s.reason, s.first_us, s.into_us, s.schedule FROM incident i
			JOIN incident_run x ON x.environment = i.environment AND x.incident = i.incident AND x.left_us IS NULL
			JOIN slot s ON s.environment = i.environment AND s.pipeline = i.pipeline AND s.state IN ('missed', 'blocked') AND s.start_us = x.start_us AND s.end_us = x.end_us
		WHERE i.environment = $1 AND i.pipeline = $2 AND i.kind = 'missed_slot' AND i.state <> 'resolved' ORDER BY s.due_us`, environment, pipeline)
	left, err := scanAll(rows, err, read.ScanSlot)
	if err != nil || len(left) == 0 {
		return err
	}
	return tx.exec(`UPDATE incident SET summary = $3 WHERE environment = $1 AND pipeline = $2 AND kind = 'missed_slot' AND state <> 'resolved'`,
		environment, pipeline, slot.Gap(left))
}

// SetPaused pauses or resumes a pipeline, with a note of who and why. Its slots are decided anew at once.
func (l *Ledger) SetPaused(ctx context.Context, environment, pipeline string, paused bool, by, note string) error {
	return l.write(ctx, func(tx *Tx) error {
		n, err := tx.execCount(`UPDATE pipeline SET paused = $3, paused_by = $4, paused_note = $5, paused_us = $6, wake_us = $6
			WHERE environment = $1 AND pipeline = $2`, environment, pipeline, flag(paused), by, note, us(tx.now))
		if err == nil && n == 0 {
			return fault.New(fault.NotFound, "no pipeline %s", pipeline)
		}
		tx.note.Slots = true
		return err
	})
}

// moveMark moves the mark of an unscheduled pipeline to the end of a manual run's window.
func (tx *Tx) moveMark(environment, pipeline string, w commit.Window) error {
	return tx.exec(`UPDATE pipeline SET mark_us = $3, newest_start_us = $4, newest_end_us = $3 WHERE environment = $1 AND pipeline = $2`,
		environment, pipeline, us(w.End), us(w.Start))
}

// CreateManual creates a run whose window choose picks from what the ledger
// knows of the pipeline; moves says that the mark goes to the window's end.
func (l *Ledger) CreateManual(ctx context.Context, n NewRun, choose func(p slot.Pipeline, now time.Time) (w calendar.Window, tasks []NewTask, moves bool, err error)) (commit.Window, error) {
	var chosen commit.Window
	err := l.write(ctx, func(tx *Tx) error {
		p, err := tx.slotPipeline(n.Environment, n.Pipeline)
		if err != nil {
			return err
		}
		w, tasks, moves, err := choose(p, tx.now)
		if err != nil {
			return err
		}
		chosen, n.Tasks = w, tasks
		if moves {
			if err := tx.moveMark(n.Environment, n.Pipeline, chosen); err != nil {
				return err
			}
		}
		n.Window = chosen
		return tx.createRun(n)
	})
	return chosen, err
}
