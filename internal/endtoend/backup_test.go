package endtoend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/ledger/history"
)

// TestWhatABackupHoldsGoesOnElsewhereAsIfNothingHadHappened takes backups in the
// middle of a backfill, loses the installation, and puts one back.
func TestWhatABackupHoldsGoesOnElsewhereAsIfNothingHadHappened(t *testing.T) {
	const days = 8
	quiet := flights(t, days)
	server := quiet.up()
	load := func(f folder) {
		for _, pipeline := range []string{"land", "plan"} {
			f.must("backfill", pipeline, "--from", "2013-01-01", "--to", "2013-01-09", "--detach")
		}
	}
	load(quiet)
	quiet.await("the undisturbed backfill", func() bool { return done(quiet) })
	tables := []string{"raw.flights", "raw.weather", "raw.schedule"}
	want := quiet.digests(tables...)
	quiet.down(server)

	f := flights(t, days)
	server = f.up()
	load(f)
	copies := t.TempDir()
	var newest string
	for n := range 4 { // at different moments of the work
		newest = filepath.Join(copies, string(rune('a'+n)))
		f.must("backup", "create", newest)
		<-time.After(30 * time.Millisecond)
	}
	if _, _, code := f.try("backup", "create", newest); code != 6 {
		t.Errorf("a second backup in the same place ended with %d, want 6", code)
	}
	status, _ := f.status()
	kill(status.WorkerPID)
	kill(server.Process.Pid)
	_ = server.Wait()
	for _, finding := range ask[[]history.Finding](f, "backup", "verify", newest) {
		if finding.Count > 0 {
			t.Errorf("%s (%s): %v", finding.Invariant, finding.Statement, finding.Violations)
		}
	}

	g := flights(t, days)
	restored := ask[app.Restored](g, "backup", "restore", newest)
	t.Logf("%d attempts ran when the backup was made", restored.Lost)
	if _, stderr, code := g.try("backup", "restore", newest); code != 6 || !strings.Contains(stderr, "a backup is restored where nothing is") {
		t.Errorf("a restore over an installation ended with %d: %s", code, stderr)
	}
	server = g.up()
	g.await("the restored backfill", func() bool { return done(g) })
	if d := cmp.Diff(want, g.digests(tables...)); d != "" {
		t.Errorf("tables differ from those of an undisturbed run:\n%s", d)
	}
	for _, finding := range ask[[]history.Finding](g, "verify-history") {
		if finding.Count > 0 {
			t.Errorf("%s (%s): %v", finding.Invariant, finding.Statement, finding.Violations)
		}
	}
	if _, stderr, code := g.try("backup", "restore", newest); code != 6 {
		t.Errorf("a restore under a running server ended with %d: %s", code, stderr)
	}
	g.down(server)
}

// TestARestoreThatWasKilledIsBegunAgain puts a project into the state between two moves.
func TestARestoreThatWasKilledIsBegunAgain(t *testing.T) {
	f := flights(t, 1)
	f.must("run", "plan", "--window", "2013-01-01")
	want := f.digests("raw.schedule")
	copied := filepath.Join(t.TempDir(), "b")
	f.must("backup", "create", copied)

	g := flights(t, 1)
	l, err := app.NewLayout(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"restoring/ledger.db", "warehouse.duckdb", "logs/base/r/t.0.1.log"} {
		path := filepath.Join(l.Home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := g.try("runs"); code != 6 || !strings.Contains(stderr, "did not come to its end") {
		t.Errorf("beside half a restore, runs ended with %d: %s", code, stderr)
	}
	g.must("backup", "restore", copied)
	if d := cmp.Diff(want, g.digests("raw.schedule")); d != "" {
		t.Errorf("the table differs:\n%s", d)
	}

	// Only the project says where its warehouses lie, and whose backup is its own.
	manifest := filepath.Join(copied, backup.ManifestName)
	written, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		".tidemill/warehouse.duckdb": "../elsewhere.duckdb",
		`"name": "warehouse"`:        `"name": "lake"`,
		`"project": "flights"`:       `"project": "shop"`,
		`"environment": "base"`:      `"environment": "prod"`,
	} {
		changed := strings.ReplaceAll(string(written), from, to)
		if changed == string(written) {
			t.Fatalf("the manifest does not say %s:\n%.400s", from, written)
		}
		if err := os.WriteFile(manifest, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		h := flights(t, 1)
		if _, stderr, code := h.try("backup", "restore", copied); code != 6 || !strings.Contains(stderr, "nothing was restored") {
			t.Errorf("with %s, restore ended with %d: %s", to, code, stderr)
		}
	}
	if err := os.WriteFile(manifest, written, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := f.try("backup", "create", filepath.Join(f.dir, ".tidemill", "copy")); code != 2 {
		t.Errorf("a backup within what it saves ended with %d: %s", code, stderr)
	}

	// A torn copy is told as one, and never put back.
	if err := os.WriteFile(filepath.Join(copied, "ledger.db"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code := f.try("backup", "verify", copied); code != 3 || !strings.Contains(stdout, "ledger.db has 4 bytes") {
		t.Errorf("verify ended with %d: %s", code, stdout)
	}
	h := flights(t, 1)
	if _, stderr, code := h.try("backup", "restore", copied); code != 3 || !strings.Contains(stderr, "nothing was restored") {
		t.Errorf("restore ended with %d: %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(h.dir, ".tidemill", "ledger.db")); err == nil {
		t.Error("a torn backup made an installation")
	}
}
