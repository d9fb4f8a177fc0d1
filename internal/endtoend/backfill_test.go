package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

// TestABackfillSurvivesItsServerPausedOrNot kills the server and its worker in the
// middle of a backfill: one that is paused stays so, by whom and why; one that goes
// on goes on; each window runs once, in its turn, and failures stay one incident.
func TestABackfillSurvivesItsServerPausedOrNot(t *testing.T) {
	gates := t.TempDir()
	open := func(day int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(gates, fmt.Sprintf("%02d", day)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := project(t, map[string]string{
		"tidemill.yaml":                "project: p\n",
		"pipelines/hold/pipeline.yaml": "schedule: {cron: \"0 6 * * *\", window: day}\n",
		"pipelines/hold/x.yaml": `command: [sh, -c, "while [ ! -e ` + gates + `/{window.start:%d} ]; do sleep 0.05; done; [ {window.start:%d} != 03 ]"]
`,
	})
	server := f.up()
	id := ask[[]api.Backfill](f, "backfill", "hold", "--from", "2026-01-01", "--to", "2026-01-07", "--direction", "newest", "--concurrency", "2", "--detach")[0].ID
	days := func(states ...run.State) (out []int) {
		t.Helper()
		for _, r := range ask[[]api.Run](f, "runs", "--backfill", id) {
			if slices.Contains(states, r.State) {
				out = append(out, r.Window.Start.Day())
			}
		}
		slices.Sort(out)
		return out
	}
	want := func(what string, states []run.State, which ...int) {
		t.Helper()
		var got []int
		f.await(what, func() bool {
			if _, _, code := f.try("ready"); code != 0 {
				return false
			}
			got = days(states...)
			return slices.Equal(got, which)
		})
	}
	running, good := []run.State{run.Running}, []run.State{run.Succeeded}
	want("the two newest run", running, 5, 6)

	f.must("backfill", "pause", id, "--note", "the supplier is moving")
	open(6)
	want("the 6th ends", good, 6)
	server = killServer(f, server)
	if status, ok := f.status(); ok && status.WorkerPID != 0 {
		kill(status.WorkerPID)
	}
	want("what ran goes on, alone", running, 5)
	b := ask[api.Backfill](f, "backfill", "show", id)
	if !b.Paused || b.Note != "the supplier is moving" || b.PausedBy == "" || b.Runs[run.Queued] != 4 {
		t.Errorf("after the kill the backfill is %+v", b)
	}
	open(5)
	want("the 5th ends, and nothing begins", good, 5, 6)
	<-time.After(300 * time.Millisecond)
	want("still nothing", running)

	f.must("backfill", "resume", id)
	want("the next two run", running, 3, 4)
	server = killServer(f, server)
	for day := 1; day <= 4; day++ {
		open(day)
	}
	f.await("the backfill", func() bool {
		_, _, code := f.try("ready")
		return code == 0 && ask[api.Backfill](f, "backfill", "show", id).State.Terminal()
	})
	b = ask[api.Backfill](f, "backfill", "show", id)
	if b.State != run.Failed || b.Runs[run.Succeeded] != 5 || len(b.Failed) != 1 || b.Failed[0].Window.Start.Day() != 3 {
		t.Errorf("the backfill ended as %+v", b)
	}
	var began []time.Time
	for _, r := range ask[[]api.Run](f, "runs", "--backfill", id) { // the newest window first
		began = append(began, r.Began)
	}
	if len(began) != 6 || !slices.IsSortedFunc(began, func(a, b time.Time) int { return a.Compare(b) }) {
		t.Errorf("the windows began at %v, newest first", began)
	}
	if runs := ask[[]api.Run](f, "runs"); len(runs) != 1 || runs[0].ID != id {
		t.Errorf("the backfill is not one line: %+v", runs)
	}
	for _, finding := range ask[[]history.Finding](f, "verify-history") {
		if finding.Count > 0 {
			t.Errorf("%s: %v", finding.Statement, finding.Violations)
		}
	}
	f.down(server)
}
