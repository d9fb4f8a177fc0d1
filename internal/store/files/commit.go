package files

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/kernel"
	"github.com/tidemill/tidemill/internal/store"
)

// Commit links the manifest that names the load's files.
func (l *load) Commit(ctx context.Context, m commit.Manifest) (receipt commit.Receipt, err error) {
	if l.over || l.table.Table.IsZero() {
		return receipt, fault.New(fault.Internal, "the load has ended, or has no table")
	}
	defer func() { l.end(err == nil) }()
	at := slices.IndexFunc(m.Tables, func(c commit.TableCommit) bool { return c.Table == l.table.Table })
	if at < 0 {
		return receipt, fault.New(fault.Internal, "the manifest says nothing of table %s", l.table.Table)
	}
	line := m.Tables[at]
	if line.Evidence.Staged != l.staged {
		return receipt, fault.New(fault.Internal, "evidence does not add up: %d rows are staged, and the manifest says %d", l.staged, line.Evidence.Staged)
	}
	if err := l.rows.finish(); err != nil {
		return receipt, err
	}
	if err := l.settleKeys(ctx, &line.Evidence); err != nil {
		return receipt, err
	}
	if !l.partial() {
		if err := l.aside.part.finish(); err != nil {
			return receipt, err
		}
	}
	failpoint.Hit(failpoint.Staged)
	err = l.store.change(l.table.Table, func(now manifest) (manifest, bool, error) {
		l.unmake() // of a try that another writer overtook
		next, err := l.next(ctx, now, line, m.Completion)
		if err != nil {
			return next, false, err
		}
		receipt = *next.Receipt
		failpoint.Hit(failpoint.BeforeCommit)
		return next, false, nil
	})
	if err != nil {
		return commit.Receipt{}, err
	}
	failpoint.Hit(failpoint.AfterCommit)
	// The rows are published, whatever becomes of what others left: tomorrow it is tried again.
	_ = l.store.sweepDaily(l.table.Table)
	return receipt, nil
}

// settleKeys leaves one staged row of each key: the last one where positions are
// stable, else none.
func (l *load) settleKeys(ctx context.Context, e *commit.Evidence) error {
	e.Inserted, e.Updated, e.Unchanged, e.Superseded, e.Deleted = 0, 0, 0, 0, 0
	if rows := l.equal(); len(rows) > 0 {
		if err := l.leaveOut(ctx, rows, e); err != nil {
			return err
		}
	}
	e.Inserted = e.Staged - e.Superseded
	return nil
}

// leaveOut writes the staged file anew without rows, given in the order of staging.
func (l *load) leaveOut(ctx context.Context, rows []int64, e *commit.Evidence) error {
	before, seen := l.rows, int64(0)
	hits := commit.RuleHits{Rule: l.keyRule(), Verdict: "quarantine", Field: strings.Join(l.table.Keys, ", "), Rows: int64(len(rows))}
	_, made, err := l.store.cut(ctx, l.table.Table, before.file(), l.visible, func(batch recordBatch) (*kernel.Bits, error) {
		out := kernel.NewBits(int(batch.NumRows()))
		for ; len(rows) > 0 && rows[0] < seen+batch.NumRows(); rows = rows[1:] {
			out.Set(int(rows[0] - seen))
		}
		seen += batch.NumRows()
		if l.table.Stable || !out.Any() {
			return out, nil
		}
		if hits.Value == "" {
			hits.Value = keyText(batch, l.table.Keys, out.First())
		}
		return out, l.refuseEqual(batch, out)
	})
	if err != nil {
		return err
	}
	before.discard()
	l.rows = made
	if l.table.Stable {
		e.Superseded = hits.Rows
		return nil
	}
	e.Staged -= hits.Rows
	e.Quarantined += hits.Rows
	e.Rules = append(slices.Clone(e.Rules), hits)
	slices.SortStableFunc(e.Rules, func(a, b commit.RuleHits) int { return strings.Compare(a.Rule, b.Rule) })
	if l.table.Admit != nil {
		return l.table.Admit(*e)
	}
	return nil
}

