package opsgenie_test

import (
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/tidemill/tidemill/internal/notify/opsgenie"
)

const key = "t0ps3cret-genie-key"

// desk is the alert API as far as its documentation goes: it takes requests with
// 202 and works on them later, so a wrong alias is not noticed by who sends it.
type desk struct {
	*httptest.Server
	mu     sync.Mutex
	answer []int
	open   map[string]int
	closed []string
	last   map[string]any
}

func newDesk(t *testing.T) *desk {
	d := &desk{open: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/alerts", d.take(func(_ *http.Request, a map[string]any) string {
		for field, limit := range map[string]int{"message": 130, "alias": 512, "description": 15000, "entity": 512, "source": 100} {
			text, _ := a[field].(string)
			if utf8.RuneCountInString(text) > limit {
				return fmt.Sprintf("%s cannot be longer than %d characters", field, limit)
			}
		}
		tags, _ := a["tags"].([]any)
		for _, tag := range tags {
			if utf8.RuneCountInString(tag.(string)) > 50 || len(tags) > 20 {
				return "tags"
			}
		}
		details := 0
		all, _ := a["details"].(map[string]any)
		for k, v := range all {
			details += len(k) + len(v.(string))
		}
		priority, _ := a["priority"].(string)
		if message, _ := a["message"].(string); message == "" || details > 8000 || !slices.Contains([]string{"P1", "P2", "P3", "P4", "P5"}, priority) {
			return "message, details or priority"
		}
		d.open[a["alias"].(string)]++
		d.last = a
		return ""
	}))
	mux.HandleFunc("POST /v2/alerts/{id}/close", d.take(func(r *http.Request, a map[string]any) string {
		note, _ := a["note"].(string)
		if utf8.RuneCountInString(note) > 25000 {
			return "note"
		}
		id := r.PathValue("id")
		if r.URL.Query().Get("identifierType") == "alias" && d.open[id] > 0 {
			delete(d.open, id)
			d.closed = append(d.closed, note)
		}
		return ""
	}))
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

func (d *desk) take(work func(*http.Request, map[string]any) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		say := func(status int, v map[string]any) {
			v["took"], v["requestId"] = 0.1, "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		if len(d.answer) > 0 {
			status := d.answer[0]
			d.answer = d.answer[1:]
			say(status, map[string]any{"message": "You are making too many requests!"})
			return
		}
		if r.Header.Get("Authorization") != "GenieKey "+key {
			say(http.StatusUnauthorized, map[string]any{"message": "Could not authenticate: " + r.Header.Get("Authorization")})
			return
		}
		var a map[string]any
		if json.NewDecoder(r.Body).Decode(&a) != nil || r.Header.Get("Content-Type") != "application/json" {
			say(http.StatusUnprocessableEntity, map[string]any{"message": "Request body is not processable"})
			return
		}
		if wrong := work(r, a); wrong != "" {
			say(http.StatusUnprocessableEntity, map[string]any{"message": wrong})
			return
		}
		say(http.StatusAccepted, map[string]any{"result": "Request will be processed"})
	}
}

