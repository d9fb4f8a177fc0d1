package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
)

// The breaker of a channel: after so many failures in a row it is left alone for
// a while, doubling, and then tried with one message.
const (
	failuresInRow = 3
	firstRest     = 10 * time.Second
	maxRest       = time.Minute
	maxLater      = time.Hour // no more is granted to a receiver that says when to come again
)

// lane is what the notifier knows of a channel. Only the one who made it busy
// touches the rest of it.
type lane struct {
	busy     atomic.Bool
	next     time.Time // the earliest moment for another message, by the channel's pace
	failures int       // in a row
	until    time.Time // nothing is sent before
	why      string
	keep     time.Time // when the channel is reminded again; zero: it need not be
}

// shut says until when the lane sends nothing, and why.
func (l *lane) shut(now time.Time) (time.Time, bool) { return l.until, l.until.After(now) }

// taken notes that a message was taken.
func (l *lane) taken() { l.failures, l.until, l.why = 0, time.Time{}, "" }

// failed notes a failure that says something about the channel as a whole.
func (l *lane) failed(now time.Time, err error) {
	if later, ok := errors.AsType[*Later](err); ok {
		l.until, l.why = now.Add(min(max(later.After, time.Second), maxLater)), err.Error()
		return
	}
	if errors.Is(err, ErrUnusable) {
		return
	}
	if l.failures++; l.failures >= failuresInRow {
		rest := min(firstRest<<min(l.failures-failuresInRow, 10), maxRest)
		l.until, l.why = now.Add(rest), fmt.Sprintf("%d failures in a row, the last: %s", l.failures, err)
	}
}

// pace waits until the channel may be given another message.
func (l *lane) pace(ctx context.Context, c Channel) error {
	paced, ok := c.(Paced)
	if !ok {
		return nil
	}
	timer := time.NewTimer(time.Until(l.next))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	l.next = time.Now().Add(paced.Pace())
	return nil
}

// drain sends what is due on a channel, one after the other.
func (n *Notifier) drain(ctx context.Context, plan Plan, l *lane, due []ledger.Notification) error {
	for _, one := range due {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of the server is no failure of a message
		}
		if err := n.deliver(ctx, plan, l, one); err != nil {
			return err
		}
	}
	return nil
}

func (n *Notifier) deliver(ctx context.Context, plan Plan, l *lane, one ledger.Notification) error {
	channel, ok := plan.Channels[one.Channel]
	if !ok {
		return n.giveUp(ctx, one, "the project has no channel "+one.Channel)
	}
	m, err := read(plan, one)
	if err != nil {
		return n.giveUp(ctx, one, "the message cannot be read: "+err.Error())
	}
	if until, shut := l.shut(time.Now()); shut {
		return n.hold(ctx, plan, one, until, l.why)
	}
	before, err := n.before(ctx, one, &m)
	if err != nil {
		return err
	}
	if !before.IsZero() {
		return n.hold(ctx, plan, one, before, "an earlier message about the same cause comes first")
	}
	if err := l.pace(ctx, channel); err != nil {
		return nil //nolint:nilerr // the server ends; the message waits for the next one
	}
	limited, stop := context.WithTimeout(ctx, sendLimit)
	answer, err := channel.Send(limited, m)
	stop()
	if err == nil {
		l.taken()
		if err := n.Ledger.SettleNotification(ctx, one.ID, "sent", answer, time.Now(), 1); err != nil {
			return err
		}
		return n.Ledger.Resolve(ctx, trouble(one, ""), "a message was taken")
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // as above
	}
	return n.again(ctx, plan, l, one, err)
}

// again decides what becomes of a message that was not taken.
func (n *Notifier) again(ctx context.Context, plan Plan, l *lane, one ledger.Notification, cause error) error {
	final := fault.Is(cause, fault.Invalid) || fault.Is(cause, fault.Denied)
	if final || time.Since(one.Created) > maxAge {
		if err := n.divert(ctx, plan, one); err != nil {
			return err
		}
		return n.giveUp(ctx, one, cause.Error())
	}
	l.failed(time.Now(), cause)
	if errors.Is(cause, ErrUnusable) {
		if err := n.Ledger.Report(ctx, trouble(one, cause.Error())); err != nil {
			return err
		}
	}
	wait := min(firstWait<<min(one.Attempts, 20), maxWait)
	wait = wait/2 + rand.N(wait/2)
	if until, shut := l.shut(time.Now()); shut {
		wait = max(wait, time.Until(until))
	}
	if time.Since(one.Created) >= patience {
		if err := n.divert(ctx, plan, one); err != nil {
			return err
		}
	}
	n.Log.Warn("notification not sent, will try again", "channel", one.Channel, "in", wait, "cause", cause)
	return n.Ledger.SettleNotification(ctx, one.ID, "pending", cause.Error(), time.Now().Add(wait), 1)
}

// hold lets a message wait without trying it.
func (n *Notifier) hold(ctx context.Context, plan Plan, one ledger.Notification, until time.Time, why string) error {
	if age := time.Since(one.Created); age > maxAge {
		if err := n.divert(ctx, plan, one); err != nil {
			return err
		}
		return n.giveUp(ctx, one, "never tried: "+why)
	} else if age >= patience {
		if err := n.divert(ctx, plan, one); err != nil {
			return err
		}
	}
	return n.Ledger.SettleNotification(ctx, one.ID, "pending", "waits: "+why, until, 0)
}

// divert tells the channel's else: of an incident that is still open, once for
// each message; whoever is told of the beginning is told of the end.
func (n *Notifier) divert(ctx context.Context, plan Plan, one ledger.Notification) error {
	to := plan.Else[one.Channel]
	if to == "" || one.Action != "firing" {
		return nil
	}
	other := one
	other.Channel, other.Created = to, one.Created.Add(-time.Microsecond)
	return n.Ledger.TellAgain(ctx, other)
}

// read makes a message of an outbox row.
func read(plan Plan, one ledger.Notification) (Message, error) {
	var s stored
	err := json.Unmarshal(one.Body, &s)
	return Message{ID: one.ID, Action: one.Action, Told: Told{s.Incident, s.Facts}, Zone: plan.Zone}, err
}

// before fills in what the channel took of the incident already, and says until
// when a message must wait because an earlier one about the same cause does.
func (n *Notifier) before(ctx context.Context, one ledger.Notification, m *Message) (until time.Time, err error) {
	list, err := n.Ledger.Notifications(ctx, one.Environment, m.Incident.Fingerprint, listed)
	if err != nil {
		return until, err
	}
	for _, e := range slices.Backward(list) {
		switch {
		case e.Channel != one.Channel || e.ID >= one.ID:
		case e.State == "pending":
			until = e.Next.Add(time.Second)
		case e.State == "sent" && e.Incident == one.Incident:
			m.Earlier = append(m.Earlier, Sent{e.Action, e.Answer})
		}
	}
	return until, nil
}
