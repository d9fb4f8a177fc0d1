// Package dispatch hands work to workers: parked claims and batched reports.
//
// A claim is a long poll. Ready work goes to one parked waiter, never to all,
// and the answer to an end carries the next work, so that no polling interval
// stands between two tasks. The dispatcher owns no state that the ledger lacks:
// after a restart it knows again what it needs from the first exchanges.
package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/protocol"
)

// Ledger is what the dispatcher needs of the ledger.
type Ledger interface {
	Step(context.Context, ...ledger.Command) ([]error, error)
	Exchange(ctx context.Context, session string, news []ledger.Command, most int, idle bool) (errs []error, grants []run.Grant, open bool, err error)
	OpenSession(context.Context, ledger.Session) error
	EndSession(ctx context.Context, session, reason string, crashed bool) (int, error)
	OpenSessions(context.Context) ([]ledger.Session, error)
	Held(ctx context.Context, session string) (map[int64]run.Ref, error)
	NextReady(context.Context) (time.Time, error)
}

// Dispatcher is the server's side of the worker protocol. It is safe for concurrent use.
type Dispatcher struct {
	ledger Ledger
	log    *slog.Logger

	mu       sync.Mutex
	sessions map[string]*session
	parked   []*waiter     // idle exchanges, the longest-parked first
	early    chan struct{} // work became ready for a later time than Run knows of
	draining bool
}

type session struct {
	heard    time.Time // monotonic; the last exchange that began or ended
	open     int       // exchanges under way
	stops    []int64
	slots    int
	claiming int             // slots for which a claim is under way
	held     map[int64]bool  // granted and not ended
	grants   map[int64]grant // of these, unacknowledged
	ended    bool
}

type grant struct {
	run.Grant
	at     time.Time
	polled bool // the answer to a poll carried it
}

type waiter struct {
	session string
	wake    chan struct{} // capacity 1
}

// New returns a dispatcher over a ledger.
func New(l Ledger, log *slog.Logger) *Dispatcher {
	return &Dispatcher{ledger: l, log: log, sessions: map[string]*session{}, early: make(chan struct{}, 1)}
}

// Welcome opens a session, or finds it again. What the ledger thinks the
// session holds and the worker does not know of goes back to work.
func (d *Dispatcher) Welcome(ctx context.Context, h protocol.Hello) (known bool, err error) {
	if err := d.ledger.OpenSession(ctx, ledger.Session{ID: h.Session, Worker: h.Worker, Version: h.Version, Slots: h.Slots}); err != nil {
		return false, err
	}
	open, err := d.ledger.OpenSessions(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range open {
		if s.ID == h.Session {
			d.mu.Lock()
			state := d.session(h.Session)
			state.slots = h.Slots
			for _, epoch := range h.Holds {
				state.held[epoch] = true
			}
			d.mu.Unlock()
			return true, d.reconcile(ctx, h)
		}
	}
	return false, nil
}

// Knows reports whether a session has introduced itself to this server.
func (d *Dispatcher) Knows(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.sessions[id]
	return ok && s.slots > 0 && !s.ended
}

func (d *Dispatcher) reconcile(ctx context.Context, h protocol.Hello) error {
	held, err := d.ledger.Held(ctx, h.Session)
	if err != nil {
		return err
	}
	var commands []ledger.Command
	for epoch, ref := range held {
		if !slices.Contains(h.Holds, epoch) {
			commands = append(commands,
				ledger.Command{Ref: ref, Event: run.Returned{Epoch: epoch}, Actor: h.Session},
				ledger.Command{Ref: ref, Event: run.Lost{Epoch: epoch, Reason: "its worker does not know of it"}, Actor: h.Session})
		}
	}
	_, err = d.ledger.Step(ctx, commands...)
	return err
}

// session returns the state of a session; the caller holds mu.
func (d *Dispatcher) session(id string) *session {
	s, ok := d.sessions[id]
	if !ok {
		s = &session{heard: time.Now(), grants: map[int64]grant{}, held: map[int64]bool{}}
		d.sessions[id] = s
	}
	return s
}

// Exchange takes a worker's news and gives it work. With Wait it is held until
// there is work, a stop order, or protocol.Poll has passed.
func (d *Dispatcher) Exchange(ctx context.Context, x protocol.Exchange) (protocol.Answer, error) {
	d.mu.Lock()
	s := d.session(x.Session)
	if s.ended {
		d.mu.Unlock()
		return protocol.Answer{}, nil
	}
	s.heard = time.Now()
	s.open++
	a := protocol.Answer{Known: true}
	if x.Wait {
		a.Grants = s.again()
	}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		s.open--
		s.heard = time.Now()
		d.mu.Unlock()
	}()
	var hold <-chan time.Time
	if x.Wait {
		timer := time.NewTimer(protocol.Poll)
		defer timer.Stop()
		hold = timer.C
	}
	for {
		w := d.park(x)
		err := d.turn(ctx, x, &a)
		x.Acks, x.Ends = nil, nil // they are recorded, or the worker tells them again
		if err != nil || hold == nil || len(a.Grants) > 0 || len(a.Stops) > 0 || a.Drain || !a.Known {
			d.unpark(w)
			if len(a.Grants) > 0 { // there may be more than this worker took
				d.mu.Lock()
				d.wakeOne()
				d.mu.Unlock()
			}
			return a, err
		}
		select {
		case <-w.wake:
		case <-hold:
			hold = nil
		case <-ctx.Done():
			d.unpark(w)
			return a, context.Cause(ctx)
		}
		d.unpark(w)
	}
}