func (d *desk) channel(t *testing.T, with string) notify.Channel {
	t.Helper()
	c, err := opsgenie.Open("oncall", map[string]string{"url": d.URL, "key": with})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func incident(action string) notify.Message {
	opened := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	i := ledger.Incident{
		Environment: "prod", ID: "i1", Fingerprint: "prod/land/orders/task_failed", Kind: "task_failed", Severity: "error", Pipeline: "land", Task: "orders",
		Owner: "data", State: "open", Summary: "exit code 4: bad key", Opened: opened, Runs: []ledger.IncidentRun{{Run: "r1", Task: "orders"}},
	}
	if action == "resolved" {
		i.State, i.Resolved, i.Resolution = "resolved", opened.Add(time.Hour), "run r2 succeeded"
	}
	return notify.Message{ID: 7, Action: action, Told: notify.Told{Incident: i}}
}

func TestAnIncidentIsOneAlertByItsAlias(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.channel(t, key)
	for _, action := range []string{"firing", "firing", "resolved"} {
		answer, err := c.Send(t.Context(), incident(action))
		if err != nil || !strings.HasPrefix(answer, "202 Accepted") || !strings.Contains(answer, "43a29c5c") {
			t.Fatalf("%s: %q, %v", action, answer, err)
		}
		if n := d.open["prod/land/orders/task_failed"]; action == "firing" && n == 0 {
			t.Errorf("open %v", d.open)
		}
	}
	if d.last["message"] != "land/orders failed [prod]" || d.last["priority"] != "P2" || d.last["entity"] != "land/orders" ||
		!strings.Contains(d.last["description"].(string), "tidemill --env prod rerun r1") {
		t.Errorf("the alert is %v", d.last)
	}
	if len(d.open) != 0 || len(d.closed) != 1 || !strings.Contains(d.closed[0], "after 1h0m: run r2 succeeded") {
		t.Errorf("open %v, closed %q", d.open, d.closed)
	}
}

func TestTheLargestIncidentKeepsWithinTheLimits(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, action := range []string{"firing", "resolved"} {
		m := incident(action)
		m.Incident.Fingerprint = "prod/ä b/" + strings.Repeat("ü", 300) + "/task_failed?#"
		m.Incident.Task = strings.Repeat("t", 900)
		m.Incident.Summary = strings.Repeat("ü", 100_000)
		m.Incident.Owner = strings.Repeat("ö,", 10_000)
		m.Incident.Resolution = strings.Repeat("ö", 100_000)
		m.Facts.Runbook = strings.Repeat("x", 10_000)
		if _, err := d.channel(t, key).Send(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
	}
	if len(d.open) != 0 || len(d.closed) != 1 {
		t.Errorf("open %v, closed %d", d.open, len(d.closed))
	}
}

func TestWhatIsRefusedIsFinalAndWhatIsBusyIsNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if _, err := d.channel(t, "wr0ng-genie-key").Send(t.Context(), incident("firing")); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong key: %v", err)
	}
	for status, want := range map[int]fault.Kind{422: fault.Invalid, 429: fault.Unavailable, 500: fault.Unavailable, 503: fault.Unavailable} {
		d.answer = []int{status}
		_, err := d.channel(t, key).Send(t.Context(), incident("firing"))
		if fault.KindOf(err) != want {
			t.Errorf("status %d: %v, want kind %s", status, err, want)
		}
		if _, ok := errors.AsType[*notify.Later](err); ok != (status == 429) {
			t.Errorf("status %d: %v", status, err)
		}
		if _, err := d.channel(t, key).Send(t.Context(), incident("firing")); err != nil {
			t.Errorf("after status %d: %v", status, err)
		}
	}
}

func TestTheFlavourIsTheAddress(t *testing.T) {
	t.Parallel()
	for flavour, want := range map[string]string{"jsm": opsgenie.JSM, "": opsgenie.JSM, "opsgenie": opsgenie.Opsgenie} {
		c, err := opsgenie.Open("oncall", map[string]string{"flavour": flavour, "key": key})
		if err != nil || c.(opsgenie.Channel).URL != want {
			t.Errorf("flavour %q: %+v, %v", flavour, c, err)
		}
	}
}

func TestADeskInTroubleHearsOfTheBeginningAndThenOfTheEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.answer = []int{503, 500}
	bench := notifytest.Start(t, d.channel(t, key), 0)
	bench.Fail()
	bench.Recover() // before anybody has heard
	if list := bench.AwaitSent(2); list[0].Attempts != 3 || list[1].Attempts != 1 {
		t.Errorf("the messages are %+v", list)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.closed) != 1 || len(d.open) != 0 {
		t.Errorf("open %v, closed %v", d.open, d.closed)
	}
}
