// Package worker claims attempts, has them run, and tells how they ended.
//
// A worker is one session. It holds nothing that the server must know beyond
// what it tells: ends are kept until the server has recorded them, or for
// protocol.KeepUnsent while the server is away. What an attempt does is the
// business of its Runner.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/protocol"
)

// Runner runs one attempt to its end. It never panics out, returns soon after
// ctx ends, and has ended everything it started when it returns.
type Runner interface {
	Run(context.Context, run.Grant) protocol.End
}

// errStopped is the cause of an attempt's end when its server asked for it.
var errStopped = fault.New(fault.Cancelled, "cancelled")

// Worker is one worker session.
type Worker struct {
	Server  *Client
	Runner  Runner
	Log     *slog.Logger
	Session string
	Name    string
	Version string
	Slots   int
	Door    string

	mu      sync.Mutex
	holds   map[int64]context.CancelCauseFunc // attempts that it has
	unsent  map[int64]protocol.End            // ends that the server has not recorded
	news    chan struct{}
	drain   bool
	drained chan struct{}
}

// Run works until ctx ends or the server asks it to leave, then waits for the
// attempts that it started. It returns an error when the server stays away.
func (w *Worker) Run(ctx context.Context) error {
	w.holds, w.unsent = map[int64]context.CancelCauseFunc{}, map[int64]protocol.End{}
	w.news, w.drained = make(chan struct{}, 1), make(chan struct{})
	attempts, cancelAttempts := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelAttempts(nil)
	var running sync.WaitGroup
	loops, stop := context.WithCancel(ctx)
	defer stop()
	if err := w.hello(loops); err != nil {
		return err
	}
	var both sync.WaitGroup
	errs := make(chan error, 2)
	start := func(g run.Grant) { w.start(attempts, &running, g) }
	both.Go(func() { errs <- w.poll(loops, start) })
	both.Go(func() { errs <- w.report(loops, start) })
	var err error
	select {
	case <-ctx.Done(): // told to go: what runs is ended, and runs again elsewhere
		cancelAttempts(fault.New(fault.Lost, "the worker was stopped"))
	case <-w.drained:
	case err = <-errs:
		cancelAttempts(fault.New(fault.Lost, "the worker lost its server"))
	}
	stop()
	both.Wait()
	running.Wait()
	return errors.Join(err, w.lastWords(context.WithoutCancel(ctx)))
}

// hello introduces the worker, and keeps trying while the server is away.
func (w *Worker) hello(ctx context.Context) error {
	begun := time.Now()
	for {
		w.mu.Lock()
		holds := slices.Sorted(maps.Keys(w.holds))
		for epoch := range w.unsent {
			holds = append(holds, epoch)
		}
		w.mu.Unlock()
		welcome, err := w.Server.Hello(ctx, protocol.Hello{
			Protocol: protocol.Version, Session: w.Session, Worker: w.Name, Version: w.Version, Slots: w.Slots, Door: w.Door, Holds: holds,
		})
		switch {
		case err == nil && welcome.Refused != "":
			return fault.New(fault.Conflict, "the server refuses this worker: %s", welcome.Refused)
		case err == nil && !welcome.Known:
			return fault.New(fault.Lost, "the server has ended this session")
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !gone(err):
			return err
		case time.Since(begun) > protocol.KeepUnsent:
			return fault.New(fault.Unavailable, "the server is away: %w", err)
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// poll keeps one exchange parked at the server, for work and for stop orders.
func (w *Worker) poll(ctx context.Context, start func(run.Grant)) error {
	for ctx.Err() == nil {
		answer, err := w.Server.Exchange(ctx, protocol.Exchange{Session: w.Session, Wait: true})
		if err := w.take(ctx, answer, err, start); err != nil {
			return err
		}
	}
	return nil
}

// report tells ends as soon as there are some; several that come together travel together.
func (w *Worker) report(ctx context.Context, start func(run.Grant)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.news:
		}
		ends := w.ends()
		if len(ends) == 0 {
			continue
		}
		failpoint.Hit(failpoint.BeforeReport)
		answer, err := w.Server.Exchange(ctx, protocol.Exchange{Session: w.Session, Ends: ends})
		if err != nil {
			w.tell() // again, once the server is back
		}
		if err := w.take(ctx, answer, err, start); err != nil {
			return err
		}
	}
}

// take acts on an answer: ends that are recorded, attempts to stop, new work.
func (w *Worker) take(ctx context.Context, a protocol.Answer, err error, start func(run.Grant)) error {
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it failed because we stop
		}
		w.Log.Warn("the server does not answer", "cause", err)
		if !sleep(ctx, 100*time.Millisecond) {
			return nil
		}
		return w.hello(ctx)
	}
	if !a.Known {
		return fault.New(fault.Lost, "the server has ended this session")
	}
	w.mu.Lock()
	for _, epoch := range a.Ended {
		delete(w.unsent, epoch)
	}
	for _, epoch := range a.Stops {
		if cancel, ok := w.holds[epoch]; ok {
			cancel(errStopped)
		}
	}
	if a.Drain && !w.drain {
		w.drain = true
		w.leaveIfDone()
	}
	w.mu.Unlock()
	return w.acknowledge(ctx, a.Grants, start)
}

