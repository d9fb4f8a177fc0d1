package message_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	opened = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	day    = commit.Window{Start: time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC)}
)

func incident(kind, severity, task, summary string, runs ...ledger.IncidentRun) ledger.Incident {
	return ledger.Incident{
		Environment: "base", ID: "06h0t5ks7z074jzm", Fingerprint: "base/land/" + task + "/" + kind, Kind: kind, Severity: severity,
		Pipeline: "land", Task: task, Owner: "airline-data", State: "open", Summary: summary, Opened: opened, Updated: opened, Runs: runs,
	}
}

func failed(run, task string) ledger.IncidentRun {
	return ledger.IncidentRun{Run: run, Task: task, Window: day}
}

// kinds are an incident of every kind that the ledger, the scheduler and the server open.
func kinds() map[string]notify.Told {
	const run = "06h0t5ks79ksb84v"
	broken := incident("definition_error", "error", "", "pipelines/land/orders.yaml:3:7: TM102 unknown key \"form\"\nand more")
	broken.Owner = ""
	silent := incident("notification_failed", "error", "", "channel oncall: a message was given up: 410 Gone")
	silent.Pipeline, silent.Owner = "alerts:oncall", ""
	deaf := incident("notification_failed", "error", "", "channel heartbeat answered 404 Not Found")
	deaf.Pipeline, deaf.Owner = "alerts.heartbeat", ""
	elsewhere := incident("task_failed", "error", "orders", "exit code 4: bad key", failed(run, "orders"))
	elsewhere.Environment = "prod"
	many := incident("task_failed", "critical", "orders", "the source is not there")
	for _, id := range []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7"} {
		many.Runs = append(many.Runs, failed(id, "orders"))
	}
	test := incident("test", "info", "", "this is a test of Tidemill's alerts; nothing is wrong")
	test.Pipeline, test.Owner = "test", ""
	refill := incident("backfill_failed", "error", "", "2 windows failed, the first 2026-11-22T23:00:00Z/2026-11-23T23:00:00Z: orders: exit code 1", failed(run, "orders"), failed("06h0t5ks8aaaaaaa", "orders"))
	refill.Backfill = "06h0t5krzzzzzzzz"
	return map[string]notify.Told{
		"backfill_failed": {Incident: refill},
		"task_failed": {
			Incident: incident("task_failed", "error", "orders", "exit code 4: KeyError: 'amount'\nTraceback (most recent call last):\n  …", failed(run, "orders")),
			Facts:    notify.Facts{Attempt: 3, Attempts: 3, Last: true, Runbook: "https://wiki.example.net/land"},
		},
		"task_failed_elsewhere": {Incident: elsewhere},
		"task_failed_often":     {Incident: many},
		"check_failed":          {Incident: incident("check_failed", "error", "totals", "rule not_empty: 0 must be greater than 0", failed(run, "totals"))},
		"contract_broken":       {Incident: incident("contract_broken", "error", "orders", "raw.orders: 12 of 1,000 rows break order_id_is_unique, 0 are allowed", failed(run, "orders"))},
		"late":                  {Incident: incident("late", "error", "", "had not ended when its deadline passed, 07:00", failed(run, ""))},
		"stale":                 {Incident: incident("stale", "warning", "orders", "table warehouse:raw.orders: the newest row is 26h old, 24h is promised")},
		"missed_slot": {Incident: incident("missed_slot", "warning", "", "3 slots were left out",
			ledger.IncidentRun{Run: "land@2026-11-23T23:00:00Z", Window: day})},
		"definition_error": {Incident: broken},
		"worker_lost": {
			Incident: incident("worker_lost", "error", "orders", "its process was ended by signal 9 (killed)", failed(run, "orders")),
			Facts:    notify.Facts{Attempt: 1, Attempts: 3, NextTry: opened.Add(10 * time.Minute)},
		},
		"notification_failed":           {Incident: silent},
		"notification_failed_heartbeat": {Incident: deaf},
		"test":                          {Incident: test},
	}
}

