package pagerduty_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/notifytest"
	"github.com/tidemill/tidemill/internal/notify/pagerduty"
)

const (
	key   = "0123456789abcdef0123456789abcdef"
	other = "fedcba9876543210fedcba9876543210"
)

// service is the Events API v2 as far as its documentation goes. Alerts live under
// their routing key and dedup key; a resolve of another one is taken and dropped.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	answer []int  // statuses before it works
	after  string // what 429 says, in seconds
	open   map[string]int
	closed []string
	last   map[string]any
}

func newService(t *testing.T) *service {
	s := &service{open: map[string]int{}, after: "30"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answer) > 0 {
		status := s.answer[0]
		s.answer = s.answer[1:]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", s.after)
		}
		w.WriteHeader(status)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var e map[string]any
	var faults []string
	check := func(ok bool, what string) {
		if !ok {
			faults = append(faults, what)
		}
	}
	check(r.Method == http.MethodPost && r.URL.Path == "/v2/enqueue", "unknown route")
	check(len(body) <= 512<<10, "the event is larger than 512 KB")
	if json.Unmarshal(body, &e) != nil {
		e = map[string]any{}
	}
	text := func(m map[string]any, k string) string { v, _ := m[k].(string); return v }
	routing, action, dedup := text(e, "routing_key"), text(e, "event_action"), text(e, "dedup_key")
	check(len(routing) == 32, "Length of 'routing_key' is incorrect (should be 32 characters)")
	check(slices.Contains([]string{"trigger", "acknowledge", "resolve"}, action), "event_action")
	check(dedup != "" && utf8.RuneCountInString(dedup) <= 255, "dedup_key")
	if action == "trigger" {
		p, _ := e["payload"].(map[string]any)
		check(text(p, "summary") != "" && utf8.RuneCountInString(text(p, "summary")) <= 1024, "payload.summary")
		check(text(p, "source") != "", "payload.source")
		check(slices.Contains([]string{"critical", "error", "warning", "info"}, text(p, "severity")), "payload.severity")
		_, err := time.Parse(time.RFC3339, text(p, "timestamp"))
		check(err == nil, "payload.timestamp")
		links, _ := e["links"].([]any)
		for _, l := range links {
			one, _ := l.(map[string]any)
			check(strings.HasPrefix(text(one, "href"), "http"), "links[].href")
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(faults) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": faults})
		return
	}
	s.last = e
	name := routing[:4] + " " + dedup
	if action == "trigger" {
		s.open[name]++
	} else if s.open[name] > 0 {
		delete(s.open, name)
		s.closed = append(s.closed, name)
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "success", "message": "Event processed", "dedup_key": dedup})
}

func (s *service) channel(t *testing.T, routing string) notify.Channel {
	t.Helper()
	c, err := pagerduty.Open("oncall", map[string]string{"url": s.URL, "key": routing})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func incident(action string) notify.Message {
	opened := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	i := ledger.Incident{
		Environment: "prod", ID: "i1", Fingerprint: "prod/land/orders/task_failed", Kind: "task_failed", Severity: "critical", Pipeline: "land", Task: "orders",
		Owner: "data", State: "open", Summary: "exit code 4: bad key", Opened: opened, Runs: []ledger.IncidentRun{{Run: "r1", Task: "orders"}},
	}
	if action == "resolved" {
		i.State, i.Resolved, i.Resolution = "resolved", opened.Add(time.Hour), "run r2 succeeded"
	}
	return notify.Message{ID: 7, Action: action, Told: notify.Told{Incident: i, Facts: notify.Facts{Runbook: "https://wiki.example.net/land"}}}
}

func TestAnIncidentIsOneAlertFromTriggerToResolve(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := s.channel(t, key)
	var earlier []notify.Sent
	for _, action := range []string{"firing", "firing", "resolved"} {
		m := incident(action)
		m.Earlier = earlier
		answer, err := c.Send(t.Context(), m)
		if err != nil || !strings.HasPrefix(answer, "202 Accepted") || strings.Contains(answer, key) {
			t.Fatalf("%s: %q, %v", action, answer, err)
		}
		earlier = append(earlier, notify.Sent{Action: action, Answer: answer})
		if action == "firing" {
			p := s.last["payload"].(map[string]any)
			if d := p["custom_details"].(map[string]any); d["again"] != "tidemill --env prod rerun r1" || d["owner"] != "data" || d["runs"] != "run r1" {
				t.Errorf("the details are %v", d)
			}
			if p["summary"] != "land/orders failed [prod]: exit code 4: bad key" || p["severity"] != "critical" || p["component"] != "orders" ||
				p["group"] != "land" || p["class"] != "task_failed" || p["source"] != "tidemill/prod" || fmt.Sprint(s.last["links"]) != "[map[href:https://wiki.example.net/land text:runbook]]" {
				t.Errorf("the event is %v", s.last)
			}
		}
	}
	if len(s.open) != 0 || !slices.Equal(s.closed, []string{"0123 prod/land/orders/task_failed"}) {
		t.Errorf("open %v, closed %v", s.open, s.closed)
	}
}

func TestAResolveUnderAnotherRoutingKeyIsAnErrorAndNotDropped(t *testing.T) {
	t.Parallel()
	s := newService(t)
	answer, err := s.channel(t, key).Send(t.Context(), incident("firing"))
	if err != nil {
		t.Fatal(err)
	}
	m := incident("resolved")
	m.Earlier = []notify.Sent{{Action: "firing", Answer: answer}}
	if _, err = s.channel(t, other).Send(t.Context(), m); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v", err)
	}
	if len(s.open) != 1 {
		t.Errorf("open %v", s.open)
	}
}

