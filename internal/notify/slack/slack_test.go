package slack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
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
	"github.com/tidemill/tidemill/internal/notify/slack"
	"github.com/tidemill/tidemill/internal/secret"
)

const (
	token = "xoxb-1-t0ps3cret"
	hook  = "/services/T1/B1/t0ps3cret"
)

// workspace is Slack as far as its documentation goes: the incoming webhook, the
// two methods of the API, and what both refuse.
type workspace struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	limit int    // answers 429 so many times
	after string // and says to come again after so many seconds
	say   string // the API answers with this error
	posts []posted
	calls []string
}

type posted struct {
	TS, Thread, Text string
	Blocks           []map[string]any
}

func newWorkspace(t *testing.T) *workspace {
	w := &workspace{t: t, after: "17"}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *workspace) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit > 0 {
		w.limit--
		out.Header().Set("Retry-After", w.after)
		http.Error(out, "rate_limited", http.StatusTooManyRequests)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var m struct {
		Channel, TS, Text string
		Thread            string `json:"thread_ts"`
		Blocks            []map[string]any
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err := json.Unmarshal(body, &m); err != nil || kind != "application/json" || r.Method != http.MethodPost {
		http.Error(out, "invalid_payload", http.StatusBadRequest)
		return
	}
	wrong := faults(string(body), m.Text, m.Blocks)
	if r.URL.Path == hook {
		if wrong != "" {
			http.Error(out, wrong, http.StatusBadRequest)
			return
		}
		w.posts = append(w.posts, posted{Text: m.Text, Blocks: m.Blocks})
		_, _ = io.WriteString(out, "ok")
		return
	}
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	w.calls = append(w.calls, method)
	say := func(v map[string]any) { _ = json.NewEncoder(out).Encode(v) }
	refuse := func(code string) { say(map[string]any{"ok": false, "error": code}) }
	find := func(ts string) int {
		for i, p := range w.posts {
			if p.TS == ts {
				return i
			}
		}
		return -1
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse("invalid_auth")
	case w.say != "":
		refuse(w.say)
	case wrong != "":
		refuse(wrong)
	case method == "chat.postMessage" && m.Channel != "#data" && m.Channel != "C0DATA":
		refuse("channel_not_found")
	case method == "chat.postMessage" && m.Thread != "" && find(m.Thread) < 0:
		refuse("thread_not_found")
	case method == "chat.postMessage":
		ts := fmt.Sprintf("1764000000.%06d", len(w.posts)+1)
		w.posts = append(w.posts, posted{ts, m.Thread, m.Text, m.Blocks})
		say(map[string]any{"ok": true, "channel": "C0DATA", "ts": ts})
	case method == "chat.update" && m.Channel != "C0DATA": // takes ids, no names
		refuse("channel_not_found")
	case method == "chat.update" && find(m.TS) < 0:
		refuse("message_not_found")
	case method == "chat.update":
		at := find(m.TS)
		w.posts[at].Text, w.posts[at].Blocks = m.Text, m.Blocks
		say(map[string]any{"ok": true, "channel": "C0DATA", "ts": m.TS})
	default:
		refuse("unknown_method")
	}
}

// faults are Slack's documented limits of a message.
func faults(all, text string, blocks []map[string]any) string {
	switch {
	case len(all) > 13000:
		return "msg_too_long"
	case text == "":
		return "no_text"
	case utf8.RuneCountInString(text) > 4000:
		return "msg_too_long"
	case len(blocks) > 50:
		return "invalid_blocks"
	}
	for _, b := range blocks {
		t, _ := b["text"].(map[string]any)
		content, _ := t["text"].(string)
		n := utf8.RuneCountInString(content)
		switch {
		case n == 0,
			b["type"] == "header" && (n > 150 || t["type"] != "plain_text"),
			b["type"] == "section" && (n > 3000 || t["type"] != "mrkdwn"),
			b["type"] != "header" && b["type"] != "section",
			t["type"] == "mrkdwn" && strings.Contains(strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(content), "&"):
			return "invalid_blocks"
		}
	}
	return ""
}

func (w *workspace) hooked() notify.Channel {
	c, err := slack.Open("chat", map[string]string{"url": w.URL + hook})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *workspace) bot(bearer string) notify.Channel {
	c, err := slack.Open("chat", map[string]string{"url": w.URL + "/api", "token": bearer, "channel": "#data"})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func incident(action string) notify.Message {
	opened := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	i := ledger.Incident{
		Environment: "base", ID: "i1", Fingerprint: "base/land/orders/task_failed", Kind: "task_failed", Severity: "error", Pipeline: "land", Task: "orders",
		Owner: "data", State: "open", Summary: "exit code 4: a < b && c > d", Opened: opened, Runs: []ledger.IncidentRun{{Run: "r1", Task: "orders"}},
	}
	if action == "resolved" {
		i.State, i.Resolved, i.Resolution = "resolved", opened.Add(time.Hour), "run r2 succeeded"
	}
	return notify.Message{ID: 7, Action: action, Told: notify.Told{Incident: i}}
}

func TestAWebhookGetsAMessageWithItsFallback(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	for _, action := range []string{"firing", "resolved", "test"} {
		if answer, err := w.hooked().Send(t.Context(), incident(action)); err != nil || answer != "200 OK ok" {
			t.Errorf("%s: %q, %v", action, answer, err)
		}
	}
	if got, want := w.posts[0].Text, "[firing] land/orders failed\nexit code 4: a &lt; b &amp;&amp; c &gt; d"; got != want {
		t.Errorf("the fallback is %q, want %q", got, want)
	}
	if got := fmt.Sprint(w.posts[0].Blocks); !strings.Contains(got, "tidemill rerun r1") || !strings.Contains(got, "for data") {
		t.Errorf("the blocks are %s", got)
	}
}

func TestTheLargestIncidentKeepsWithinTheLimits(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	m := incident("firing")
	m.Incident.Summary = strings.Repeat("<&>ü", 5000)
	m.Incident.Owner = strings.Repeat("&", 4000)
	m.Incident.Task = strings.Repeat("t", 400)
	m.Facts.Runbook = strings.Repeat("<x>", 4000)
	for i := range 2000 {
		m.Incident.Runs = append(m.Incident.Runs, ledger.IncidentRun{Run: fmt.Sprintf("r%d", i), Task: "orders"})
	}
	for name, c := range map[string]notify.Channel{"webhook": w.hooked(), "bot": w.bot(token)} {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABotKeepsAnIncidentInOneThread(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	c := w.bot(token)
	var earlier []notify.Sent
	for _, action := range []string{"firing", "firing", "resolved"} {
		m := incident(action)
		m.Earlier = earlier
		answer, err := c.Send(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		earlier = append(earlier, notify.Sent{Action: action, Answer: answer})
	}
	if want := "posted C0DATA 1764000000.000001"; earlier[0].Answer != want {
		t.Errorf("the first answer is %q, want %q", earlier[0].Answer, want)
	}
	if len(w.posts) != 3 || w.posts[0].Thread != "" || w.posts[1].Thread != w.posts[0].TS || w.posts[2].Thread != w.posts[0].TS {
		t.Fatalf("the workspace holds %+v", w.posts)
	}
	if !strings.HasPrefix(w.posts[0].Text, "[resolved] ") || !strings.Contains(w.posts[2].Text, "after 1h0m: run r2 succeeded") {
		t.Errorf("at the end the workspace holds %+v", w.posts)
	}
}

func TestAnIncidentWhoseMessageIsGoneEndsWithANewOne(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	m := incident("resolved")
	m.Earlier = []notify.Sent{{Action: "firing", Answer: "posted C0DATA 1.000001"}}
	if _, err := w.bot(token).Send(t.Context(), m); err != nil || len(w.posts) != 1 || w.posts[0].Thread != "" {
		t.Errorf("%v, %+v", err, w.posts)
	}
}

func TestRefusalsOfTheAPISayWhoMustAct(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	if _, err := w.bot("xoxb-wr0ng").Send(t.Context(), incident("firing")); !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong token: %v", err)
	}
	for code, want := range map[string]fault.Kind{
		"internal_error": fault.Unavailable, "ratelimited": fault.Unavailable, "channel_not_found": fault.Invalid, "is_archived": fault.Invalid, "not_in_channel": fault.Denied,
	} {
		w.say = code
		if _, err := w.bot(token).Send(t.Context(), incident("firing")); fault.KindOf(err) != want {
			t.Errorf("%s: %v, want kind %s", code, err, want)
		}
	}
}

func TestSlackSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	for name, c := range map[string]notify.Channel{"webhook": w.hooked(), "bot": w.bot(token)} {
		w.limit = 1
		_, err := c.Send(t.Context(), incident("firing"))
		later, ok := errors.AsType[*notify.Later](err)
		if !ok || later.After != 17*time.Second || !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Send(t.Context(), incident("firing")); err != nil {
			t.Errorf("%s, once more: %v", name, err)
		}
	}
}

func TestAHookThatIsGoneIsFinalAndItsAddressStaysSecret(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no_service "+r.URL.Path, http.StatusNotFound)
	}))
	c := slack.Channel{Name: "chat", URL: secret.New(server.URL + hook)}
	_, err := c.Send(t.Context(), incident("firing"))
	if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "t0ps3cret") || !strings.Contains(err.Error(), "no_service") {
		t.Errorf("gone: %v", err)
	}
	server.Close()
	if _, err = c.Send(t.Context(), incident("firing")); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "t0ps3cret") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestTheLedgerRemembersTheThread(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.limit, w.after = 2, "1"
	bench := notifytest.Start(t, w.bot(token), time.Second)
	posts := func() []posted {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.posts)
	}
	bench.Fail()
	notifytest.Await(t, "the incident is posted, after two refusals", func() bool {
		list := bench.Messages()
		return len(list) > 0 && list[0].State == "sent"
	})
	if first := bench.Messages()[0]; first.Attempts != 3 || first.Answer != "posted C0DATA 1764000000.000001" {
		t.Errorf("the first message is %+v", first)
	}
	notifytest.Await(t, "it is told again in its thread", func() bool { bench.Fail(); return len(posts()) >= 2 })
	bench.Recover()
	notifytest.Await(t, "its end is told", func() bool { return strings.HasPrefix(posts()[0].Text, "[resolved]") && len(posts()) > 2 })
	for _, p := range posts()[1:] {
		if p.Thread != posts()[0].TS {
			t.Errorf("%+v stands outside of the thread", p)
		}
	}
}