// again returns the grants that a poll carried and nobody acknowledged: a worker
// that polls has acknowledged what it heard of, so that answer was lost. The
// caller holds mu.
func (s *session) again() []run.Grant {
	var out []run.Grant
	for _, epoch := range slices.Sorted(maps.Keys(s.grants)) {
		if g := s.grants[epoch]; g.polled {
			out = append(out, g.Grant)
		}
	}
	return out
}

// turn records what the session tells and adds what is ready for it to the
// answer, in one transaction of the ledger.
func (d *Dispatcher) turn(ctx context.Context, x protocol.Exchange, a *protocol.Answer) error {
	var news []ledger.Command
	for _, ack := range x.Acks {
		news = append(news, ledger.Command{Ref: ack.Ref, Event: run.Acknowledged{Epoch: ack.Epoch}, Actor: x.Session})
	}
	for _, end := range x.Ends {
		news = append(news, ledger.Command{Ref: end.Ref, Event: end.Event(), Actor: x.Session, Result: end.Result})
	}
	d.mu.Lock()
	s := d.session(x.Session)
	a.Stops, s.stops = append(a.Stops, s.stops...), nil
	a.Drain = d.draining
	leaving := 0 // of those that it holds
	for _, end := range x.Ends {
		if s.held[end.Epoch] {
			leaving++
		}
	}
	free, idle := s.slots-len(s.held)+leaving-s.claiming, len(s.held)-leaving+s.claiming == 0
	if d.draining || free < 0 {
		free = 0
	}
	if len(news) == 0 && free == 0 {
		d.mu.Unlock()
		return nil
	}
	s.claiming += free - leaving
	d.mu.Unlock()
	errs, grants, open, err := d.ledger.Exchange(ctx, x.Session, news, free, idle)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.claiming -= free - leaving
	if err != nil {
		return err
	}
	d.told(s, x, errs, a)
	for _, g := range grants {
		s.held[g.Epoch] = true
		s.grants[g.Epoch] = grant{g, time.Now(), x.Wait}
	}
	a.Known = open
	a.Grants = append(a.Grants, grants...)
	return nil
}

// told takes in what became of a session's news; the caller holds mu.
func (d *Dispatcher) told(s *session, x protocol.Exchange, errs []error, a *protocol.Answer) {
	for i, ack := range x.Acks {
		delete(s.grants, ack.Epoch)
		if errs[i] == nil {
			a.Acked = append(a.Acked, ack.Epoch)
		} else {
			delete(s.held, ack.Epoch)
		}
	}
	for i, end := range x.Ends {
		if err := errs[len(x.Acks)+i]; err != nil {
			d.log.Info("end dropped: the attempt no longer holds its task", "session", x.Session, "task", end.Ref.String(), "epoch", end.Epoch, "cause", err)
		}
		a.Ended = append(a.Ended, end.Epoch)
		delete(s.held, end.Epoch)
	}
}

func (d *Dispatcher) park(x protocol.Exchange) *waiter {
	w := &waiter{session: x.Session, wake: make(chan struct{}, 1)}
	d.mu.Lock()
	d.parked = append(d.parked, w)
	d.mu.Unlock()
	return w
}

func (d *Dispatcher) unpark(w *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, p := range d.parked {
		if p == w {
			d.parked = append(d.parked[:i], d.parked[i+1:]...)
			break
		}
	}
	select {
	case <-w.wake: // woken after it had looked: pass the word on
		d.wakeOne()
	default:
	}
}

// wakeOne wakes one parked exchange; the caller holds mu.
func (d *Dispatcher) wakeOne() {
	for _, w := range d.parked {
		select {
		case w.wake <- struct{}{}:
			return
		default:
		}
	}
}

// Notify takes what the ledger committed. It does not block.
func (d *Dispatcher) Notify(n ledger.Note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, stop := range n.Stops {
		d.session(stop.Session).stops = append(d.session(stop.Session).stops, stop.Epoch)
		for _, w := range d.parked {
			if w.session == stop.Session {
				select {
				case w.wake <- struct{}{}:
				default:
				}
			}
		}
	}
	if n.Offered.IsZero() {
		return
	}
	if n.Offered.After(time.Now()) {
		select {
		case d.early <- struct{}{}:
		default:
		}
		return
	}
	d.wakeOne()
}

// Drain asks every worker to finish and leave.
func (d *Dispatcher) Drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
	for _, w := range d.parked {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