func TestTheLargestIncidentKeepsWithinTheLimits(t *testing.T) {
	t.Parallel()
	s := newService(t)
	m := incident("firing")
	m.Incident.Fingerprint = "prod/" + strings.Repeat("ü", 300) + "/task_failed"
	m.Incident.Task = strings.Repeat("t", 900)
	m.Incident.Summary = strings.Repeat("ü", 100_000)
	m.Incident.Owner = strings.Repeat("o", 100_000)
	m.Facts.Runbook = "https://wiki.example.net/" + strings.Repeat("x", 600_000)
	for i := range 70_000 {
		m.Incident.Runs = append(m.Incident.Runs, ledger.IncidentRun{Run: fmt.Sprintf("r%d", i)})
	}
	if _, err := s.channel(t, key).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, left := s.last["payload"].(map[string]any)["custom_details"].(map[string]any)["left out"]; !left {
		t.Errorf("the details of an event that was too large are still there")
	}
	if dedup := s.last["dedup_key"].(string); !strings.HasPrefix(dedup, "prod/ü") || len(dedup) > 255 {
		t.Errorf("the key is %q", dedup)
	}
	end := incident("resolved")
	end.Incident.Fingerprint = m.Incident.Fingerprint
	if _, err := s.channel(t, key).Send(t.Context(), end); err != nil || len(s.open) != 0 {
		t.Errorf("%v, open %v", err, s.open)
	}
}

func TestWhatIsRefusedIsFinalAndWhatIsBusyIsNot(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := s.channel(t, key)
	for status, want := range map[int]fault.Kind{400: fault.Invalid, 403: fault.Invalid, 429: fault.Unavailable, 500: fault.Unavailable, 502: fault.Unavailable} {
		s.answer = []int{status}
		_, err := c.Send(t.Context(), incident("firing"))
		if fault.KindOf(err) != want {
			t.Errorf("status %d: %v, want kind %s", status, err, want)
		}
		if later, ok := errors.AsType[*notify.Later](err); (status == 429) != (ok && later.After == 30*time.Second) {
			t.Errorf("status %d: %v", status, err)
		}
		if _, err := c.Send(t.Context(), incident("firing")); err != nil {
			t.Errorf("after status %d: %v", status, err)
		}
	}
	s.Close()
	if _, err := c.Send(t.Context(), incident("firing")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestARoutingKeyHas32Characters(t *testing.T) {
	t.Parallel()
	if _, err := pagerduty.Open("oncall", map[string]string{"key": "t0ps3cret"}); err == nil || strings.Contains(err.Error(), "t0ps3cret") {
		t.Errorf("%v", err)
	}
}

func TestAPagerInTroubleHearsOfTheBeginningAndThenOfTheEnd(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.answer, s.after = []int{500, 429, 503}, "1"
	bench := notifytest.Start(t, s.channel(t, key), 0)
	bench.Fail()
	bench.Recover() // before anybody has heard
	if list := bench.AwaitSent(2); list[0].Attempts != 4 || list[1].Attempts != 1 || strings.Contains(list[0].Answer, key) {
		t.Errorf("the messages are %+v", list)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.closed, []string{"0123 prod/land/orders/task_failed"}) || len(s.open) != 0 {
		t.Errorf("open %v, closed %v", s.open, s.closed)
	}
}
