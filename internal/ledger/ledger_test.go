package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/ledgertest"
	"github.com/tidemill/tidemill/internal/testserver"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) *ledger.Ledger {
		t.Helper()
		l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	})
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) *ledger.Ledger {
		t.Helper()
		l, err := ledger.Open(t.Context(), testserver.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	})
}

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// A restored backup must not look newer than what went on after it was made.
func TestEpochsGoOnAfterAReopeningAndARestoredBackupIsOlder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "backup.db")
	// epoch opens a ledger, has one task claimed, and closes it again.
	epoch := func(path, id string) (int64, string) {
		t.Helper()
		l, err := ledger.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if err := l.OpenSession(t.Context(), ledger.Session{ID: id, Worker: "home", Slots: 1}); err != nil {
			t.Fatal(err)
		}
		if err := l.CreateRun(t.Context(), ledger.NewRun{Environment: "base", ID: id, Pipeline: id, Kind: ledger.KindManual, Tasks: []ledger.NewTask{{Name: id}}}); err != nil {
			t.Fatal(err)
		}
		g, err := l.Claim(t.Context(), id, 1, true)
		if err != nil || len(g) != 1 {
			t.Fatal(g, err)
		}
		return g[0].Epoch, l.Installation()
	}
	first, installation := epoch(path, "r1")
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(backup, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, same := epoch(path, "renamed")
	third, _ := epoch(path, "r3")
	if second <= first || third <= second || same != installation {
		t.Errorf("epochs %d, %d, %d of %s and %s", first, second, third, installation, same)
	}
	restored, also := epoch(backup, "r2")
	if restored <= first || restored > second || also != installation {
		t.Errorf("the restored ledger gives epoch %d as %s, after the original gave %d and %d", restored, also, first, third)
	}
}
