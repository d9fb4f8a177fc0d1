package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
)

// look is how often sessions and unacknowledged grants are looked at. Due
// back-offs are not polled for: they have their own timer.
const look = time.Second

// Run watches sessions, unacknowledged grants and back-offs until ctx ends.
// Every session that was open before has a full lease from now on.
func (d *Dispatcher) Run(ctx context.Context) error {
	open, err := d.ledger.OpenSessions(ctx)
	if ctx.Err() != nil {
		return nil // it failed because we stop
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	for _, s := range open {
		d.session(s.ID)
	}
	d.mu.Unlock()
	tick := time.NewTicker(look)
	defer tick.Stop()
	ready := time.NewTimer(0)
	defer ready.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.returnUnstarted(ctx)
			d.endSilent(ctx)
			continue
		case <-d.early:
		case <-ready.C:
			d.mu.Lock()
			d.wakeOne()
			d.mu.Unlock()
		}
		next, err := d.ledger.NextReady(ctx)
		if err != nil {
			d.log.Error("when is the next task ready", "cause", err)
			next = time.Now().Add(look)
		}
		if !next.IsZero() {
			// A task that is ready now has woken somebody, or everybody is busy.
			ready.Reset(max(time.Until(next), 50*time.Millisecond))
		}
	}
}

// returnUnstarted takes back grants that nobody acknowledged in time.
func (d *Dispatcher) returnUnstarted(ctx context.Context) {
	d.mu.Lock()
	var commands []ledger.Command
	for id, s := range d.sessions {
		for epoch, g := range s.grants {
			if time.Since(g.at) > protocol.Unstarted {
				delete(s.grants, epoch)
				delete(s.held, epoch)
				commands = append(commands, ledger.Command{Ref: g.Ref, Event: run.Returned{Epoch: epoch}, Actor: id})
			}
		}
	}
	d.mu.Unlock()
	if len(commands) == 0 {
		return
	}
	errs, err := d.ledger.Step(ctx, commands...)
	if err != nil {
		d.log.Error("take back unstarted grants", "cause", err)
	}
	for i, err := range errs {
		if err == nil {
			d.log.Warn("grant taken back: it was not acknowledged", "session", commands[i].Actor, "task", commands[i].Ref.String())
		} else if !errors.Is(err, run.ErrStale) && !errors.Is(err, run.ErrIllegal) {
			d.log.Error("take back a grant", "task", commands[i].Ref.String(), "cause", err)
		}
	}
}

// endSilent ends the sessions that have not been heard of for too long. Time
// is this process's own, monotonic: a clock that is set loses nobody's work.
func (d *Dispatcher) endSilent(ctx context.Context) {
	d.mu.Lock()
	var silent []string
	for id, s := range d.sessions {
		if !s.ended && s.open == 0 && time.Since(s.heard) > protocol.LostAfter {
			silent = append(silent, id)
		}
	}
	d.mu.Unlock()
	for _, id := range silent {
		if err := d.End(ctx, id, "silent for "+protocol.LostAfter.String(), false); err != nil {
			d.log.Error("end a silent session", "session", id, "cause", err)
		}
	}
}

// End ends a session whose death was seen. Crashed: it died of its own.
func (d *Dispatcher) End(ctx context.Context, id, reason string, crashed bool) error {
	d.mu.Lock()
	s := d.session(id)
	s.ended = true
	s.grants, s.held = map[int64]grant{}, map[int64]bool{}
	d.mu.Unlock()
	lost, err := d.ledger.EndSession(ctx, id, reason, crashed)
	if err != nil {
		d.mu.Lock()
		s.ended = false
		d.mu.Unlock()
		return err
	}
	d.log.Warn("worker session ended", "session", id, "cause", reason, "attempts_lost", lost)
	return nil
}
