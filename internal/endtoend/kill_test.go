package endtoend_test

import (
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

const days = 24

var tables = []string{
	"raw.schedule", "raw.flights", "raw.weather", "raw.planes", "features.carrier_delay", "features.origin_delay",
	"features.dest_delay", "features.route_delay", "features.aircraft_delay", "features.weather",
}

// backfillAll asks for the days of three pipelines that wait for each other.
func backfillAll(f folder) {
	f.t.Helper()
	to := time.Date(2013, 1, 1+days, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	for _, pipeline := range []string{"features", "land", "plan"} {
		f.must("backfill", pipeline, "--from", "2013-01-01", "--to", to, "--detach")
	}
}

// done reports whether every backfill has ended, and how.
func done(f folder) bool {
	f.t.Helper()
	_, _, code := f.try("backfill", "list")
	if code != 0 {
		return false // the server is away
	}
	for _, b := range ask[[]api.Backfill](f, "backfill", "list") {
		if !b.State.Terminal() {
			return false
		}
		if b.State != run.Succeeded {
			f.t.Fatalf("backfill of %s %s: %v", b.Pipeline, b.State, b.Runs)
		}
	}
	return true
}

// TestTablesAreTheSameHoweverOftenSomethingIsKilled is the promise of the whole:
// kill -9 of server and worker at random moments of a backfill changes nothing.
func TestTablesAreTheSameHoweverOftenSomethingIsKilled(t *testing.T) {
	quiet := flights(t, days)
	server := quiet.up()
	backfillAll(quiet)
	quiet.await("the undisturbed backfills", func() bool { return done(quiet) })
	want := quiet.digests(tables...)
	quiet.down(server)

	f := flights(t, days)
	server = f.up()
	backfillAll(f)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	workers, servers := 0, 0
	for kills := 0; kills < 20; {
		<-time.After(time.Duration(20+random.IntN(400)) * time.Millisecond)
		status, ok := f.status()
		if !ok {
			continue
		}
		if random.IntN(3) == 0 {
			server = killServer(f, server)
			servers++
		} else if status.WorkerPID != 0 {
			kill(status.WorkerPID)
			workers++
		} else {
			continue
		}
		kills++
		if kills == 15 && done(f) {
			t.Error("everything had ended before the 15th kill: the test needs more days")
		}
	}
	f.await("the disturbed backfills", func() bool { return done(f) })
	t.Logf("killed %d workers and %d servers", workers, servers)
	if d := cmp.Diff(want, f.digests(tables...)); d != "" {
		t.Errorf("tables differ from those of an undisturbed run:\n%s", d)
	}
	for _, finding := range ask[[]history.Finding](f, "verify-history") {
		if finding.Count > 0 || finding.Checked == 0 && finding.Invariant != "I1" && finding.Invariant != "I6" {
			t.Errorf("%s (%s): %d checked, %d violations: %v", finding.Invariant, finding.Statement, finding.Checked, finding.Count, finding.Violations)
		}
	}
	f.down(server)
}

func killServer(f folder, server *exec.Cmd) *exec.Cmd {
	f.t.Helper()
	kill(server.Process.Pid)
	_ = server.Wait()
	return f.up()
}
