package duckdb_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store/duckdb"
)

// A snapshot is whole when it is given out: nothing is written to it afterwards,
// whatever else the warehouse does meanwhile, and nothing stays beside it.
func TestASnapshotIsWholeWhenItIsThere(t *testing.T) {
	t.Parallel()
	s, err := duckdb.Open(t.Context(), duckdb.Config{Path: filepath.Join(t.TempDir(), "warehouse.duckdb"), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill(t, s, "first", spec(project.ModeAppend), true, oneRow); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() { // loads, whose transactions look which tables there are
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			this := spec(project.ModeAppend)
			this.Table.Name = "others"
			if _, err := fill(t, s, fmt.Sprint("other", n), this, true, oneRow); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 3 { // readers whose transactions begin and end around the copies
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, batches, err := s.Query(t.Context(), dialect.Statement{SQL: "SELECT database_name FROM duckdb_databases() ORDER BY 1"})
				if err != nil {
					t.Error(err)
					return
				}
				for _, err := range batches {
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	dir := t.TempDir()
	sums := map[string]string{}
	sum := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	for n := range 25 {
		path := filepath.Join(dir, fmt.Sprint(n))
		if err := s.Snapshot(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		sums[path] = sum(path)
		if kept, err := duckdb.Inspect(t.Context(), path); err != nil || len(kept.Receipts) == 0 {
			t.Errorf("snapshot %d: %d receipts, %v", n, len(kept.Receipts), err)
		}
	}
	close(stop)
	busy.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for path, before := range sums {
		if sum(path) != before {
			t.Errorf("%s was written to after it was there", filepath.Base(path))
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(sums) {
		t.Errorf("%d files for %d snapshots, %v", len(entries), len(sums), err)
	}
}
