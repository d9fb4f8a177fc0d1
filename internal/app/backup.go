package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/ledger/history"
	"github.com/tidemill/tidemill/internal/protocol"
	"github.com/tidemill/tidemill/internal/store/duckdb"
)

// backup copies the installation while it works.
func (s *Server) backup(ctx context.Context, to string, tell func(backup.Progress)) (backup.Manifest, error) {
	p, bundle := s.Live()
	if p == nil {
		return backup.Manifest{}, fault.New(fault.Unavailable, "the project has no good version yet, so nobody knows its warehouses; see: tidemill check")
	}
	o := s.options
	if rel, err := filepath.Rel(o.Layout.Home, to); err == nil && filepath.IsLocal(rel) {
		return backup.Manifest{}, fault.New(fault.Invalid, "a backup in %s would go with what it is to save, and be part of the next one: name a folder outside of it", o.Layout.Home)
	}
	client := s.Client()
	defer client.Close()
	from := backup.Source{
		Manifest: backup.Manifest{Version: o.Version, Project: p.Name, Environment: o.Environment, Installation: s.ledger.Installation()},
		Ledger:   s.ledger.Copy,
		Parts:    []backup.Part{{Name: "artifacts", Path: o.Layout.Artifacts()}, {Name: "logs", Path: o.Layout.Logs()}, {Name: "bundles", Path: o.Layout.Bundles()}},
	}
	for _, one := range p.Stores {
		if one.Kind != "duckdb" {
			continue
		}
		from.Warehouses = append(from.Warehouses, backup.Warehouse{
			Store: backup.Store{Name: one.Name, Path: one.Settings["path"]},
			Copy: func(ctx context.Context, to string) error {
				answer, err := client.Door(ctx, protocol.DoorSnapshot, door.Path{Bundle: bundle, Store: one.Name, Path: to})
				if err != nil {
					return err
				}
				return answer.Close()
			},
		})
	}
	return backup.Create(ctx, from, to, tell)
}

// VerifyBackup holds a backup against its manifest, its ledger against the
// invariants, and its warehouses against its ledger. It changes nothing.
func VerifyBackup(ctx context.Context, dir string, tell func(backup.Progress)) (backup.Manifest, []history.Finding, error) {
	m, err := backup.Open(dir)
	if err != nil {
		return m, nil, err
	}
	files := history.Finding{Invariant: "files", Statement: "every file is as it was written", Checked: int64(len(m.Files))}
	wrong, err := backup.Check(ctx, dir, m, tell)
	if err != nil {
		return m, nil, err
	}
	for _, w := range wrong {
		files.Add("%s", w)
	}
	findings := []history.Finding{files}
	if len(wrong) > 0 {
		return m, findings, nil // what a torn file says proves nothing
	}
	tell(backup.Progress{Step: "history"})
	more, err := verifyCopies(ctx, dir, m)
	return m, append(findings, more...), err
}