// next is the manifest that follows now once the load is in it.
func (l *load) next(ctx context.Context, now manifest, line commit.TableCommit, done commit.Completion) (manifest, error) {
	id, t := l.spec.Key.String(), l.table
	found, err := l.store.receipt(t.Table, now, l.spec.Key)
	switch {
	case err != nil:
		return now, err
	case found != nil:
		return now, &store.PublishedError{Receipts: []commit.Receipt{*found}}
	case now.Keys[id].Fence != l.spec.Fence:
		return now, store.ErrFenced
	case t.Mode == project.ModeReplace && !l.partial() && !l.spec.Run.Newest && !t.Window.IsZero() && now.End.After(t.Window.End):
		return now, fault.New(fault.Conflict, "%s is replaced as a whole, and it holds a newer window than %s: rerun the newest window instead", t.Table, t.Window)
	}
	next := now
	next.Seq++
	if t.Window.End.After(next.End) {
		next.End = t.Window.End
	}
	next.Schema = l.visible
	if now.Seq > 0 && (t.Mode != project.ModeReplace || l.partial()) {
		if next.Schema, err = evolve(t.Table, now.Schema, l.visible); err != nil {
			return now, err
		}
	}
	if next.Files, err = l.keep(ctx, now, next.Schema, &line.Evidence); err != nil {
		return now, err
	}
	if l.rows != nil && l.rows.rows > 0 {
		next.Files = append(next.Files, l.named(l.rows.file(), next.Seq))
	}
	if next.Quarantine, err = l.nextQuarantine(ctx, now.Quarantine, next.Seq); err != nil {
		return now, err
	}
	line.Seq, line.Mode = next.Seq, t.Mode
	if line.Window.IsZero() {
		line.Window = t.Window
	}
	if line.Contract == "" {
		line.Contract = t.Contract
	}
	at := time.Now().UTC()
	if at.Before(now.At) { // whatever the clock does
		at = now.At
	}
	if now.Swept.IsZero() {
		next.Swept = at
	}
	if err := l.store.leave(t.Table, now, &next, at); err != nil {
		return now, err
	}
	next.Receipt = &commit.Receipt{Key: l.spec.Key, Fence: l.spec.Fence, CommittedAt: at, Tables: []commit.TableCommit{line}, Completion: done}
	next.Keys = maps.Clone(now.Keys)
	next.Keys[id] = keyState{Fence: l.spec.Fence, Number: now.Number + 1}
	return next, line.Evidence.Check()
}

// named is a file of the load as the manifest has it.
func (l *load) named(f dataFile, seq int64) dataFile {
	f.Seq, f.Origin, f.Window, f.Accepts = seq, l.spec.Key.Origin(), l.table.Window, l.accepts()
	return f
}

func (l *load) nextQuarantine(ctx context.Context, list []dataFile, seq int64) ([]dataFile, error) {
	var err error
	if l.partial() {
		list, err = l.again(ctx, list)
	} else {
		list, err = l.forget(ctx, list)
	}
	if err != nil || l.aside.part == nil || l.aside.part.rows == 0 {
		return list, err
	}
	f := l.named(l.aside.part.file(), seq)
	f.Accepts = commit.Window{}
	if l.partial() {
		f.Window = commit.Window{} // each row has its own
	}
	return append(list, f), nil
}

// again removes from the quarantine what the load places, and writes what it refuses again.
func (l *load) again(ctx context.Context, list []dataFile) ([]dataFile, error) {
	r, err := l.take(ctx, list)
	if err != nil {
		return nil, err
	}
	for _, rows := range l.aside.waiting {
		if err := l.setAside(rows, r.windowOf); err != nil {
			return nil, err
		}
	}
	l.aside.release() // the windows of these rows are the same for whoever comes next
	return r.remaining, l.aside.part.finish()
}

// verdict says what becomes of a file.
type verdict int

const (
	stays verdict = iota
	gone
	perhaps // its rows have to be looked at
)

// cutEach returns the files that stay, those in doubt without the rows that drop names.
func (l *load) cutEach(ctx context.Context, list []dataFile, schema datatype.Schema, judge func(dataFile) verdict, drop func(recordBatch) (*kernel.Bits, error)) ([]dataFile, error) {
	var out []dataFile
	for _, f := range list {
		switch judge(f) {
		case stays:
			out = append(out, f)
		case perhaps:
			left, made, err := l.store.cut(ctx, l.table.Table, f, schema, drop)
			if err != nil {
				return nil, err
			}
			if made != nil {
				l.made = append(l.made, made)
			}
			if left != nil {
				out = append(out, *left)
			}
		case gone:
		}
	}
	return out, nil
}

func covers(outer, inner commit.Window) bool {
	return !inner.IsZero() && !inner.Start.Before(outer.Start) && !inner.End.After(outer.End)
}

func overlap(a, b commit.Window) bool { return a.Start.Before(b.End) && b.Start.Before(a.End) }

