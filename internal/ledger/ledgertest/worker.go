package ledgertest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
)

// workers are the statements about claims and leases (PROTOCOLS §2) that are the ledger's.
var workers = map[string]func(*testing.T, *bundle){
	"epochs are of one counter and never go back":                         epochs,
	"what ran while its worker crashed runs again alone":                  alone,
	"an attempt that crashes its worker twice fails, and its key closes":  crashes,
	"three losses in a row open an incident":                              losses,
	"an ended session claims nothing, and what it held is lost":           sessions,
	"a rerun takes one task, or that and what follows":                    reruns,
	"refused data and a task that failed are incidents of different kind": kinds,
	"retry_if is asked about the exit code":                               retryIf,
	"an open incident is told again, once for each time":                  again,
	"messages are told apart by their cause, and waiting is no try":       causes,
}

func epochs(t *testing.T, b *bundle) {
	newest := int64(0)
	for n, pipeline := range []string{"land", "features", "land", "renamed"} {
		b.create(string(rune('a'+n)), ledger.NewRun{Pipeline: pipeline, Window: day(n + 1)}, ledger.NewTask{Name: pipeline})
		g := b.one("s1")
		if g.Epoch <= newest {
			t.Errorf("epoch %d of %s after %d", g.Epoch, pipeline, newest)
		}
		newest = g.Epoch
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptSucceeded{Epoch: g.Epoch})
	}
}

// crash claims a task, begins it, and lets its worker die of its own.
func (b *bundle) crash(session string) run.Grant {
	b.t.Helper()
	b.session(session)
	g := b.one(session)
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
	if _, err := b.EndSession(b.t.Context(), session, "segmentation violation", true); err != nil {
		b.t.Fatal(err)
	}
	return g
}

func alone(t *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	b.crash("w1")
	b.now = b.now.Add(time.Second)
	b.create("r2", ledger.NewRun{Pipeline: "other"}, ledger.NewTask{Name: "b"})
	if got, err := b.Claim(t.Context(), "s1", 4, false); err != nil || len(got) != 1 || got[0].Task != "b" {
		t.Fatalf("a busy worker is given %+v, %v; want b alone", got, err)
	}
	b.session("s2")
	b.create("r3", ledger.NewRun{Pipeline: "third"}, ledger.NewTask{Name: "c"})
	if got := b.claim("s2", 4); len(got) != 1 || got[0].Task != "a" || !got[0].Suspect {
		t.Fatalf("an idle worker is given %+v, want the suspect alone", got)
	}
}

func crashes(t *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Retries: 5})
	b.crash("w1")
	b.crash("w2")
	b.want("r1", map[string]string{"run": "running", "a": "closing"})
	g := b.one("s1")
	if !g.Closing {
		t.Fatalf("granted %+v, want the closing of its key", g)
	}
	b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.Closed{Epoch: g.Epoch})
	b.want("r1", map[string]string{"run": "failed", "a": "failed"})
	info, err := b.Run(t.Context(), ledger.RunRef{Environment: environment, Run: "r1"})
	if err != nil || !strings.HasPrefix(info.Tasks[0].Reason, "crashed its worker") {
		t.Errorf("%+v, %v", info.Tasks, err)
	}
	open, err := b.Incidents(t.Context(), environment, true)
	if err != nil || len(open) != 1 || open[0].Kind != "worker_lost" || len(open[0].Runs) != 1 ||
		open[0].Summary != "crashed its worker twice: segmentation violation" {
		t.Errorf("incidents %+v, %v; want one, of kind worker_lost: its end has the same cause", open, err)
	}
	b.clean()
}

