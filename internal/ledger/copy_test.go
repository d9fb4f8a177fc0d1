package ledger_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/testserver"
)

// dump lists every row of every table of a SQLite ledger.
func dump(t *testing.T, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	read := func(query string) (out [][]any) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				places[i] = &row[i]
			}
			if err := rows.Scan(places...); err != nil {
				t.Fatal(err)
			}
			out = append(out, row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var lines []string
	for _, table := range read(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`) {
		for _, row := range read(fmt.Sprintf("SELECT * FROM %q", table[0])) {
			lines = append(lines, fmt.Sprint(table[0], row))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestALedgerSurvivesTheWayThroughBothDatabases(t *testing.T) {
	t.Parallel()
	open := func(location string) *ledger.Ledger {
		l, err := ledger.Open(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	dir := t.TempDir()
	first := open(filepath.Join(dir, "first.db"))
	if err := first.OpenSession(t.Context(), ledger.Session{ID: "s", Worker: "home", Slots: 2}); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := first.CreateRun(t.Context(), ledger.NewRun{
		Environment: "base", ID: "r", Pipeline: "é 飛", Kind: ledger.KindScheduled, Due: start.AddDate(0, 0, 1), Window: commit.Window{Start: start, End: start.AddDate(0, 0, 1)},
		Tasks: []ledger.NewTask{{Name: "a"}, {Name: "b", Upstream: []string{"a"}}},
	}); err != nil {
		t.Fatal(err)
	}
	grants, err := first.Claim(t.Context(), "s", 1, true)
	if err != nil || len(grants) != 1 {
		t.Fatalf("%d grants, %v", len(grants), err)
	}
	if _, err := first.Step(t.Context(), ledger.Command{Ref: grants[0].Ref, Event: run.Acknowledged{Epoch: grants[0].Epoch}, Actor: "s"}); err != nil {
		t.Fatal(err)
	}

	copied := filepath.Join(dir, "copied.db")
	if err := first.Copy(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	want := dump(t, filepath.Join(dir, "first.db"))
	if d := cmp.Diff(want, dump(t, copied)); d != "" || len(want) < 8 {
		t.Errorf("%d rows; the copy differs:\n%s", len(want), d)
	}
	if err := first.Copy(t.Context(), copied); err == nil {
		t.Error("a copy was written over a file")
	}

	there := open(testserver.Database(t))
	if err := there.Fill(t.Context(), open(copied)); err != nil {
		t.Fatal(err)
	}
	if err := there.Fill(t.Context(), first); !fault.Is(err, fault.Conflict) {
		t.Errorf("a ledger in use was filled: %v", err)
	}
	if there.Installation() != first.Installation() {
		t.Error("the installation is another one")
	}
	back := filepath.Join(dir, "back.db")
	if err := there.Copy(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, dump(t, back)); d != "" {
		t.Errorf("the way through PostgreSQL changed it:\n%s", d)
	}

	// What ran then is lost, and its epoch is below all that come, whatever a warehouse has seen.
	lost, err := there.Reopen(t.Context(), 5000)
	if err != nil || lost != 1 {
		t.Errorf("%d attempts lost, %v; want 1", lost, err)
	}
	if err := there.OpenSession(t.Context(), ledger.Session{ID: "s2", Worker: "home", Slots: 2}); err != nil {
		t.Fatal(err)
	}
	grants, err = there.Claim(t.Context(), "s2", 1, true)
	if err != nil || len(grants) != 1 || grants[0].Epoch <= 5000 || grants[0].Task != "a" {
		t.Errorf("granted %+v, %v; want a with an epoch above 5000", grants, err)
	}
}
