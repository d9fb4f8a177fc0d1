// Package notify carries what the outbox holds to people: route, limit, send, record.
//
// An outbox row is written in the transaction of the state change that it
// tells of (invariant I6). This package routes it to channels, sends, tries
// again with back-off, and gives up visibly: a dead letter stays in the ledger.
// A notification may arrive twice, never not at all; its id is the same both
// times.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Message is what a channel sends: an incident at a moment of its life.
type Message struct {
	ID       int64           `json:"id"`
	Action   string          `json:"action"` // firing, resolved, test
	Incident ledger.Incident `json:"incident"`
}

// Channel reaches somebody. Send returns what the other side said. An error
// whose kind is Invalid or Denied is final; every other one is tried again.
type Channel interface {
	Send(context.Context, Message) (answer string, err error)
}

// ErrUnusable means that a channel cannot send anything as it is configured,
// whatever it is given: a secret is not set. Somebody must hear of it before the
// messages that wait are a day old.
var ErrUnusable = errors.New("the channel cannot be used")

// Ledger is what notify needs of the ledger: the outbox, and its own incidents.
type Ledger interface {
	DueNotifications(ctx context.Context, most int) ([]ledger.Notification, error)
	NextNotification(context.Context) (time.Time, error)
	RouteNotification(ctx context.Context, n ledger.Notification, bodies map[string]json.RawMessage, channels []string) error
	SettleNotification(ctx context.Context, id int64, state, answer string, next time.Time) error
	LastTold(ctx context.Context, before time.Time) ([]ledger.Notification, error)
	TellAgain(context.Context, ledger.Notification) error
	Incident(ctx context.Context, environment, id string) (ledger.Incident, error)
	Report(context.Context, ledger.Report) error
	Resolve(ctx context.Context, r ledger.Report, how string) error
}

// Plan is what the live project says about telling people.
type Plan struct {
	Routes   []project.Route
	Channels map[string]Channel
}

// Back-off between tries: doubling, with half of it as jitter. A message that
// nobody took for maxAge is a dead letter.
const (
	firstWait = 2 * time.Second
	maxWait   = 5 * time.Minute
	maxAge    = 24 * time.Hour
	sendLimit = 20 * time.Second
)

// Notifier sends what the outbox holds.
type Notifier struct {
	Ledger Ledger
	Plan   func() Plan // the live one
	Log    *slog.Logger
	Wake   <-chan struct{}
}

// Run sends until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	for {
		if err := n.sendDue(ctx); err != nil && ctx.Err() == nil {
			n.Log.Error("send notifications", "cause", err)
		}
		wait := time.Minute
		if next, err := n.Ledger.NextNotification(ctx); err == nil && !next.IsZero() {
			wait = min(max(time.Until(next), 10*time.Millisecond), wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-n.Wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (n *Notifier) sendDue(ctx context.Context) error {
	due, err := n.Ledger.DueNotifications(ctx, 100)
	if err != nil {
		return err
	}
	plan := n.Plan()
	if err := n.repeat(ctx, plan); err != nil {
		return err
	}
	for _, one := range due {
		if one.State == "new" {
			err = n.route(ctx, plan, one)
		} else {
			err = n.send(ctx, plan, one)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
		if t.Body, err = json.Marshal(incident); err != nil {
			return fault.New(fault.Internal, "incident %s: %w", incident.ID, err)
		}
		if err := n.Ledger.TellAgain(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// route fixes who hears of it, and what: the incident as it is at this moment.
func (n *Notifier) route(ctx context.Context, plan Plan, one ledger.Notification) error {
	incident, err := n.Ledger.Incident(ctx, one.Environment, one.Incident)
	if err != nil {
		return err
	}
	to := Who(plan.Routes, incident)
	bodies := map[string]json.RawMessage{}
	for _, name := range to {
		body, err := json.Marshal(incident)
		if err != nil {
			return fault.New(fault.Internal, "incident %s: %w", incident.ID, err)
		}
		bodies[name] = body
	}
	return n.Ledger.RouteNotification(ctx, one, bodies, to)
}

func (n *Notifier) send(ctx context.Context, plan Plan, one ledger.Notification) error {
	channel, ok := plan.Channels[one.Channel]
	if !ok {
		return n.giveUp(ctx, one, "the project has no channel "+one.Channel)
	}
	m := Message{ID: one.ID, Action: one.Action}
	if err := json.Unmarshal(one.Body, &m.Incident); err != nil {
		return n.giveUp(ctx, one, "the message cannot be read: "+err.Error())
	}
	limited, stop := context.WithTimeout(ctx, sendLimit)
	defer stop()
	answer, err := channel.Send(limited, m)
	if err == nil {
		if err := n.Ledger.SettleNotification(ctx, one.ID, "sent", answer, time.Now()); err != nil {
			return err
		}
		return n.Ledger.Resolve(ctx, trouble(one, ""), "a message was taken")
	}
	if ctx.Err() != nil {
		return nil
	}
	final := fault.Is(err, fault.Invalid) || fault.Is(err, fault.Denied)
	if final || time.Since(one.Created) > maxAge {
		return n.giveUp(ctx, one, err.Error())
	}
	if errors.Is(err, ErrUnusable) {
		if err := n.Ledger.Report(ctx, trouble(one, err.Error())); err != nil {
			return err
		}
	}
	wait := min(firstWait<<min(one.Attempts, 20), maxWait)
	wait = wait/2 + rand.N(wait/2)
	n.Log.Warn("notification not sent, will try again", "channel", one.Channel, "in", wait, "cause", err)
	return n.Ledger.SettleNotification(ctx, one.ID, "pending", err.Error(), time.Now().Add(wait))
}

// giveUp makes a dead letter of a message, which stays to be seen, and opens the
// incident of its channel.
func (n *Notifier) giveUp(ctx context.Context, one ledger.Notification, cause string) error {
	n.Log.Error("notification given up", "channel", one.Channel, "incident", one.Incident, "tries", one.Attempts+1, "cause", cause)
	if err := n.Ledger.SettleNotification(ctx, one.ID, "dead", cause, time.Now()); err != nil {
		return err
	}
	return n.Ledger.Report(ctx, trouble(one, "a message was given up: "+cause))
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
	values := map[string]any{"severity": i.Severity, "kind": i.Kind, "pipeline": i.Pipeline, "task": i.Task, "owner": i.Owner}
	for _, r := range routes {
		if r.When == "" {
			return r, true
		}
		c, err := expr.Compile(expr.ScopeRoute, r.When)
		if err != nil {
			continue // check refused it; the next route is better than silence
		}
		if ok, err := c.Eval(values); err == nil && ok {
			return r, true
		}
	}
	return project.Route{}, false
}