// acknowledge tells the server which grants begin, and begins those that it agrees to.
func (w *Worker) acknowledge(ctx context.Context, grants []run.Grant, start func(run.Grant)) error {
	if len(grants) == 0 {
		return nil
	}
	failpoint.Hit(failpoint.Granted)
	x := protocol.Exchange{Session: w.Session}
	for _, g := range grants {
		x.Acks = append(x.Acks, protocol.Ack{Ref: g.Ref, Epoch: g.Epoch})
	}
	answer, err := w.Server.Exchange(ctx, x)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it failed because we stop
		}
		// The server may have taken the word and lost the answer: it must hear that we do not have them.
		w.Log.Warn("grants not acknowledged", "grants", len(grants), "cause", err)
		return w.hello(ctx)
	}
	failpoint.Hit(failpoint.Acknowledged)
	for _, g := range grants {
		if slices.Contains(answer.Acked, g.Epoch) {
			start(g)
		}
	}
	answer.Acked = nil
	return w.take(ctx, answer, nil, start)
}

func (w *Worker) start(ctx context.Context, running *sync.WaitGroup, g run.Grant) {
	attempt, cancel := context.WithCancelCause(ctx)
	w.mu.Lock()
	w.holds[g.Epoch] = cancel
	w.mu.Unlock()
	running.Go(func() {
		defer cancel(nil)
		end := w.Runner.Run(attempt, g)
		end.Ref, end.Epoch = g.Ref, g.Epoch
		w.mu.Lock()
		delete(w.holds, g.Epoch)
		if end.Kind != fault.Lost { // a loss is told by the end of the session
			w.unsent[g.Epoch] = end
		}
		w.leaveIfDone()
		w.mu.Unlock()
		w.tell()
	})
}

// leaveIfDone ends Run once a draining worker has nothing left; the caller holds mu.
func (w *Worker) leaveIfDone() {
	if !w.drain || len(w.holds) > 0 {
		return
	}
	select {
	case <-w.drained:
	default:
		close(w.drained)
	}
}

func (w *Worker) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *Worker) ends() []protocol.End {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]protocol.End, 0, len(w.unsent))
	for _, epoch := range slices.Sorted(maps.Keys(w.unsent)) {
		out = append(out, w.unsent[epoch])
	}
	return out
}

// lastWords tells the ends that came while the loops were stopping.
func (w *Worker) lastWords(ctx context.Context) error {
	ends := w.ends()
	if len(ends) == 0 {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	_, err := w.Server.Exchange(ctx, protocol.Exchange{Session: w.Session, Ends: ends})
	return err
}

// sleep waits for d and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
