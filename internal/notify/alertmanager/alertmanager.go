// Package alertmanager pushes incidents to Prometheus' Alertmanager as alerts.
//
// Alertmanager forgets an alert that nobody repeats: each one says until when it
// holds, and is sent again well before, by notify. Labels identify an incident,
// so an alert that is sent twice is one.
package alertmanager

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

// ResolveTimeout is how long an alert holds unless the project says otherwise;
// Alertmanager's own default.
const ResolveTimeout = 5 * time.Minute

// Channel is an Alertmanager.
type Channel struct {
	Name           string
	URL            secret.Value
	Token          secret.Value // a bearer's; empty: none
	User           string       // of a proxy with basic authentication; empty: none
	Password       secret.Value
	ResolveTimeout time.Duration
	HTTP           *http.Client // nil: the default one
}

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	c := Channel{
		Name: name, URL: secret.New(settings["url"]), Token: secret.New(settings["token"]), User: settings["user"],
		Password: secret.New(settings["password"]), ResolveTimeout: ResolveTimeout,
	}
	if text := settings["resolve_timeout"]; text != "" {
		var err error
		if c.ResolveTimeout, err = calendar.ParseDuration(text); err != nil {
			return nil, fault.New(fault.Invalid, "channel %s: resolve_timeout: %w", name, err)
		}
	}
	return c, nil
}

type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Send pushes one alert.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	return c.push(ctx, []notify.Message{m})
}

// Interval is how often alerts are sent again: three times before they lapse.
func (c Channel) Interval() time.Duration { return c.ResolveTimeout / 3 }

// Keep sends alerts again.
func (c Channel) Keep(ctx context.Context, list []notify.Message) error {
	_, err := c.push(ctx, list)
	return err
}

func (c Channel) push(ctx context.Context, list []notify.Message) (string, error) {
	now := time.Now().UTC()
	alerts := make([]alert, 0, len(list))
	for _, m := range list {
		alerts = append(alerts, c.render(m, now))
	}
	body, err := post.JSON(alerts)
	if err != nil {
		return "", err
	}
	header := map[string]string{}
	switch {
	case c.Token.Reveal() != "":
		header["Authorization"] = "Bearer " + c.Token.Reveal()
	case c.User != "":
		header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password.Reveal()))
	}
	answer, err := post.Request{
		Channel: c.Name, URL: secret.New(strings.TrimSuffix(c.URL.Reveal(), "/") + "/api/v2/alerts"), Header: header, Body: body,
		Secrets: []secret.Value{c.URL, c.Token, c.Password}, HTTP: c.HTTP,
	}.Do(ctx)
	if err != nil {
		return "", err
	}
	return answer.Text, answer.Err(c.Name)
}

func (c Channel) render(m notify.Message, now time.Time) alert {
	a := alert{Labels: message.Labels(m.Incident), Annotations: message.Annotations(m), StartsAt: m.Incident.Opened.UTC(), EndsAt: now.Add(c.ResolveTimeout)}
	if m.Facts.Runbook != "" {
		a.Annotations["runbook_url"] = m.Facts.Runbook
	}
	if m.Action == "resolved" {
		a.EndsAt = m.Incident.Resolved.UTC()
	}
	for name, value := range a.Labels {
		if value == "" { // Alertmanager takes an empty label for none, and warns
			delete(a.Labels, name)
		}
	}
	return a
}
