// Package webhook sends incidents as Alertmanager's webhook payload, version 4,
// so that every receiver of Alertmanager understands them.
//
// Each request carries an id that stays the same when it is sent again, and,
// where a key is configured, an HMAC-SHA256 over "id.timestamp.body".
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/notify/post"
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

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	return Channel{Name: name, URL: secret.New(settings["url"]), Key: secret.New(settings["hmac"])}, nil
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
	labels, annotations := message.Labels(i), message.Annotations(m)
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

// Sign returns the signature header's value.
func Sign(key, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	_, _ = mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Send posts a message. 2xx is taken; 4xx but 408, 425 and 429 is final.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	body, err := post.JSON(Render(c.Name, m))
	if err != nil {
		return "", err
	}
	id, timestamp := strconv.FormatInt(m.ID, 10), strconv.FormatInt(time.Now().Unix(), 10)
	header := map[string]string{HeaderID: id, HeaderTimestamp: timestamp}
	if key := c.Key.Reveal(); key != "" {
		header[HeaderSignature] = Sign(key, id, timestamp, body)
	}
	answer, err := post.Request{Channel: c.Name, URL: c.URL, Header: header, Body: body, Secrets: []secret.Value{c.Key}, HTTP: c.HTTP}.Do(ctx)
	if err != nil {
		return "", err
	}
	return answer.Text, answer.Err(c.Name)
}