func count(list []dataFile) (rows int64) {
	for _, f := range list {
		rows += f.Rows
	}
	return rows
}

// keep returns the files that stay beside the load's own, and counts the rows that go.
func (l *load) keep(ctx context.Context, now manifest, schema datatype.Schema, e *commit.Evidence) ([]dataFile, error) {
	kept, err := l.kept(ctx, now, schema)
	if err != nil {
		return nil, err
	}
	went := count(now.Files) - count(kept)
	if l.partial() { // rows of the keys that it places: the one becomes the other
		e.Updated = min(went, e.Inserted)
		e.Inserted -= e.Updated
		return kept, nil
	}
	e.Deleted = went
	return kept, nil
}

func (l *load) kept(ctx context.Context, now manifest, schema datatype.Schema) ([]dataFile, error) {
	t := l.table
	switch {
	case l.partial():
		return l.keptOfOtherKeys(ctx, now, schema)
	case t.Mode == project.ModeReplace:
		return nil, nil
	case t.Mode == project.ModeAppend:
		return l.keptOfOtherWindows(ctx, now, schema)
	}
	window := l.accepts()
	return l.cutEach(ctx, now.Files, schema, func(f dataFile) verdict {
		switch {
		case f.Accepts.IsZero():
			return perhaps
		case covers(window, f.Accepts):
			return gone
		case overlap(window, f.Accepts):
			return perhaps
		}
		return stays
	}, func(batch recordBatch) (*kernel.Bits, error) { return l.clock.inside(batch, window) })
}

// keptOfOtherKeys is for a replay: its rows are merged by key where there are keys.
func (l *load) keptOfOtherKeys(ctx context.Context, now manifest, schema datatype.Schema) ([]dataFile, error) {
	if len(l.keys) == 0 || l.table.Mode == project.ModeAppend {
		return slices.Clone(now.Files), nil
	}
	staged := map[[16]byte]bool{}
	for _, k := range l.keys {
		staged[k.digest] = true
	}
	return l.cutEach(ctx, now.Files, schema, func(dataFile) verdict { return perhaps }, func(batch recordBatch) (*kernel.Bits, error) {
		out := kernel.NewBits(int(batch.NumRows()))
		for i, digest := range keysOf(batch, l.table.Keys) {
			if staged[digest] {
				out.Set(i)
			}
		}
		return out, nil
	})
}

// keptOfOtherWindows is for mode append: what earlier commits of the window appended goes.
func (l *load) keptOfOtherWindows(ctx context.Context, now manifest, schema datatype.Schema) ([]dataFile, error) {
	t := l.table
	if t.AppendKeep {
		return slices.Clone(now.Files), nil
	}
	if t.Window.IsZero() {
		return slices.DeleteFunc(slices.Clone(now.Files), func(f dataFile) bool { return f.Origin == l.spec.Key.Origin() }), nil
	}
	var ambiguous int64
	out, err := l.cutEach(ctx, now.Files, schema, func(f dataFile) verdict {
		switch {
		case covers(t.Window, f.Window):
			return gone
		case f.Window.IsZero() || !overlap(t.Window, f.Window):
			return stays
		case t.EventTime == "":
			ambiguous += f.Rows
			return stays
		}
		return perhaps
	}, func(batch recordBatch) (*kernel.Bits, error) { return l.clock.inside(batch, t.Window) })
	if err == nil && ambiguous > 0 {
		err = fault.New(fault.Conflict, "%s holds %d rows of another window that overlaps %s, and without an event time nobody can tell which of them this load repeats; "+
			"rerun that window, name an event time in the contract, or set append: keep", t.Table, ambiguous, t.Window)
	}
	return out, err
}

// keyText is a row's key for people.
func keyText(batch recordBatch, keys []string, i int) string {
	var values []string
	for _, key := range keys {
		values = append(values, datatype.ValueText(cell(batch, key), i))
	}
	if len(values) == 1 {
		return values[0]
	}
	return fmt.Sprintf("%q", values)
}

// object is a row as a JSON object of texts.
func object(batch recordBatch, i int) (string, error) {
	out := make(map[string]any, batch.NumCols())
	for c, f := range batch.Schema().Fields() {
		if batch.Column(c).IsNull(i) {
			out[f.Name] = nil
		} else {
			out[f.Name] = datatype.ValueText(batch.Column(c), i)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fault.New(fault.Internal, "writing a refused row: %w", err)
	}
	return string(text), nil
}
