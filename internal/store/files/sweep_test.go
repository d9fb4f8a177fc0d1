package files_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/files"
	"github.com/tidemill/tidemill/internal/store/storetest"
)

// pass makes everything below a table's folder older, as time does.
func pass(t *testing.T, dir string, d time.Duration) {
	t.Helper()
	var older func(v any) any
	older = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = older(v[i])
			}
		case map[string]any:
			for key, member := range v {
				at, isText := member.(string)
				if instant, err := time.Parse(time.RFC3339Nano, at); isText && err == nil && slices.Contains([]string{"at", "swept", "since"}, key) {
					v[key] = instant.Add(-d).Format(time.RFC3339Nano)
				} else {
					v[key] = older(member)
				}
			}
		}
		return v
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".json") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var m any
			if err := json.Unmarshal(text, &m); err != nil {
				return err
			}
			if text, err = json.Marshal(older(m)); err != nil {
				return err
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return err
			}
		}
		// Some file systems note the time of a write later, over the one that is set here.
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
		before := info.ModTime().Add(-d)
		return os.Chtimes(path, before, before)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// lying are the data files in the folder of the table of storetest.
func lying(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "raw", "flights", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

func replaces(day, id int, run string) storetest.Attempt {
	return storetest.Attempt{Run: run, Fence: int64(id), Spec: storetest.Spec(project.ModeReplace, storetest.Day(day)), Rows: [][]any{storetest.Row(id, 24*day+1, "UA", 1)}, Refused: 1}
}

func must(t *testing.T, s *files.Store, a storetest.Attempt) {
	t.Helper()
	if _, err := a.Publish(t.Context(), t, s); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatATableLeftAreRemovedADayLater(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, nil)
	must(t, s, replaces(0, 1, "a"))
	first := lying(t, dir) // rows and quarantine
	reading, err := s.Read(t.Context(), store.Request{Table: storetest.Table})
	if err != nil {
		t.Fatal(err)
	}
	must(t, s, replaces(1, 2, "b"))

	// A reader that began before goes on, and what others lay there is theirs.
	for _, err := range reading.Batches {
		if err != nil {
			t.Errorf("the reader of the table as it was: %v", err)
		}
	}
	const dead, foreign = "data-0123456789abcdef.parquet", "data-mine.parquet"
	for _, name := range []string{dead, foreign, filepath.Join("_manifest", "manifest-0123456789abcdef.partial")} {
		if err := os.WriteFile(filepath.Join(dir, "raw", "flights", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, dir, 23*time.Hour)
	must(t, s, replaces(2, 3, "c"))
	for _, name := range append(first, dead) {
		if !slices.Contains(lying(t, dir), name) {
			t.Errorf("%s went before its day was over", name)
		}
	}

	// A day after b, what a left goes; what a dead load left is noted, and goes a day later.
	pass(t, dir, 2*time.Hour)
	must(t, s, replaces(3, 4, "d"))
	if got := lying(t, dir); slices.Contains(got, first[0]) || !slices.Contains(got, dead) {
		t.Errorf("after a day there are %v; the first were %v", got, first)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "raw", "flights", "_manifest", "*.partial")); err != nil || len(left) > 0 {
		t.Errorf("manifests that were never linked: %v, %v", left, err)
	}
	pass(t, dir, 25*time.Hour)
	must(t, s, replaces(4, 5, "e"))
	got := lying(t, dir)
	if slices.Contains(got, dead) || !slices.Contains(got, foreign) {
		t.Errorf("after two days there are %v", got)
	}

	// A kill between the manifest and the removal: the file lies there still.
	if err := os.WriteFile(filepath.Join(dir, "raw", "flights", dead), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pass(t, dir, 25*time.Hour)
	must(t, s, replaces(5, 6, "f"))
	if slices.Contains(lying(t, dir), dead) {
		t.Error("a sweep that was cut off is not taken up again")
	}

	if _, rows, err := read(t, s, store.Request{Table: storetest.Table}); err != nil || len(rows) != 1 {
		t.Errorf("the table has %v, %v", rows, err)
	}
	if _, rows, err := read(t, s, store.Request{Table: storetest.Table.Quarantine()}); err != nil || len(rows) == 0 {
		t.Errorf("its quarantine has %v, %v", rows, err)
	}
	receipts, err := s.Receipts(t.Context(), storetest.Key("a", 0), storetest.Key("f", 0))
	if err != nil || len(receipts) != 2 {
		t.Errorf("receipts %v, %v", receipts, err)
	}
}

func TestALoadThatRunsKeepsItsFilesOrIsToldThatTheyAreGone(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, nil)
	must(t, s, replaces(0, 1, "a"))
	stage := func(a storetest.Attempt) func() error {
		load, manifest, err := a.Stage(t.Context(), t, s)
		if err != nil {
			t.Fatal(err)
		}
		return func() error {
			_, err := load.Commit(t.Context(), manifest)
			return errors.Join(err, load.Abort(t.Context()))
		}
	}
	slow := stage(replaces(3, 2, "slow"))
	pass(t, dir, 25*time.Hour)
	young := stage(replaces(2, 3, "young"))
	must(t, s, replaces(1, 4, "b")) // sweeps
	if err := young(); err != nil {
		t.Errorf("a load of today: %v", err)
	}
	if err := slow(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "taken for those of a dead one") {
		t.Errorf("a load that wrote nothing for a day ended with %v", err)
	}
	if _, rows, err := read(t, s, store.Request{Table: storetest.Table}); err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0], "3|") {
		t.Errorf("the table has %v, %v", rows, err)
	}
	again := replaces(3, 5, "slow")
	must(t, s, again)
}

func TestLoadsBesideASweepLoseNothing(t *testing.T) {
	t.Parallel()
	s, dir := folder(t, nil)
	for i := range 4 {
		must(t, s, replaces(i, i+1, fmt.Sprint("old", i)))
	}
	pass(t, dir, 25*time.Hour)
	failures := make(chan error, 8)
	for i := range 8 {
		go func() {
			other, err := files.Open(dir)
			if err == nil {
				defer func() { _ = other.Close() }()
				a := replaces(10+i, 10+i, fmt.Sprint("new", i))
				a.Spec.Mode = project.ModeAppend
				_, err = a.Publish(t.Context(), t, other)
			}
			failures <- err
		}()
	}
	for range 8 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if _, rows, err := read(t, s, store.Request{Table: storetest.Table}); err != nil || len(rows) != 9 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	// Nine with rows; refused rows of nine loads, if each window has its own quarantine.
	if got := lying(t, dir); len(got) > 9+12 {
		t.Errorf("there lie %d files still: %v", len(got), got)
	}
}
