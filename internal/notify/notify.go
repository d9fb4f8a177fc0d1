// Package notify carries what the outbox holds to people: route, limit, send, record.
//
// An outbox row is written in the transaction of the state change that it
// tells of (invariant I6). This package routes it to channels, sends, tries
// again with back-off, and gives up visibly: a dead letter stays in the ledger.
// A notification may arrive twice, never not at all; its id is the same both
// times. Channels work side by side: one that is slow or dead delays no other.
// About one cause a channel is told in order: never of the end before the beginning.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Message is what a channel sends: an incident at a moment of its life.
type Message struct {
	ID     int64
	Action string // firing, resolved, test
	Told
	Zone    *time.Location // that people read times in; nil: UTC
	Earlier []Sent         // what the channel took of this incident before, oldest first
}

// Told is what is told of an incident; the outbox keeps it as JSON.
type Told struct {
	Incident ledger.Incident
	Facts    Facts
}

// Facts are what is known beside the incident at the moment when it is told.
type Facts struct {
	Attempt  int       `json:"attempt,omitempty"`  // which failure of the task it was, from 1
	Attempts int       `json:"attempts,omitempty"` // how many it has
	NextTry  time.Time `json:"next_try,omitzero"`
	Last     bool      `json:"last,omitempty"` // no other attempt follows by itself
	Runbook  string    `json:"runbook,omitempty"`
}

// stored is Told as the outbox holds it: an incident with more keys.
type stored struct {
	ledger.Incident
	Facts
}

// Sent is an earlier message that a channel took, with what the other side said.
type Sent struct{ Action, Answer string }

// Channel reaches somebody. Send returns what the other side said. An error
// whose kind is Invalid or Denied is final; every other one is tried again.
type Channel interface {
	Send(context.Context, Message) (answer string, err error)
}

// Paced is a channel that takes one message in so much time.
type Paced interface{ Pace() time.Duration }

// Keeper is a channel that forgets an incident which nobody reminds it of. Keep
// is given what is open and what was resolved a moment ago, every Interval.
type Keeper interface {
	Interval() time.Duration
	Keep(context.Context, []Message) error
}

// ErrUnusable means that a channel cannot send anything as it is configured,
// whatever it is given: a secret is not set. Somebody must hear of it before the
// messages that wait are a day old.
var ErrUnusable = errors.New("the channel cannot be used")

// Later is an error of a channel that said when to come again.
type Later struct {
	Err   error
	After time.Duration
}

// Error returns the text of the wrapped error.
func (l *Later) Error() string { return l.Err.Error() }

// Unwrap returns the wrapped error.
func (l *Later) Unwrap() error { return l.Err }

// Ledger is what notify needs of the ledger: the outbox, its own incidents, and
// how far the runs of an incident are.
type Ledger interface {
	DueNotifications(ctx context.Context, most int) ([]ledger.Notification, error)
	NextNotification(context.Context) (time.Time, error)
	Notifications(ctx context.Context, environment, fingerprint string, most int) ([]ledger.Notification, error)
	RouteNotification(ctx context.Context, n ledger.Notification, bodies map[string]json.RawMessage, channels []string) error
	SettleNotification(ctx context.Context, id int64, state, answer string, next time.Time, tries int) error
	LastTold(ctx context.Context, before time.Time) ([]ledger.Notification, error)
	TellAgain(context.Context, ledger.Notification) error
	Incident(ctx context.Context, environment, id string) (ledger.Incident, error)
	Run(context.Context, ledger.RunRef) (ledger.RunInfo, error)
	Report(context.Context, ledger.Report) error
	Resolve(ctx context.Context, r ledger.Report, how string) error
}

// Plan is what the live project says about telling people.
type Plan struct {
	Routes   []project.Route
	Channels map[string]Channel
	Else     map[string]string // channel → the one that is told where it fails
	Runbooks map[string]string // by pipeline
	Zone     *time.Location
}

// Back-off between tries: doubling, with half of it as jitter. A message that
// nobody took for maxAge is a dead letter. One that its channel did not take for
// patience goes to the channel's else: as well.
const (
	firstWait = 2 * time.Second
	maxWait   = 5 * time.Minute
	maxAge    = 24 * time.Hour
	patience  = time.Minute
	sendLimit = 20 * time.Second
)