func losses(t *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"})
	for n := range 3 {
		id := "w" + string(rune('1'+n))
		b.session(id)
		g := b.one(id)
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch})
		if _, err := b.EndSession(t.Context(), id, "killed", false); err != nil {
			t.Fatal(err)
		}
		open, err := b.Incidents(t.Context(), environment, false)
		if err != nil || (len(open) == 1) != (n == 2) {
			t.Fatalf("incidents after %d losses: %+v, %v", n+1, open, err)
		}
	}
	if got := b.claim("s1", 1); len(got) != 0 {
		t.Fatalf("granted %+v at once, want a back-off", got)
	}
	b.now = b.now.Add(6 * time.Second)
	b.succeed(b.one("s1"))
	if open, _ := b.Incidents(t.Context(), environment, false); len(open) != 0 {
		t.Errorf("still open after a success: %+v", open)
	}
}

func sessions(t *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"}, ledger.NewTask{Name: "b"})
	held := b.claim("s1", 2)
	b.must(held[0].Ref, run.Acknowledged{Epoch: held[0].Epoch})
	n, err := b.EndSession(t.Context(), "s1", "silent for 60s", false)
	if err != nil || n != 2 {
		t.Fatalf("%d tasks taken back, %v; want both", n, err)
	}
	if n, err = b.EndSession(t.Context(), "s1", "again", false); err != nil || n != 0 {
		t.Errorf("ended twice: %d, %v", n, err)
	}
	if _, err := b.Claim(t.Context(), "s1", 1, true); !errors.Is(err, run.ErrStale) {
		t.Errorf("an ended session claims: %v", err)
	}
	b.session("s2")
	for _, g := range b.claim("s2", 4) {
		want := 1
		if g.Task == held[0].Task {
			want = 2
		}
		if g.Attempt != want {
			t.Errorf("%s is in attempt %d, want %d: what was not begun is no attempt", g.Task, g.Attempt, want)
		}
	}
}

func reruns(t *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a"}, ledger.NewTask{Name: "b", Upstream: []string{"a"}}, ledger.NewTask{Name: "c", Upstream: []string{"b"}})
	for range 3 {
		b.succeed(b.one("s1"))
	}
	ref := ledger.RunRef{Environment: environment, Run: "r1"}
	for _, c := range []struct {
		scope ledger.RerunScope
		want  []string
	}{
		{ledger.RerunScope{Tasks: []string{"b"}}, []string{"b"}},
		{ledger.RerunScope{Tasks: []string{"b"}, Following: true}, []string{"b", "c"}},
	} {
		names, err := b.Rerun(t.Context(), ref, c.scope, "ann")
		if err != nil || !cmp.Equal(names, c.want) {
			t.Fatalf("rerun of %+v: %v, %v; want %v", c.scope, names, err, c.want)
		}
		for _, name := range names {
			g := b.one("s1")
			if g.Task != name {
				t.Fatalf("granted %s, want %s", g.Task, name)
			}
			b.succeed(g)
		}
		b.want("r1", map[string]string{"run": "succeeded", "a": "succeeded", "b": "succeeded", "c": "succeeded"})
	}
	b.clean()
}

func kinds(t *testing.T, b *bundle) {
	for kind, want := range map[fault.Kind]string{fault.Refused: "contract_broken", fault.CheckFailed: "check_failed", fault.NotFound: "task_failed", fault.Failed: "task_failed"} {
		name := string(kind)
		b.create(name, ledger.NewRun{Pipeline: name}, ledger.NewTask{Name: "a"})
		g := b.one("s1")
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: kind, Reason: "because"})
		open, err := b.Incidents(t.Context(), environment, false)
		if err != nil || open[0].Pipeline != name || open[0].Kind != want {
			t.Errorf("%s: %+v, %v; want %s", kind, open[0], err, want)
		}
		b.now = b.now.Add(time.Second)
	}
}

func retryIf(_ *testing.T, b *bundle) {
	b.create("r1", ledger.NewRun{}, ledger.NewTask{Name: "a", Retries: 1, RetryIf: "exit_code == 3"}, ledger.NewTask{Name: "b", Retries: 1, RetryIf: "exit_code == 3"})
	for n, g := range b.claim("s1", 2) {
		code := 3 + n
		b.must(g.Ref, run.Acknowledged{Epoch: g.Epoch}, run.AttemptFailed{Epoch: g.Epoch, Kind: fault.Failed, Reason: "ended", ExitCode: &code})
	}
	b.want("r1", map[string]string{"run": "running", "a": "backoff", "b": "failed"})
}

