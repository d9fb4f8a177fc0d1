// Package webhook sends incidents as Alertmanager's webhook payload, version 4,
// so that every receiver of Alertmanager understands them.
//
// Each request carries an id that stays the same when it is sent again, and,
// where a key is configured, an HMAC-SHA256 over "id.timestamp.body".
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/secret"
)

// Headers of a request.
const (
	HeaderID        = "X-Tidemill-Id"
	HeaderTimestamp = "X-Tidemill-Timestamp"
	HeaderSignature = "X-Tidemill-Signature" // sha256=hex
)

// Channel is one receiver.
type Channel struct {
	Name string
	URL  secret.Value // may hold a token
	Key  secret.Value // empty: not signed
	HTTP *http.Client // nil: the default one
}

// Payload is Alertmanager's webhook message, version 4.
type Payload struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"` // firing, resolved
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []Alert           `json:"alerts"`
}

// Alert is one alert of a payload.
type Alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Render returns the payload of a message.
func Render(receiver string, m notify.Message) Payload {
	i := m.Incident
	status := "firing"
	if m.Action == "resolved" {
		status = "resolved"
	}
	labels := map[string]string{
		"alertname": i.Kind, "environment": i.Environment, "pipeline": i.Pipeline, "severity": i.Severity,
	}
	if i.Task != "" {
		labels["task"] = i.Task
	}
	if i.Owner != "" {
		labels["owner"] = i.Owner
	}
	annotations := map[string]string{"summary": i.Summary, "description": describe(m), "incident": i.ID}
	sum := sha256.Sum256([]byte(i.Fingerprint))
	return Payload{
		Version: "4", GroupKey: i.Fingerprint, Status: status, Receiver: receiver,
		GroupLabels: map[string]string{"pipeline": i.Pipeline}, CommonLabels: labels, CommonAnnotations: annotations,
		Alerts: []Alert{{
			Status: status, Labels: labels, Annotations: annotations, StartsAt: i.Opened, EndsAt: i.Resolved,
			Fingerprint: hex.EncodeToString(sum[:8]),
		}},
	}
}

// describe says what is wrong for whom, and what to type next.
func describe(m notify.Message) string {
	i := m.Incident
	var b strings.Builder
	what := i.Pipeline
	if i.Task != "" {
		what += "/" + i.Task
	}
	if m.Action == "resolved" {
		fmt.Fprintf(&b, "%s is well again: %s.", what, i.Resolution)
		return b.String()
	}
	fmt.Fprintf(&b, "%s: %s", what, i.Summary)
	for n, r := range i.Runs {
		if n == 5 {
			fmt.Fprintf(&b, "\nand %d more runs", len(i.Runs)-n)
			break
		}
		fmt.Fprintf(&b, "\nrun %s, window %s", r.Run, r.Window)
	}
	if len(i.Runs) > 0 {
		last := i.Runs[len(i.Runs)-1].Run
		if strings.Contains(last, "@") { // a slot that never became a run
			fmt.Fprintf(&b, "\nlook: tidemill why %s   make up for it: tidemill run %s --window START/END", last, i.Pipeline)
			return b.String()
		}
		fmt.Fprintf(&b, "\nlook: tidemill why %s   log: tidemill logs %s   again: tidemill rerun %s", last, last, last)
	}
	return b.String()
}

// Sign returns the signature header's value.
func Sign(key, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	_, _ = mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Send posts a message. 2xx is taken; 4xx but 408, 425 and 429 is final.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	body, err := json.Marshal(Render(c.Name, m))
	if err != nil {
		return "", fault.New(fault.Internal, "render incident %s: %w", m.Incident.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return "", fault.New(fault.Invalid, "channel %s: the url cannot be read", c.Name)
	}
	id, timestamp := strconv.FormatInt(m.ID, 10), strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tidemill")
	req.Header.Set(HeaderID, id)
	req.Header.Set(HeaderTimestamp, timestamp)
	if key := c.Key.Reveal(); key != "" {
		req.Header.Set(HeaderSignature, Sign(key, id, timestamp, body))
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fault.New(fault.Unavailable, "channel %s: %w", c.Name, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	answer := strings.TrimSpace(resp.Status + " " + string(text))
	switch {
	case resp.StatusCode/100 == 2:
		return answer, nil
	case resp.StatusCode == 408 || resp.StatusCode == 425 || resp.StatusCode == 429 || resp.StatusCode >= 500:
		return answer, fault.New(fault.Unavailable, "channel %s answered %s", c.Name, answer)
	}
	return answer, fault.New(fault.Invalid, "channel %s answered %s", c.Name, answer)
}

// withoutURL takes the address, which may hold a token, out of an error.
func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok { //nolint:errorlint // the outermost error of http.Client is this type
		return e.Err
	}
	return err
}
