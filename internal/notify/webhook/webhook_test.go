package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/webhook"
	"github.com/tidemill/tidemill/internal/secret"
)

var message = notify.Message{ID: 7, Action: "firing", Told: notify.Told{Incident: ledger.Incident{
	Environment: "prod", ID: "i1", Fingerprint: "prod/land/flights/task_failed", Kind: "task_failed", Severity: "error",
	Pipeline: "land", Task: "flights", Owner: "airline-data", State: "open", Summary: "exit 1: no such file",
	Opened: time.Date(2013, 1, 2, 11, 0, 0, 0, time.UTC),
	Runs: []ledger.IncidentRun{{Run: "r1", Task: "flights", Window: commit.Window{
		Start: time.Date(2013, 1, 1, 5, 0, 0, 0, time.UTC), End: time.Date(2013, 1, 2, 5, 0, 0, 0, time.UTC),
	}}},
}}}

func TestAReceiverGetsASignedAlertmanagerMessage(t *testing.T) {
	t.Parallel()
	var got webhook.Payload
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		want := webhook.Sign("a key", r.Header.Get(webhook.HeaderID), r.Header.Get(webhook.HeaderTimestamp), body)
		if r.Header.Get(webhook.HeaderSignature) != want || r.Header.Get(webhook.HeaderID) != "7" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if err := json.Unmarshal(body, &got); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "taken")
	}))
	defer server.Close()
	answer, err := webhook.Channel{Name: "oncall", URL: secret.New(server.URL), Key: secret.New("a key")}.Send(t.Context(), message)
	if err != nil || answer != "200 OK taken" {
		t.Fatalf("%q, %v", answer, err)
	}
	if got.Version != "4" || got.Status != "firing" || got.Receiver != "oncall" || len(got.Alerts) != 1 || got.Alerts[0].Labels["task"] != "flights" {
		t.Errorf("payload %+v", got)
	}
	if d := got.Alerts[0].Annotations["description"]; !strings.Contains(d, "tidemill rerun r1") || !strings.Contains(d, "exit 1") {
		t.Errorf("description %q says neither what nor what next", d)
	}
}

func TestAnswersThatAreFinalAndThoseThatAreNot(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fault.Kind{400: fault.Invalid, 404: fault.Invalid, 429: fault.Unavailable, 500: fault.Unavailable, 503: fault.Unavailable} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		_, err := webhook.Channel{Name: "oncall", URL: secret.New(server.URL)}.Send(t.Context(), message)
		if fault.KindOf(err) != want {
			t.Errorf("status %d: %v, want kind %s", status, err, want)
		}
		server.Close()
	}
	const token = "t0ps3cret"
	_, err := webhook.Channel{Name: "oncall", URL: secret.New("http://127.0.0.1:1/" + token)}.Send(t.Context(), message)
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), token) {
		t.Errorf("no listener: %v", err)
	}
}
