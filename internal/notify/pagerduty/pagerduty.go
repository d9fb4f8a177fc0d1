// Package pagerduty triggers and resolves alerts through PagerDuty's Events API v2.
//
// An incident is one alert: its key is the incident's, so what is told again and
// what is sent twice joins it. A resolve finds its alert only under the routing
// key that triggered it, and PagerDuty says nothing where it does not; so the
// answers remember a digest of the key, and a change of it is an error.
package pagerduty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

// Events is where events are sent unless the project says otherwise.
const Events = "https://events.pagerduty.com"

// KeyLength is the length of a routing key.
const KeyLength = 32

// Limits of an event.
const (
	maxSummary  = 1024
	maxDedupKey = 255
	maxEvent    = 512 << 10
)

// pace keeps to 120 events a minute and routing key.
const pace = 500 * time.Millisecond

// Channel is a service of PagerDuty.
type Channel struct {
	Name string
	URL  string
	Key  secret.Value // the integration's routing key
	HTTP *http.Client // nil: the default one
}

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	c := Channel{Name: name, URL: settings["url"], Key: secret.New(settings["key"])}
	if c.URL == "" {
		c.URL = Events
	}
	if n := len(c.Key.Reveal()); n != KeyLength {
		return nil, fault.New(fault.Invalid, "the routing key of channel %s has %d characters; one of an Events API v2 integration has %d", name, n, KeyLength)
	}
	return c, nil
}

// Pace is the time between two events.
func (Channel) Pace() time.Duration { return pace }

type event struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"`
	DedupKey   string   `json:"dedup_key"`
	Client     string   `json:"client,omitempty"`
	Links      []link   `json:"links,omitempty"`
	Payload    *payload `json:"payload,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type payload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp,omitempty"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

// Send sends an event.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	e := c.event(m)
	if e.Action == "resolve" {
		if was := keyOf(m.Earlier); was != "" && was != c.digest() {
			return "", fault.New(fault.Invalid, "channel %s: the routing key is another one than the alert was triggered with, so PagerDuty would drop the resolve; resolve %s there by hand", c.Name, e.DedupKey)
		}
	}
	body, err := encode(e)
	if err != nil {
		return "", err
	}
	answer, err := post.Request{
		Channel: c.Name, URL: secret.New(strings.TrimSuffix(c.URL, "/") + "/v2/enqueue"), Body: body, Secrets: []secret.Value{c.Key}, HTTP: c.HTTP,
	}.Do(ctx)
	if err != nil {
		return "", err
	}
	return answer.Text + " " + keyMark + c.digest(), answer.Err(c.Name)
}

// keyMark stands before the digest of the routing key in an answer.
const keyMark = "key#"

// digest tells routing keys apart and says nothing of them.
func (c Channel) digest() string {
	sum := sha256.Sum256([]byte("tidemill routing key " + c.Key.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// keyOf finds the digest of the routing key that an alert was triggered with.
func keyOf(earlier []notify.Sent) string {
	for _, e := range earlier {
		if at := strings.LastIndex(e.Answer, keyMark); at >= 0 && e.Action != "resolved" {
			return e.Answer[at+len(keyMark):]
		}
	}
	return ""
}

// encode writes an event within the size that is taken: where it is too large the
// details go, not the event.
func encode(e event) ([]byte, error) {
	body, err := post.JSON(e)
	if err != nil || len(body) <= maxEvent || e.Payload == nil {
		return body, err
	}
	small := *e.Payload
	small.Details = map[string]string{"left out": fmt.Sprintf("the details were too large, the event had %d bytes", len(body))}
	e.Payload = &small
	return post.JSON(e)
}

func (c Channel) event(m notify.Message) event {
	i, n := m.Incident, message.Of(m)
	e := event{RoutingKey: c.Key.Reveal(), Action: "trigger", DedupKey: message.Key(i.Fingerprint, maxDedupKey)}
	if m.Action == "resolved" {
		e.Action = "resolve"
		return e
	}
	e.Client = "Tidemill"
	if u, err := url.Parse(n.Runbook); err == nil && n.Runbook == m.Facts.Runbook && (u.Scheme == "https" || u.Scheme == "http") {
		e.Links = []link{{n.Runbook, "runbook"}}
	}
	summary := n.Title
	if n.Error != "" {
		summary += ": " + n.Error
	}
	e.Payload = &payload{
		Summary: message.Cut(summary, maxSummary), Source: "tidemill/" + i.Environment, Severity: severityOf(i), Component: i.Task,
		Group: i.Pipeline, Class: i.Kind, Timestamp: i.Opened.UTC().Format(time.RFC3339), Details: details(n, message.Runs(i.Runs, m.Zone)),
	}
	return e
}

// severityOf is one of the four that PagerDuty knows, which are ours.
func severityOf(i ledger.Incident) string {
	switch i.Severity {
	case "critical", "error", "warning", "info":
		return i.Severity
	}
	return "error"
}

func details(n message.Note, runs []string) map[string]string {
	out := map[string]string{}
	add := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	add("error", n.Error)
	add("owner", n.Owner)
	add("attempt", n.Attempt)
	add("since", n.Since)
	add("runs", strings.Join(runs, "\n"))
	add("runbook", n.Runbook)
	for _, c := range n.Type {
		add(c.For, c.Text)
	}
	return out
}
