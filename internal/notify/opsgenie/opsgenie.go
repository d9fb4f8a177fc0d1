// Package opsgenie creates and closes alerts in Opsgenie, and in Jira Service
// Management, which speaks the same protocol at another address.
//
// An incident is one alert, known by its alias. The other side takes a request
// and works on it later: its answer holds the id to ask it about.
package opsgenie

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

// Addresses of the two flavours, unless the project says otherwise.
const (
	Opsgenie = "https://api.opsgenie.com"
	JSM      = "https://api.atlassian.com/jsm/ops/integration"
)

// Limits of an alert, in characters there and in bytes here.
const (
	maxMessage     = 130
	maxAlias       = 255 // 512 are taken; the other receivers' limit keeps the alias the same everywhere
	maxDescription = 15_000
	maxNote        = 10_000
	maxDetails     = 8_000
	maxTag         = 50
	maxEntity      = 512
	maxSource      = 100
)

// pace is well below what every plan takes.
const pace = 500 * time.Millisecond

// Channel is a team's integration.
type Channel struct {
	Name string
	URL  string
	Key  secret.Value // of an API integration
	HTTP *http.Client // nil: the default one
}

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	c := Channel{Name: name, URL: settings["url"], Key: secret.New(settings["key"])}
	if c.URL == "" {
		c.URL = JSM
		if settings["flavour"] == "opsgenie" {
			c.URL = Opsgenie
		}
	}
	return c, nil
}

// Pace is the time between two requests.
func (Channel) Pace() time.Duration { return pace }

type alert struct {
	Message     string            `json:"message"`
	Alias       string            `json:"alias"`
	Description string            `json:"description,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Entity      string            `json:"entity,omitempty"`
	Source      string            `json:"source,omitempty"`
	Priority    string            `json:"priority,omitempty"`
}

type closing struct {
	Source string `json:"source,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Send creates or closes an alert.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	path, body := "/v2/alerts", any(render(m))
	if m.Action == "resolved" {
		// The alias is one part of the path, whatever it holds.
		path += "/" + url.PathEscape(aliasOf(m.Incident)) + "/close?identifierType=alias"
		body = closing{sourceOf(m.Incident), message.Cut(message.Of(m).Text(), maxNote)}
	}
	raw, err := post.JSON(body)
	if err != nil {
		return "", err
	}
	answer, err := post.Request{
		Channel: c.Name, URL: secret.New(strings.TrimSuffix(c.URL, "/") + path), Body: raw, HTTP: c.HTTP,
		Header: map[string]string{"Authorization": "GenieKey " + c.Key.Reveal()}, Secrets: []secret.Value{c.Key},
	}.Do(ctx)
	if err != nil {
		return "", err
	}
	return answer.Text, answer.Err(c.Name)
}

func aliasOf(i ledger.Incident) string { return message.Key(i.Fingerprint, maxAlias) }

func sourceOf(i ledger.Incident) string {
	return message.Cut("tidemill/"+i.Environment, maxSource)
}

func render(m notify.Message) alert {
	i, n := m.Incident, message.Of(m)
	out := alert{
		Message: message.Cut(n.Title, maxMessage), Alias: aliasOf(i), Description: message.Cut(n.Body(), maxDescription),
		Entity: message.Cut(message.Where(i), maxEntity), Source: sourceOf(i), Priority: priorityOf(i),
		Details: map[string]string{"incident": i.ID, "kind": i.Kind, "pipeline": i.Pipeline, "environment": i.Environment},
	}
	for key, value := range map[string]string{"task": i.Task, "owner": i.Owner, "runbook": n.Runbook} {
		if value != "" {
			out.Details[key] = message.Cut(value, maxDetails/16)
		}
	}
	for _, tag := range []string{i.Environment, i.Kind, i.Owner} {
		if tag != "" {
			out.Tags = append(out.Tags, message.Cut(strings.ReplaceAll(tag, ",", " "), maxTag))
		}
	}
	return out
}

// priorityOf is one of P1 to P5.
func priorityOf(i ledger.Incident) string {
	switch i.Severity {
	case "critical":
		return "P1"
	case "error":
		return "P2"
	case "warning":
		return "P3"
	}
	return "P5"
}
