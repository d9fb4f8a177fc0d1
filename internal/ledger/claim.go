package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/run"
)

// Claim gives up to most ready tasks to a session, the longest-waiting first.
// A task whose worker crashed under it is given only to an idle session, alone.
// The error is run.ErrStale where the session is not open.
func (l *Ledger) Claim(ctx context.Context, session string, most int, idle bool) ([]run.Grant, error) {
	_, grants, open, err := l.Exchange(ctx, session, nil, most, idle)
	if err == nil && !open {
		err = run.ErrStale
	}
	return grants, err
}

// Exchange applies what a session tells, as Step does, and then gives it work, as
// Claim does, in one transaction. A session that is not open gets nothing; what it
// tells is judged all the same.
func (l *Ledger) Exchange(ctx context.Context, session string, news []Command, most int, idle bool) (errs []error, grants []run.Grant, open bool, err error) {
	err = l.write(ctx, func(tx *Tx) error {
		var err error
		if errs, err = tx.each(news); err != nil {
			return err
		}
		var sessions int
		if err := tx.queryRow(`SELECT count(*) FROM session WHERE session = $1 AND state = 'open'`, session).Scan(&sessions); err != nil {
			return err
		}
		if grants, open = nil, sessions > 0; open && most > 0 {
			grants, err = tx.give(session, most, idle)
		}
		return err
	})
	return errs, grants, open, err
}

// give claims ready tasks for a session, in turn. What finds a limit full moves to
// its queue and is not looked at again until there is room.
func (tx *Tx) give(session string, most int, idle bool) (grants []run.Grant, err error) {
	type candidate struct {
		run.Ref
		turn int64
	}
	defer func() { tx.parked = nil }() // other requests of the transaction see no queue as ours
	passed := map[run.Ref]bool{}       // for an idle session alone, or another one was quicker
	for last := false; !last && len(grants) < most; {
		page := most + 8 + len(passed)
		rows, err := tx.query(`SELECT environment, run, task, idx, turn FROM ready WHERE held = '' AND rank_us <= $1 ORDER BY turn, run, task, idx LIMIT $2`,
			us(tx.now), page)
		found, err := scanAll(rows, err, func(r *sql.Rows) (candidate, error) {
			var c candidate
			return c, r.Scan(&c.Environment, &c.Run, &c.Task, &c.Index, &c.turn)
		})
		if err != nil {
			return nil, err
		}
		last = len(found) < page
		for _, c := range found {
			if len(grants) == most {
				break
			}
			if passed[c.Ref] {
				continue
			}
			g, held, alone, err := tx.claim(c.Ref, c.turn, session, idle && len(grants) == 0)
			switch {
			case err != nil:
				return nil, err
			case alone:
				return append(grants, *g), nil
			case g != nil:
				grants = append(grants, *g)
			case held:
				last = false // others may have come out of a queue
			default:
				passed[c.Ref] = true
			}
		}
	}
	return grants, nil
}

func (tx *Tx) claim(ref run.Ref, turn int64, session string, idle bool) (grant *run.Grant, held, alone bool, err error) {
	s, err := tx.snapshot(ref)
	if err != nil {
		return nil, false, false, err
	}
	if s.Task.Suspect && !idle {
		return nil, false, false, nil
	}
	if s.Task.Limited && s.Task.State != run.TaskClosing {
		name, err := tx.full(ref, turn)
		if err != nil || name != "" {
			if err == nil {
				err = tx.hold(ref, name)
			}
			return nil, true, false, err
		}
	}
	if s.Task.State == run.TaskBackoff {
		if err := tx.step(Command{Ref: ref, Event: run.Elapsed{}, Actor: "ledger"}); err != nil {
			return nil, false, false, err
		}
	}
	epoch, err := tx.next("epoch")
	if err != nil {
		return nil, false, false, err
	}
	err = tx.step(Command{Ref: ref, Event: run.Claimed{Session: session, Epoch: epoch}, Actor: session})
	if errors.Is(err, run.ErrIllegal) || errors.Is(err, run.ErrStale) {
		return nil, false, false, tx.exec(`DELETE FROM ready WHERE environment = $1 AND run = $2 AND task = $3 AND idx = $4`,
			ref.Environment, ref.Run, ref.Task, ref.Index)
	}
	if err == nil {
		err = tx.started(turn, s.Task.Priority)
	}
	if err != nil {
		return nil, false, false, err
	}
	g := &run.Grant{
		Ref: ref, Epoch: epoch, Attempt: s.Task.Attempt + 1, Generation: s.Task.Generation,
		Closing: s.Task.State == run.TaskClosing, Suspect: s.Task.Suspect,
		Pipeline: s.Run.Pipeline, Bundle: s.Run.Bundle, Window: s.Run.Window,
	}
	return g, false, s.Task.Suspect, tx.fillGrant(g)
}

func (tx *Tx) fillGrant(g *run.Grant) error {
	var due sql.NullInt64
	var live int
	var params string
	if err := tx.queryRow(`SELECT kind, due_us, live, params FROM run WHERE environment = $1 AND run = $2`, g.Environment, g.Run).
		Scan(&g.Kind, &due, &live, &params); err != nil {
		return err
	}
	g.Due, g.Live, g.Params = optionalAt(due), live != 0, json.RawMessage(params)
	var newer int
	if err := tx.queryRow(`SELECT count(*) FROM run WHERE environment = $1 AND pipeline = $2 AND end_us > $3 AND state IN ('running', 'succeeded')`,
		g.Environment, g.Pipeline, us(g.Window.End)).Scan(&newer); err != nil {
		return err
	}
	g.Newest = newer == 0
	rows, err := tx.query(`SELECT task, idx, name, value FROM value WHERE environment = $1 AND run = $2 ORDER BY task, idx, name`, g.Environment, g.Run)
	g.Values, err = scanAll(rows, err, func(r *sql.Rows) (run.Value, error) {
		var v run.Value
		var text string
		err := r.Scan(&v.Task, &v.Index, &v.Name, &text)
		v.Value = json.RawMessage(text)
		return v, err
	})
	return err
}

// NextReady returns when the next task can be claimed; zero: none waits for a time.
func (l *Ledger) NextReady(ctx context.Context) (time.Time, error) {
	var rank sql.NullInt64
	err := l.reader.QueryRowContext(ctx, `SELECT min(rank_us) FROM ready WHERE held = ''`).Scan(&rank)
	return optionalAt(rank), err
}
