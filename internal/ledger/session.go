package ledger

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tidemill/tidemill/internal/core/run"
)

// Session is a worker's presence.
type Session struct {
	ID      string `json:"id"`
	Worker  string `json:"worker"`
	Version string `json:"version"`
	Slots   int    `json:"slots"`
}

// OpenSession records that a worker has come. Repeating it is harmless.
func (l *Ledger) OpenSession(ctx context.Context, s Session) error {
	return l.write(ctx, func(tx *Tx) error {
		return tx.exec(`INSERT INTO session (session, worker, version, slots, state, began_us) VALUES ($1, $2, $3, $4, 'open', $5)
			ON CONFLICT (session) DO NOTHING`, s.ID, s.Worker, s.Version, s.Slots, us(tx.now))
	})
}

// EndSession records that a worker is gone, and that what it held is lost. It
// returns how many attempts were. Crashed: the worker died of its own.
func (l *Ledger) EndSession(ctx context.Context, session, reason string, crashed bool) (int, error) {
	lost := 0
	err := l.write(ctx, func(tx *Tx) error {
		lost = 0
		if err := tx.exec(`UPDATE session SET state = 'ended', ended_us = $2, reason = $3 WHERE session = $1 AND state = 'open'`,
			session, us(tx.now), reason); err != nil {
			return err
		}
		held, err := tx.heldBy(session)
		if err != nil {
			return err
		}
		for _, h := range held {
			err := tx.step(Command{Ref: h.Ref, Event: run.Lost{Epoch: h.epoch, Reason: reason, Crashed: crashed}, Actor: "scheduler"})
			switch {
			case err == nil:
				lost++
			case !errors.Is(err, run.ErrStale) && !errors.Is(err, run.ErrIllegal):
				return err
			}
		}
		return nil
	})
	return lost, err
}

type heldTask struct {
	run.Ref
	epoch int64
}

func (tx *Tx) heldBy(session string) ([]heldTask, error) {
	rows, err := tx.query(`SELECT environment, run, task, idx, epoch FROM task WHERE session = $1 ORDER BY environment, run, task, idx`, session)
	return scanAll(rows, err, func(r *sql.Rows) (heldTask, error) {
		var h heldTask
		return h, r.Scan(&h.Environment, &h.Run, &h.Task, &h.Index, &h.epoch)
	})
}

// OpenSessions lists the sessions that have not ended.
func (l *Ledger) OpenSessions(ctx context.Context) ([]Session, error) {
	rows, err := l.reader.QueryContext(ctx, `SELECT session, worker, version, slots FROM session WHERE state = 'open' ORDER BY began_us`)
	return scanAll(rows, err, func(r *sql.Rows) (Session, error) {
		var s Session
		return s, r.Scan(&s.ID, &s.Worker, &s.Version, &s.Slots)
	})
}

// Held lists what a session holds, with epochs.
func (l *Ledger) Held(ctx context.Context, session string) (map[int64]run.Ref, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT environment, run, task, idx, epoch FROM task WHERE session = $1`), session)
	held, err := scanAll(rows, err, func(r *sql.Rows) (heldTask, error) {
		var h heldTask
		return h, r.Scan(&h.Environment, &h.Run, &h.Task, &h.Index, &h.epoch)
	})
	out := make(map[int64]run.Ref, len(held))
	for _, h := range held {
		out[h.epoch] = h.Ref
	}
	return out, err
}