// verifyCopies looks into the copies of ledger and warehouses. The ledger is
// opened as a copy of the copy: opening it may write.
func verifyCopies(ctx context.Context, dir string, m backup.Manifest) (findings []history.Finding, err error) {
	scratch, err := os.MkdirTemp("", "tidemill-verify-")
	if err != nil {
		return nil, fault.New(fault.Unavailable, "make room: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	path := filepath.Join(scratch, backup.LedgerName)
	onlyLedger := func(name string) (string, bool) { return path, name == backup.LedgerName }
	if err := backup.Place(ctx, dir, m, onlyLedger, func(backup.Progress) {}); err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if findings, err = history.Verify(ctx, l, m.Environment); err != nil {
		return nil, err
	}
	receipts, err := history.Receipts(ctx, l, m.Environment)
	if err != nil {
		return nil, err
	}
	stores := history.StoreFinding()
	for _, w := range m.Warehouses {
		kept, err := duckdb.Inspect(ctx, filepath.Join(dir, filepath.FromSlash(w.File)))
		if err != nil {
			return nil, fmt.Errorf("the warehouse %s: %w", w.Name, err)
		}
		history.CompareReceipts(&stores, w.Name, history.OfStore(receipts, w.Name), kept.Receipts)
	}
	return append(findings, stores), nil
}

// Restored says what was put back.
type Restored struct {
	Backup       string    `json:"backup"`
	Created      time.Time `json:"created"`
	Installation string    `json:"installation"`
	Files        int       `json:"files"`
	Bytes        int64     `json:"bytes"`
	Lost         int       `json:"lost"` // attempts that ran when the backup was made; they run again
}

// Home is where a backup is put back.
type Home struct {
	Folder      string
	Project     *project.Project // whose folder it is
	Environment string
	Ledger      string // an empty PostgreSQL database; "" for the project's own file
	Version     string // of Tidemill
}

// suits refuses the backup of another project or environment, and one whose
// warehouses lie elsewhere than the project says: it alone says where they lie.
func (h Home) suits(m backup.Manifest) error {
	switch {
	case m.Project != h.Project.Name:
		return fault.New(fault.Conflict, "this is a backup of the project %s, and the folder holds %s: nothing was restored", m.Project, h.Project.Name)
	case m.Environment != h.Environment:
		return fault.New(fault.Conflict, "this is a backup of the environment %s: restore it with -e %s; nothing was restored", m.Environment, m.Environment)
	}
	for _, w := range m.Warehouses {
		i := slices.IndexFunc(h.Project.Stores, func(s project.Store) bool { return s.Name == w.Name && s.Kind == "duckdb" })
		if i < 0 {
			return fault.New(fault.Conflict, "the backup holds the warehouse %s, and the project has no store of that name and kind: nothing was restored; put back the tidemill.yaml of that time first", w.Name)
		}
		if path := h.Project.Stores[i].Settings["path"]; path != w.Path {
			return fault.New(fault.Conflict, "the warehouse %s lay at %q, and the project says %q: nothing was restored; put back the tidemill.yaml of that time first", w.Name, w.Path, path)
		}
	}
	return nil
}

// Restore puts a backup in place of an installation that is not there: into the
// project's own folder, or, for the ledger, into an empty PostgreSQL database. It
// refuses a folder in which something lives. The ledger comes last: killed before
// that, it leaves no installation, and can be begun again.
func Restore(ctx context.Context, home Home, dir string, tell func(backup.Progress)) (out Restored, err error) {
	m, err := backup.Open(dir)
	if err != nil {
		return out, err
	}
	if err := home.suits(m); err != nil {
		return out, err
	}
	l, err := NewLayout(home.Folder)
	if err != nil {
		return out, err
	}
	lock, err := Acquire(ctx, l.ServerLock(), Holder{PID: os.Getpid(), Version: home.Version, Since: time.Now().UTC()}, glance)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	places, err := l.vacant(m)
	if err != nil {
		return out, err
	}
	staged := l.restoring()
	all := func(name string) (string, bool) { return filepath.Join(staged, filepath.FromSlash(name)), true }
	if err := backup.Place(ctx, dir, m, all, tell); err != nil {
		return out, errors.Join(err, os.RemoveAll(staged))
	}
	tell(backup.Progress{Step: "ledger"})
	out = Restored{Backup: dir, Created: m.Created, Installation: m.Installation, Files: len(m.Files), Bytes: m.Bytes()}
	ledgerFile := filepath.Join(staged, backup.LedgerName)
	if out.Lost, err = reopen(ctx, staged, m); err != nil {
		return out, errors.Join(err, os.RemoveAll(staged))
	}
	for _, p := range places {
		if err := p.settle(staged); err != nil {
			return out, err
		}
	}
	if home.Ledger != "" {
		err = fill(ctx, ledgerFile, home.Ledger)
	} else {
		err = place{backup.LedgerName, l.Ledger()}.settle(staged)
	}
	if err != nil {
		return out, err
	}
	if err := os.RemoveAll(staged); err != nil {
		return out, fault.New(fault.Unavailable, "tidy up: %w", err)
	}
	return out, nil
}

// restoring holds what is being put back, until it is in its place.
func (l Layout) restoring() string { return filepath.Join(l.Home, "restoring") }

// whole refuses a folder into which a backup was put back in part: a server would
// begin an empty installation beside it. The ledger is the last to leave the restore.
func (l Layout) whole() error {
	there, err := taken(filepath.Join(l.restoring(), backup.LedgerName))
	if err != nil {
		return fault.New(fault.Unavailable, "look at %s: %w", l.restoring(), err)
	}
	if there {
		return fault.New(fault.Conflict, "a restore into this project did not come to its end: begin it again with tidemill backup restore, or, to go on with what is there, remove %s", l.restoring())
	}
	return nil
}

// place is something that a restore puts into the project.
type place struct{ from, to string } // from: in the backup

// vacant lists the places of a backup's contents but for the ledger. It is a
// conflict if one of them is taken, unless by a restore that did not come to its end.
func (l Layout) vacant(m backup.Manifest) ([]place, error) {
	var out []place
	for _, w := range m.Warehouses {
		out = append(out, place{w.File, l.resolve(w.Path)})
	}
	out = append(out, place{"artifacts", l.Artifacts()}, place{"logs", l.Logs()}, place{"bundles", l.Bundles()})
	unfinished, err := taken(l.restoring())
	for _, p := range append([]place{{to: l.Ledger()}}, out...) {
		var there bool
		if err == nil {
			there, err = taken(p.to)
		}
		switch {
		case err != nil:
			return nil, fault.New(fault.Unavailable, "look at %s: %w", p.to, err)
		case there && unfinished && p.from != "":
			err = os.RemoveAll(p.to)
		case there:
			return nil, fault.New(fault.Conflict, "there is something at %s: a backup is restored where nothing is; move it away, or restore in a fresh copy of the project", p.to)
		}
	}
	if err == nil {
		err = os.RemoveAll(l.restoring())
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "remove an unfinished restore: %w", err)
	}
	return out, nil
}

// taken reports whether a file is there, or a folder that holds something.
func taken(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.IsDir() {
		return true, err
	}
	entries, err := os.ReadDir(path)
	return len(entries) > 0, err
}

// reopen makes the restored ledger ready: it never gives an epoch below a fence
// that its warehouses have seen.
func reopen(ctx context.Context, staged string, m backup.Manifest) (lost int, err error) {
	var seen int64
	for _, w := range m.Warehouses {
		kept, err := duckdb.Inspect(ctx, filepath.Join(staged, filepath.FromSlash(w.File)))
		if err != nil {
			return 0, fmt.Errorf("the warehouse %s: %w", w.Name, err)
		}
		seen = max(seen, kept.Fence)
	}
	l, err := ledger.Open(ctx, filepath.Join(staged, backup.LedgerName))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Reopen(ctx, seen)
}

// fill puts the ledger into a database that was never used.
func fill(ctx context.Context, file, location string) (err error) {
	from, err := ledger.Open(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := ledger.Open(ctx, location)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return to.Fill(ctx, from)
}

// settle moves something to its place.
func (p place) settle(staged string) error {
	from := filepath.Join(staged, filepath.FromSlash(p.from))
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil // an installation without logs, say
	}
	_ = os.Remove(p.to) // an empty folder
	err := os.MkdirAll(filepath.Dir(p.to), 0o700)
	if err == nil {
		err = os.Rename(from, p.to)
	}
	if err != nil {
		return fault.New(fault.Unavailable, "restore %s: %w", p.to, err)
	}
	return nil
}