// listed bounds how many messages about one cause are looked through.
const listed = 1000

// Notifier sends what the outbox holds, each channel by itself.
type Notifier struct {
	Ledger      Ledger
	Environment string
	Plan        func() Plan // the live one
	Log         *slog.Logger
	Wake        <-chan struct{}

	lanes map[string]*lane
	ready chan struct{} // a lane has come to its end
	work  sync.WaitGroup
}

// Run sends until ctx ends, then waits for what is under way.
func (n *Notifier) Run(ctx context.Context) error {
	n.lanes, n.ready = map[string]*lane{}, make(chan struct{}, 1)
	defer n.work.Wait()
	for {
		if err := n.sendDue(ctx); err != nil && ctx.Err() == nil {
			n.Log.Error("send notifications", "cause", err)
		}
		timer := time.NewTimer(n.wait(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-n.Wake:
		case <-n.ready:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// wait is how long nothing is to be done. What lies before a lane that works is
// overdue all the while, so the others are looked at a little less eagerly then.
func (n *Notifier) wait(ctx context.Context) time.Duration {
	wait, least := time.Minute, 10*time.Millisecond
	for _, l := range n.lanes {
		if l.busy.Load() {
			least = 200 * time.Millisecond
		} else if !l.keep.IsZero() {
			wait = min(wait, time.Until(l.keep))
		}
	}
	if next, err := n.Ledger.NextNotification(ctx); err == nil && !next.IsZero() {
		wait = min(wait, time.Until(next))
	}
	return max(wait, least)
}

func (n *Notifier) sendDue(ctx context.Context) error {
	plan := n.Plan()
	if err := n.repeat(ctx, plan); err != nil {
		return err
	}
	for most := 100; ; most *= 4 {
		// A lane that comes to its end from here on has settled what is read as due.
		working := map[string]bool{}
		for name, l := range n.lanes {
			working[name] = l.busy.Load()
		}
		due, err := n.Ledger.DueNotifications(ctx, most)
		if err != nil {
			return err
		}
		waiting := map[string][]ledger.Notification{}
		free := false
		for _, one := range due {
			if one.State == "new" {
				free = true
				if err := n.route(ctx, plan, one); err != nil {
					return err
				}
			} else if !working[one.Channel] {
				free = true
				waiting[one.Channel] = append(waiting[one.Channel], one)
			}
		}
		for name, list := range waiting {
			n.start(ctx, name, func(l *lane) error { return n.drain(ctx, plan, l, list) })
		}
		// A channel in trouble may have more before it than was looked at.
		if free || len(due) < most {
			break
		}
	}
	return n.keep(ctx, plan)
}

// start lets a lane work by itself, if it does not already.
func (n *Notifier) start(ctx context.Context, name string, work func(*lane) error) {
	l := n.lane(name)
	if l.busy.Swap(true) {
		return
	}
	n.work.Go(func() {
		if err := work(l); err != nil && ctx.Err() == nil {
			n.Log.Error("send notifications", "channel", name, "cause", err)
		}
		l.busy.Store(false)
		select {
		case n.ready <- struct{}{}:
		default:
		}
	})
}

func (n *Notifier) lane(name string) *lane {
	if n.lanes[name] == nil {
		n.lanes[name] = &lane{}
	}
	return n.lanes[name]
}

// repeat tells of incidents again that have been open for the repeat: of their
// route. What it writes is due at once.
func (n *Notifier) repeat(ctx context.Context, plan Plan) error {
	shortest := time.Duration(0)
	for _, r := range plan.Routes {
		if r.Repeat > 0 && (shortest == 0 || r.Repeat < shortest) {
			shortest = r.Repeat
		}
	}
	if shortest == 0 {
		return nil
	}
	now := time.Now()
	told, err := n.Ledger.LastTold(ctx, now.Add(-shortest))
	if err != nil {
		return err
	}
	for _, t := range told {
		incident, err := n.Ledger.Incident(ctx, t.Environment, t.Incident)
		if err != nil {
			return err
		}
		r, ok := routeOf(plan.Routes, incident)
		if !ok || r.Repeat == 0 || now.Sub(t.Created) < r.Repeat || !slices.Contains(r.To, t.Channel) {
			continue
		}
		if t.Body, err = n.body(ctx, plan, incident); err != nil {
			return err
		}
		if err := n.Ledger.TellAgain(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// route fixes who hears of it, and what: the incident as it is at this moment.
// Whoever was told of its beginning is told of its end, whatever the routes say by now.
func (n *Notifier) route(ctx context.Context, plan Plan, one ledger.Notification) error {
	incident, err := n.Ledger.Incident(ctx, one.Environment, one.Incident)
	if err != nil {
		return err
	}
	to := slices.Clone(Who(plan.Routes, incident))
	if one.Action == "resolved" {
		earlier, err := n.Ledger.Notifications(ctx, one.Environment, incident.Fingerprint, listed)
		if err != nil {
			return err
		}
		for _, e := range earlier {
			if _, known := plan.Channels[e.Channel]; known && e.Incident == one.Incident && !slices.Contains(to, e.Channel) {
				to = append(to, e.Channel)
			}
		}
	}
	body, err := n.body(ctx, plan, incident)
	if err != nil {
		return err
	}
	bodies := map[string]json.RawMessage{}
	for _, name := range to {
		bodies[name] = body
	}
	return n.Ledger.RouteNotification(ctx, one, bodies, to)
}

// body is what the outbox keeps of an incident, with what else is known now.
func (n *Notifier) body(ctx context.Context, plan Plan, i ledger.Incident) (json.RawMessage, error) {
	s := stored{i, Facts{Runbook: plan.Runbooks[i.Pipeline]}}
	if len(i.Runs) > 0 && i.Task != "" {
		last := i.Runs[len(i.Runs)-1].Run
		r, err := n.Ledger.Run(ctx, ledger.RunRef{Environment: i.Environment, Run: last})
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		for _, t := range r.Tasks {
			if t.Name != i.Task || t.Failures == 0 {
				continue
			}
			s.Attempt, s.Attempts, s.Last = t.Failures, t.Retries+1, t.State.Terminal()
			if t.State == run.TaskBackoff {
				s.NextTry = t.ReadyAt
			}
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fault.New(fault.Internal, "incident %s: %w", i.ID, err)
	}
	return body, nil
}

// giveUp makes a dead letter of a message, which stays to be seen, and opens the
// incident of its channel.
func (n *Notifier) giveUp(ctx context.Context, one ledger.Notification, cause string) error {
	n.Log.Error("notification given up", "channel", one.Channel, "incident", one.Incident, "tries", one.Attempts+1, "cause", cause)
	// In this order: whoever sees the dead letter sees the incident too.
	if err := n.Ledger.Report(ctx, trouble(one, "a message was given up: "+cause)); err != nil {
		return err
	}
	return n.Ledger.SettleNotification(ctx, one.ID, "dead", cause, time.Now(), 1)
}

// trouble is what is wrong with a channel: one incident, which the next message
// that is taken resolves. It is routed like every other, so that a second channel
// may tell of it; its own message to the channel in trouble opens no other.
func trouble(one ledger.Notification, cause string) ledger.Report {
	return ledger.Report{
		Environment: one.Environment, Kind: "notification_failed", Severity: "error", Pipeline: "alerts:" + one.Channel,
		Summary: "channel " + one.Channel + ": " + cause,
	}
}

// Who returns the channels that hear of an incident: those of the first route
// whose condition holds. Nobody where none does.
func Who(routes []project.Route, i ledger.Incident) []string {
	r, _ := routeOf(routes, i)
	return r.To
}

func routeOf(routes []project.Route, i ledger.Incident) (project.Route, bool) {
	n := RouteOf(routes, i)
	if n < 0 {
		return project.Route{}, false
	}
	return routes[n], true
}

// RouteOf returns which route takes an incident; -1 where none does.
func RouteOf(routes []project.Route, i ledger.Incident) int {
	values := map[string]any{"severity": i.Severity, "kind": i.Kind, "pipeline": i.Pipeline, "task": i.Task, "owner": i.Owner}
	for n, r := range routes {
		if r.When == "" {
			return n
		}
		c, err := expr.Compile(expr.ScopeRoute, r.When)
		if err != nil {
			continue // check refused it; the next route is better than silence
		}
		if ok, err := c.Eval(values); err == nil && ok {
			return n
		}
	}
	return -1
}