func TestEveryKindOfIncidentReadsAsItsGoldenFile(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, told := range kinds() {
		action := "firing"
		if name == "test" {
			action = "test"
		}
		first := message.Of(notify.Message{ID: 7, Action: action, Told: told, Zone: zone})
		told.Incident.State, told.Incident.Resolved = "resolved", opened.Add(2*time.Hour+5*time.Minute)
		told.Incident.Resolution = "run 06h0ta00000000aa succeeded"
		last := message.Of(notify.Message{ID: 8, Action: "resolved", Told: told, Zone: zone})
		got := first.Text() + "\n\n---\n\n" + last.Text() + "\n"
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		for line := range strings.SplitSeq(got, "\n") {
			if len(line) > 320 {
				t.Errorf("%s has a line of %d bytes", name, len(line))
			}
		}
	}
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) != len(kinds()) {
		t.Errorf("%d golden files for %d messages, %v", len(files), len(kinds()), err)
	}
}

func TestEveryKindThatAPipelineCanHaveHasAMessage(t *testing.T) {
	t.Parallel()
	have := kinds()
	for _, k := range notify.Kinds {
		told, ok := have[k.Name]
		if !ok || told.Incident.Severity != k.Severity || (told.Incident.Task != "") != k.Task || (told.Incident.Owner != "") != k.Owner {
			t.Errorf("%+v is told as %+v", k, told.Incident)
		}
	}
}

func TestALongErrorIsOneShortLine(t *testing.T) {
	t.Parallel()
	i := incident("task_failed", "error", "orders", strings.Repeat("ü", 4000)+"\nsecond line")
	n := message.Of(notify.Message{Action: "firing", Told: notify.Told{Incident: i}})
	if len(n.Error) > 300 || !strings.HasSuffix(n.Error, "ü…") || strings.Contains(n.Text(), "second") {
		t.Errorf("%q", n.Error)
	}
}

func TestTheValuesOfRowsAreNotTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`table raw.orders: the contract orders@1.0.0 refused a row at orders/a.csv:2 by the rule "amount.type": amount "k4n4ry at x.csv:3" is no number`:                                     `table raw.orders: the contract orders@1.0.0 refused a row at orders/a.csv:2 by the rule "amount.type"`,
		`the table refused row 7 by the rule "a \"b\" c": amount k4n4ry is less than 0`:                                                                                                      `the table refused row 7 by the rule "a \"b\" c"`,
		`the contract o@1 refuses the load: 9 of 9 rows went to quarantine, and the error budget is 0 rows; most by "amount.type" (9), such as "k4n4ry` + "\n" + `" is no number at a.csv:2`: `the contract o@1 refuses the load: 9 of 9 rows went to quarantine, and the error budget is 0 rows; most by "amount.type" (9)`,
		`exit code 4: bad key`: `exit code 4: bad key`,
	} {
		m := notify.Message{Action: "firing", Told: notify.Told{Incident: incident("contract_broken", "error", "orders", text)}}
		if got := message.Of(m).Error; got != want {
			t.Errorf("%q is told as %q, want %q", text, got, want)
		}
		for _, a := range message.Annotations(m) {
			if strings.Contains(a, "k4n4ry") {
				t.Errorf("%q is annotated as %q", text, a)
			}
		}
	}
}

func TestAKeyIsTheFingerprintOrItsBeginningWithAHash(t *testing.T) {
	t.Parallel()
	if got := message.Key("prod/land/flights/task_failed", 255); got != "prod/land/flights/task_failed" {
		t.Errorf("a short key became %q", got)
	}
	long := "prod/" + strings.Repeat("ü", 200) + "/task_failed"
	a, b := message.Key(long, 255), message.Key(long+"x", 255)
	if len(a) > 255 || len(b) > 255 || a == b || !strings.HasPrefix(a, "prod/ü") || a != message.Key(long, 255) {
		t.Errorf("long keys became %q and %q", a, b)
	}
}
