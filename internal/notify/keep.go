package notify

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// afterlife is how long a channel that must be reminded is told of an end.
const afterlife = 5 * time.Minute

// retryKeep is how soon a channel is reminded again that did not listen.
const retryKeep = 10 * time.Second

// keep reminds the channels that would forget. What it sends is no message of its
// own: it says again what the channel took, and is not written down.
func (n *Notifier) keep(ctx context.Context, plan Plan) error {
	for name, c := range plan.Channels {
		keeper, ok := c.(Keeper)
		l := n.lane(name)
		if !ok || l.busy.Load() || l.keep.After(time.Now()) {
			continue
		}
		list, err := n.kept(ctx, plan, name)
		if err != nil {
			return err
		}
		l.keep = time.Now().Add(keeper.Interval())
		if len(list) == 0 {
			continue
		}
		n.start(ctx, name, func(l *lane) error {
			if _, shut := l.shut(time.Now()); shut {
				l.keep = l.until
				return nil
			}
			limited, stop := context.WithTimeout(ctx, sendLimit)
			defer stop()
			if err := keeper.Keep(limited, list); err != nil && ctx.Err() == nil {
				l.keep = time.Now().Add(min(retryKeep, keeper.Interval()))
				n.Log.Warn("a channel was not reminded of its incidents, will try again", "channel", name, "incidents", len(list), "cause", err)
			}
			return nil
		})
	}
	return nil
}

// kept are the incidents that a channel was told of and must not forget: those
// that are open, and those that ended a moment ago, unless their cause is back.
func (n *Notifier) kept(ctx context.Context, plan Plan, channel string) ([]Message, error) {
	told, err := n.Ledger.LastTold(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	var out []Message
	open := map[string]bool{}
	for _, t := range told {
		if t.Channel != channel {
			continue
		}
		i, err := n.Ledger.Incident(ctx, t.Environment, t.Incident)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		open[i.Fingerprint] = true
		out = append(out, Message{Action: "firing", Told: Told{Incident: i, Facts: Facts{Runbook: plan.Runbooks[i.Pipeline]}}, Zone: plan.Zone})
	}
	recent, err := n.Ledger.Notifications(ctx, n.Environment, "", listed)
	if err != nil {
		return nil, err
	}
	for _, r := range recent {
		if r.Channel != channel || r.Action != "resolved" || r.State != "sent" || time.Since(r.Sent) > afterlife {
			continue
		}
		m, err := read(plan, r)
		if err != nil || open[m.Incident.Fingerprint] {
			continue
		}
		open[m.Incident.Fingerprint] = true
		out = append(out, m)
	}
	return out, nil
}
