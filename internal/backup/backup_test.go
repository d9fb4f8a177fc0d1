package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/core/fault"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func writes(text string) func(context.Context, string) error {
	return func(_ context.Context, to string) error { return os.WriteFile(to, []byte(text), 0o400) }
}

func quiet(backup.Progress) {}

// source is an installation of files.
func source(t *testing.T) backup.Source {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "logs/base/r1/a.0.1.log"), "one\n")
	put(t, filepath.Join(dir, "logs/base/r1/.partial-0"), "unfinished")
	put(t, filepath.Join(dir, "logs/.partial-1/x"), "unfinished")
	return backup.Source{
		Manifest: backup.Manifest{Version: "v1", Project: "p", Environment: "base", Installation: "i"},
		Ledger:   writes("the ledger"),
		Warehouses: []backup.Warehouse{
			{Store: backup.Store{Name: "warehouse", Path: "w.duckdb"}, Copy: writes("rows")},
		},
		Parts: []backup.Part{{Name: "logs", Path: filepath.Join(dir, "logs")}, {Name: "artifacts", Path: filepath.Join(dir, "none")}},
	}
}

func create(t *testing.T, s backup.Source) (string, backup.Manifest) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "b")
	m, err := backup.Create(t.Context(), s, to, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return to, m
}

func TestABackupHoldsEverythingThatIsFinishedAndNothingElse(t *testing.T) {
	t.Parallel()
	var steps []string
	to := filepath.Join(t.TempDir(), "b")
	if _, err := backup.Create(t.Context(), source(t), to, func(p backup.Progress) { steps = append(steps, p.Step) }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, ", "); got != "ledger, warehouse warehouse, logs" {
		t.Errorf("told of %s", got)
	}
	m, err := backup.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "ledger.db warehouses/1-warehouse.duckdb logs/base/r1/a.0.1.log" {
		t.Errorf("the backup holds %s", got)
	}
	if m.Installation != "i" || m.Bytes() != 18 || len(m.Warehouses) != 1 || m.Warehouses[0].Path != "w.duckdb" || m.Created.IsZero() {
		t.Errorf("the manifest is %+v", m)
	}
	if wrong, err := backup.Check(t.Context(), to, m, quiet); err != nil || len(wrong) > 0 {
		t.Errorf("a fresh backup: %v, %v", wrong, err)
	}
	if _, err := backup.Create(t.Context(), source(t), to, quiet); !fault.Is(err, fault.Conflict) {
		t.Errorf("over another backup: %v", err)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	s := source(t)
	s.Warehouses[0].Copy = func(_ context.Context, to string) error {
		return errors.Join(os.WriteFile(to, []byte("half"), 0o600), broken)
	}
	to := filepath.Join(t.TempDir(), "b")
	if _, err := backup.Create(t.Context(), s, to, quiet); !errors.Is(err, broken) || !strings.Contains(err.Error(), "the warehouse warehouse") {
		t.Errorf("it ended with %v", err)
	}
	for _, name := range []string{to, to + ".partial"} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there", name)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := backup.Create(ctx, source(t), to, quiet); !errors.Is(err, broken) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		manifest string
		kind     fault.Kind
		says     string
	}{
		"nothing":          {"", fault.NotFound, "is no backup"},
		"no JSON":          {"{", fault.Refused, "cannot be read"},
		"a newer form":     {`{"format": 2, "version": "v9"}`, fault.Refused, "use the version that made it, v9"},
		"no form":          {`{}`, fault.Refused, "form 0"},
		"a way out":        {`{"format": 1, "files": [{"name": "../x"}]}`, fault.Refused, `names "../x"`},
		"without a ledger": {`{"format": 1, "files": []}`, fault.Refused, "names no ledger"},
	} {
		dir := t.TempDir()
		if test.manifest != "" {
			put(t, filepath.Join(dir, backup.ManifestName), test.manifest)
		}
		if _, err := backup.Open(dir); !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want one of kind %s that says %q", name, err, test.kind, test.says)
		}
	}
	partial := filepath.Join(t.TempDir(), "b.partial")
	put(t, filepath.Join(partial, backup.LedgerName), "x")
	if _, err := backup.Open(partial); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "did not come to its end") {
		t.Errorf("an unfinished backup: %v", err)
	}
}

func TestWhatBecameOfFilesIsSeen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) error{
		"is missing":      os.Remove,
		"has 3 bytes":     func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
		"another content": func(path string) error { return os.WriteFile(path, []byte("two\n"), 0o600) },
	} {
		to, m := create(t, source(t))
		if err := change(filepath.Join(to, "logs/base/r1/a.0.1.log")); err != nil {
			t.Fatal(err)
		}
		wrong, err := backup.Check(t.Context(), to, m, quiet)
		if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], name) {
			t.Errorf("%s: %v, %v", name, wrong, err)
		}
		place := t.TempDir()
		all := func(name string) (string, bool) { return filepath.Join(place, name), true }
		if err := backup.Place(t.Context(), to, m, all, quiet); !fault.Is(err, fault.Refused) {
			t.Errorf("%s: it was put back all the same: %v", name, err)
		}
	}
}

func TestALogThatGrowsIsCopiedAsFarAsItReached(t *testing.T) {
	t.Parallel()
	s := source(t)
	log := filepath.Join(s.Parts[0].Path, "base/r1/a.0.1.log")
	to := filepath.Join(t.TempDir(), "b")
	m, err := backup.Create(t.Context(), s, to, func(p backup.Progress) {
		if p.Step == "logs" {
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("two\n")
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if wrong, err := backup.Check(t.Context(), to, m, quiet); err != nil || len(wrong) > 0 {
		t.Errorf("%v, %v", wrong, err)
	}
}
