package app

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/alertmanager"
	"github.com/tidemill/tidemill/internal/notify/email"
	"github.com/tidemill/tidemill/internal/notify/heartbeat"
	"github.com/tidemill/tidemill/internal/notify/opsgenie"
	"github.com/tidemill/tidemill/internal/notify/pagerduty"
	"github.com/tidemill/tidemill/internal/notify/slack"
	"github.com/tidemill/tidemill/internal/notify/webhook"
	"github.com/tidemill/tidemill/internal/secret"
)

// channelKinds make a channel of its name and its settings, the secrets filled in.
var channelKinds = map[string]func(name string, settings map[string]string) (notify.Channel, error){
	"webhook": webhook.Open, "alertmanager": alertmanager.Open, "slack": slack.Open, "pagerduty": pagerduty.Open, "opsgenie": opsgenie.Open,
	"email": email.Open,
}

// alertPlan makes channels of what the live project declares. A channel whose
// secret is missing keeps what it is given waiting, and says why.
func (s *Server) alertPlan() notify.Plan {
	p, _ := s.Live()
	if p == nil {
		return notify.Plan{}
	}
	plan := notify.Plan{Routes: p.Alerts.Routes, Channels: map[string]notify.Channel{}, Else: map[string]string{}, Runbooks: map[string]string{}}
	if zone, err := time.LoadLocation(p.Timezone); err == nil {
		plan.Zone = zone
	}
	for _, pl := range p.Pipelines {
		plan.Runbooks[pl.Name] = pl.Runbook
	}
	for _, c := range p.Alerts.Channels {
		plan.Channels[c.Name] = s.channel(p, c)
		plan.Else[c.Name] = c.Else
	}
	return plan
}

func (s *Server) channel(p *project.Project, c project.Channel) notify.Channel {
	settings, err := expandAll(s.options.Layout.Project, p, c.Settings)
	if err != nil {
		return broken{fault.New(fault.Unavailable, "%w: %w", notify.ErrUnusable, err)}
	}
	open, ok := channelKinds[c.Kind]
	if !ok {
		return broken{fault.New(fault.Invalid, "no kind of channel %q", c.Kind)}
	}
	channel, err := open(c.Name, settings)
	if err != nil { // a secret may be what is wrong, and may be put right
		return broken{fault.New(fault.Unavailable, "%w: %w", notify.ErrUnusable, err)}
	}
	return channel
}

// heartbeat is where the live project wants the server to be heard.
func (s *Server) heartbeat() (heartbeat.Target, error) {
	p, _ := s.Live()
	if p == nil || p.Alerts.Heartbeat == nil {
		return heartbeat.Target{}, nil
	}
	settings, err := expandAll(s.options.Layout.Project, p, map[string]string{"url": p.Alerts.Heartbeat.URL})
	return heartbeat.Target{URL: secret.New(settings["url"]), Every: p.Alerts.Heartbeat.Every}, err
}

// broken is a channel that cannot be opened.
type broken struct{ err error }

// Send refuses.
func (b broken) Send(context.Context, notify.Message) (string, error) { return "", b.err }
