//go:build failpoint

package duckdb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store/duckdb"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

func TestAKilledPublishLeavesTheOldTableOrTheNew(t *testing.T) {
	t.Parallel()
	storetest.Kill(t, harness)
}

// Whoever finds the receipt of a publisher that died before its COMMIT had
// returned knows when its rows could be seen first: when the file was opened again.
func TestWhoFindsTheReceiptOfTheDeadSaysWhenItsRowsWereKnown(t *testing.T) {
	t.Parallel()
	place := os.Getenv("TIDEMILL_DUCKDB_CHILD") //nolint:forbidigo // how the test talks to itself
	child := place != ""
	if !child {
		place = t.TempDir()
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		dies := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
		dies.Env = append(os.Environ(), "TIDEMILL_DUCKDB_CHILD="+place, "TIDEMILL_FAILPOINTS="+string(failpoint.AfterCommit)+"=2")
		if output, err := dies.CombinedOutput(); err == nil {
			t.Fatalf("the publisher was to die:\n%s", output)
		}
	}
	s := open(t, duckdb.Config{Path: filepath.Join(place, "warehouse.duckdb")})
	if child {
		for _, run := range []string{"a", "b"} {
			if _, err := fill(t, s, run, feature(hours(0, 1)), true, events(hours(0, 1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	late := `SELECT seq FROM _tidemill.table_commit WHERE known_at > committed_at`
	if got := query(t, s, late); len(got) > 0 {
		t.Errorf("commits %v are late before anybody asked", got)
	}
	for range 2 {
		if receipts, err := s.Receipts(t.Context(), storetest.Key("a", 0), storetest.Key("b", 0)); err != nil || len(receipts) != 2 {
			t.Fatalf("receipts %v, %v", receipts, err)
		}
		// The first one had returned: the second commit wrote that down.
		if got := query(t, s, late); !slices.Equal(got, []string{"2"}) {
			t.Errorf("late are %v, want the second commit alone", got)
		}
	}
}