func again(t *testing.T, b *bundle) {
	if err := b.Report(t.Context(), ledger.Report{Environment: environment, Kind: "late", Severity: "error", Pipeline: "land", Summary: "late"}); err != nil {
		t.Fatal(err)
	}
	send := func() int {
		t.Helper()
		due, err := b.DueNotifications(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range due {
			if n.State == "new" {
				err = b.RouteNotification(t.Context(), n, map[string]json.RawMessage{"oncall": json.RawMessage(`{}`)}, []string{"oncall"})
			} else {
				err = b.SettleNotification(t.Context(), n.ID, "sent", "yes", b.now, 1)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return len(due)
	}
	for step, want := range []int{1, 1, 0} { // it is routed, it is sent, nothing is left
		if n := send(); n != want {
			t.Fatalf("step %d: %d messages, want %d", step, n, want)
		}
	}
	began := b.now
	for range 2 {
		if told, err := b.LastTold(t.Context(), b.now.Add(-time.Hour)); err != nil || len(told) != 0 {
			t.Fatalf("within the hour: %+v, %v", told, err)
		}
		b.now = b.now.Add(time.Hour)
		told, err := b.LastTold(t.Context(), b.now.Add(-time.Hour))
		if err != nil || len(told) != 1 || told[0].Channel != "oncall" || !told[0].Created.Equal(began) {
			t.Fatalf("after an hour: %+v, %v", told, err)
		}
		told[0].Body = json.RawMessage(`{}`)
		for range 2 { // two servers have the same thought
			if err := b.TellAgain(t.Context(), told[0]); err != nil {
				t.Fatal(err)
			}
		}
		began = b.now
		if n := send(); n != 1 {
			t.Fatalf("%d messages, want 1", n)
		}
	}
	b.clean()
}

// causes are told apart in the list of messages, and waiting is no try.
func causes(t *testing.T, b *bundle) {
	report := func(kind string) ledger.Report {
		return ledger.Report{Environment: environment, Kind: kind, Severity: "error", Pipeline: "land", Summary: kind}
	}
	due := func() []ledger.Notification {
		t.Helper()
		list, err := b.DueNotifications(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(b.Report(t.Context(), report("late")))
	do(b.Resolve(t.Context(), report("late"), "it came"))
	do(b.Report(t.Context(), report("late"))) // the same cause, another incident
	do(b.Report(t.Context(), report("stale")))
	for _, n := range due() {
		do(b.RouteNotification(t.Context(), n, map[string]json.RawMessage{"oncall": json.RawMessage(`{}`)}, []string{"oncall"}))
	}
	list, err := b.Notifications(t.Context(), environment, environment+"/land//late", 10)
	if err != nil || len(list) != 3 || list[0].Action != "firing" || list[1].Action != "resolved" || list[1].Incident != list[2].Incident || list[0].Incident == list[1].Incident {
		t.Fatalf("about one cause: %+v, %v", list, err)
	}
	do(b.SettleNotification(t.Context(), list[0].ID, "pending", "no", b.now, 1))
	do(b.SettleNotification(t.Context(), list[0].ID, "pending", "waits", b.now.Add(time.Minute), 0))
	all, err := b.Notifications(t.Context(), environment, "", 10)
	if err != nil || len(all) != 4 {
		t.Fatalf("about all: %+v, %v", all, err)
	}
	for _, n := range all {
		if n.ID == list[0].ID && (n.Attempts != 1 || n.Answer != "waits") {
			t.Errorf("a message that waits is %+v", n)
		}
	}
	if n := len(due()); n != 3 {
		t.Errorf("%d messages are due, want 3", n)
	}
	b.clean()
}
