package ledger

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// A database that may not grow is to SQLite a disk that is full.
func TestAFullDiskIsSaidUntilThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	limit := func(pragma string) {
		t.Helper()
		if _, err := l.writer.ExecContext(context.Background(), pragma); err != nil {
			t.Fatal(err)
		}
	}
	report := func(kind string) error {
		return l.Report(t.Context(), Report{Environment: "base", Kind: kind, Severity: "error", Pipeline: "p", Summary: strings.Repeat("x", 1<<20)})
	}
	if err := report("one"); err != nil || l.Trouble() != "" {
		t.Fatalf("%v, trouble %q; want neither", err, l.Trouble())
	}
	limit("PRAGMA max_page_count = 1") // no less than it has
	if err := report("two"); err == nil || !strings.Contains(err.Error(), "cannot be written; see whether its disk is full") || !strings.Contains(l.Trouble(), "full") {
		t.Fatalf("%v, trouble %q; want an error and a full database", err, l.Trouble())
	}
	limit("PRAGMA max_page_count = 1000000")
	if err := report("two"); err != nil || l.Trouble() != "" {
		t.Fatalf("%v, trouble %q; want neither, now that there is room", err, l.Trouble())
	}
}
