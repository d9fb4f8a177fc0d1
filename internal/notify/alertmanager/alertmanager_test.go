package alertmanager_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/alertmanager"
	"github.com/tidemill/tidemill/internal/notify/notifytest"
	"github.com/tidemill/tidemill/internal/testserver"
)

// held is an alert as Alertmanager shows it.
type held struct {
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time
	EndsAt      time.Time
	Status      struct{ State string }
}

// ask returns the active alerts of an Alertmanager.
func ask(t *testing.T, url string) (out []held) {
	t.Helper()
	resp, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// told is a receiver of what Alertmanager sends on.
type told struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newTold(t *testing.T) *told {
	r := &told{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		var p struct {
			Status string
			Alerts []struct{ Labels map[string]string }
		}
		body, _ := io.ReadAll(q.Body)
		_ = json.Unmarshal(body, &p)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range p.Alerts {
			r.got = append(r.got, p.Status+" "+a.Labels["alertname"]+" "+a.Labels["task"])
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *told) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, ", ")
}

const config = `
route: {receiver: out, group_by: [pipeline], group_wait: 50ms, group_interval: 200ms, repeat_interval: 4h}
receivers:
- name: out
  webhook_configs: [{url: "URL", send_resolved: true}]
`

func channel(t *testing.T, settings map[string]string) notify.Channel {
	t.Helper()
	c, err := alertmanager.Open("prometheus", settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARealAlertmanagerHoldsAnIncidentForAsLongAsItIsOpen(t *testing.T) {
	t.Parallel()
	out := newTold(t)
	url := testserver.Alertmanager(t, strings.ReplaceAll(config, "URL", out.URL))
	// Three seconds and not five minutes: the alert would lapse twice over here.
	bench := notifytest.Start(t, channel(t, map[string]string{"url": url, "resolve_timeout": "3s"}), 0)
	bench.Fail()
	notifytest.Await(t, "the alert is told of", func() bool { return out.all() == "firing task_failed orders" })
	for begun := time.Now(); time.Since(begun) < 7*time.Second; time.Sleep(100 * time.Millisecond) {
		list := ask(t, url)
		if len(list) != 1 || list[0].Status.State != "active" {
			t.Fatalf("after %s Alertmanager holds %+v", time.Since(begun), list)
		}
	}
	a := ask(t, url)[0]
	if a.Labels["environment"] != "prod" || a.Labels["pipeline"] != "land" || a.Labels["owner"] != "data" || a.Labels["severity"] != "error" ||
		a.Annotations["summary"] != "exit code 4: bad key" || a.Annotations["runbook_url"] != "https://wiki.example.net/land" {
		t.Errorf("the alert is %+v", a)
	}
	if got := out.all(); got != "firing task_failed orders" {
		t.Errorf("while the incident was open Alertmanager told of: %s", got)
	}
	bench.Recover()
	notifytest.Await(t, "the end is told of", func() bool { return out.all() == "firing task_failed orders, resolved task_failed orders" })
	time.Sleep(2 * time.Second) // the end is said again meanwhile, and stays the end
	if list := ask(t, url); len(list) != 0 {
		t.Errorf("after the end Alertmanager holds %+v", list)
	}
	if got := out.all(); got != "firing task_failed orders, resolved task_failed orders" {
		t.Errorf("in all Alertmanager told of: %s", got)
	}
}

func TestAnAlertThatNobodyRepeatsLapses(t *testing.T) {
	t.Parallel()
	url := testserver.Alertmanager(t, strings.ReplaceAll(config, "URL", newTold(t).URL))
	m := notify.Message{ID: 1, Action: "firing", Told: notify.Told{Incident: ledger.Incident{
		Environment: "prod", Kind: "late", Severity: "error", Pipeline: "land", State: "open", Summary: "late", Opened: time.Now(),
	}}}
	if _, err := channel(t, map[string]string{"url": url, "resolve_timeout": "1s"}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(ask(t, url)) != 1 {
		t.Error("the alert is not there")
	}
	notifytest.Await(t, "the alert lapses", func() bool { return len(ask(t, url)) == 0 })
}

func TestARealAlertmanagerRefusesWhatIsNoAlert(t *testing.T) {
	t.Parallel()
	url := testserver.Alertmanager(t, strings.ReplaceAll(config, "URL", newTold(t).URL))
	var nothing notify.Message
	_, err := channel(t, map[string]string{"url": url}).Send(t.Context(), nothing)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "400") {
		t.Errorf("%v", err)
	}
}

func TestAnAlertmanagerBehindAProxyWantsToKnowWho(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer server.Close()
	m := notify.Message{ID: 1, Action: "firing"}
	for want, settings := range map[string]map[string]string{
		"Bearer t0ken":       {"token": "t0ken"},
		"Basic YWRhOnMzY3I=": {"user": "ada", "password": "s3cr"},
		"":                   {},
	} {
		settings["url"] = server.URL
		if _, err := channel(t, settings).Send(t.Context(), m); err != nil || got != want {
			t.Errorf("%v: %q, %v", settings, got, err)
		}
	}
}
