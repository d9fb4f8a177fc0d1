package files

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/kernel"
	"github.com/tidemill/tidemill/internal/store"
)

// aside is the refused rows of a load.
type aside struct {
	part    *part
	token   string // of their ids
	rows    int64
	lines   map[line]bool // where they were read
	waiting []recordBatch // of a replay: their windows are known only at its commit
}

// line is a place in a source.
type line struct {
	file string
	line int64
}

func (a *aside) release() {
	for _, b := range a.waiting {
		b.Release()
	}
	a.waiting = nil
}

// Quarantine writes refused rows to a file beside.
func (l *load) Quarantine(_ context.Context, t project.Table, batch arrow.RecordBatch) error {
	if err := l.takes(t); err != nil {
		return err
	}
	rows, err := plain(batch, store.QuarantineSchema())
	if err != nil {
		return err
	}
	defer rows.Release()
	if l.partial() {
		rows.Retain()
		l.aside.waiting = append(l.aside.waiting, rows)
		return nil
	}
	return l.setAside(rows, func(recordBatch, int) commit.Window { return l.table.Window })
}

// setAside writes refused rows, each with its window.
func (l *load) setAside(rows recordBatch, windowOf func(recordBatch, int) commit.Window) error {
	a := &l.aside
	schema := quarantineSchema()
	if a.part == nil {
		var err error
		if a.part, err = l.store.newPart(l.table.Table, "quarantine", schema.Arrow()); err != nil {
			return err
		}
		a.token, a.lines = uniqueName("row"), map[line]bool{}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	defer b.Release()
	key, now := l.spec.Key, time.Now().UTC()
	instant := func(column string, t time.Time) {
		field := b.Field(schema.Index(column)).(*array.TimestampBuilder)
		if t.IsZero() {
			field.AppendNull()
			return
		}
		field.Append(arrow.Timestamp(t.UnixMicro()))
	}
	text := func(column, value string) { b.Field(schema.Index(column)).(*array.StringBuilder).Append(value) }
	for i := range int(rows.NumRows()) {
		a.rows++
		window := windowOf(rows, i)
		text(idColumn, fmt.Sprintf("%s-%d", a.token, a.rows))
		text("_run", key.Run)
		text("_task", key.Task)
		text("_key", key.String())
		instant(startColumn, window.Start)
		instant(endColumn, window.End)
		instant("_at", now)
		b.Field(schema.Index(seqColumn)).AppendNull()
		for c, f := range store.QuarantineSchema().Fields {
			field := b.Field(schema.Index(f.Name))
			switch column := rows.Column(c).(type) {
			case *array.String:
				if column.IsNull(i) {
					field.AppendNull()
				} else {
					field.(*array.StringBuilder).Append(column.Value(i))
				}
			case *array.Int64:
				if column.IsNull(i) {
					field.AppendNull()
				} else {
					field.(*array.Int64Builder).Append(column.Value(i))
				}
			}
		}
		if place, ok := lineOf(rows, i); ok {
			a.lines[place] = true
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return a.part.write(batch)
}

// lineOf is where a refused row was read.
func lineOf(rows recordBatch, i int) (line, bool) {
	file, _ := cell(rows, "file").(*array.String)
	number, _ := cell(rows, "line").(*array.Int64)
	if file.IsNull(i) || number.IsNull(i) {
		return line{}, false
	}
	return line{strings.Clone(file.Value(i)), number.Value(i)}, true
}

func cell(rows recordBatch, column string) arrow.Array {
	return rows.Column(rows.Schema().FieldIndices(column)[0])
}

// windowAt is the window of a quarantined row.
func windowAt(rows recordBatch, i int) commit.Window {
	start, end := cell(rows, startColumn).(*array.Timestamp), cell(rows, endColumn).(*array.Timestamp)
	if start.IsNull(i) || end.IsNull(i) {
		return commit.Window{}
	}
	return commit.Window{Start: start.Value(i).ToTime(arrow.Microsecond), End: end.Value(i).ToTime(arrow.Microsecond)}
}

// forget returns the quarantine without the rows that the load repeats.
func (l *load) forget(ctx context.Context, list []dataFile) ([]dataFile, error) {
	window := l.table.Window
	switch {
	case l.table.Mode == project.ModeReplace:
		return nil, nil
	case window.IsZero():
		return slices.DeleteFunc(slices.Clone(list), func(f dataFile) bool { return f.Origin == l.spec.Key.Origin() }), nil
	}
	return l.cutEach(ctx, list, quarantineSchema(), func(f dataFile) verdict {
		switch {
		case f.Window.IsZero(): // of a replay: each row has its own
			return perhaps
		case covers(window, f.Window):
			return gone
		case overlap(window, f.Window):
			return perhaps
		}
		return stays
	}, func(rows recordBatch) (*kernel.Bits, error) {
		out := kernel.NewBits(int(rows.NumRows()))
		for i := range int(rows.NumRows()) {
			// A row of a wider or shifted window is the same one where it is of the same line.
			own := windowAt(rows, i)
			at, known := lineOf(rows, i)
			if !own.IsZero() && (covers(window, own) || overlap(window, own) && known && l.aside.lines[at]) {
				out.Set(i)
			}
		}
		return out, nil
	})
}

// replayed is what is known of the quarantined rows that a load places again.
type replayed struct {
	byLine    map[line]commit.Window
	byText    map[string]commit.Window
	windows   map[commit.Window]bool
	remaining []dataFile
}

// take removes the quarantined rows that the load places again.
func (l *load) take(ctx context.Context, list []dataFile) (replayed, error) {
	r := replayed{byLine: map[line]commit.Window{}, byText: map[string]commit.Window{}, windows: map[commit.Window]bool{}}
	wanted := map[string]bool{}
	for _, id := range l.table.Replays {
		wanted[id] = true
	}
	found := 0
	remaining, err := l.cutEach(ctx, list, quarantineSchema(), func(dataFile) verdict { return perhaps }, func(rows recordBatch) (*kernel.Bits, error) {
		out := kernel.NewBits(int(rows.NumRows()))
		ids, original := cell(rows, idColumn).(*array.String), cell(rows, "original").(*array.String)
		for i := range int(rows.NumRows()) {
			if !wanted[ids.Value(i)] {
				continue
			}
			out.Set(i)
			found++
			window := windowAt(rows, i)
			r.windows[window] = true
			r.byText[strings.Clone(original.Value(i))] = window
			if at, ok := lineOf(rows, i); ok {
				r.byLine[at] = window
			}
		}
		return out, nil
	})
	if err == nil && found != len(l.table.Replays) {
		err = fault.New(fault.Conflict, "of %d quarantined rows of %s that were to be replayed only %d are still there", len(l.table.Replays), l.table.Table, found)
	}
	r.remaining = remaining
	return r, err
}

// windowOf finds the window of a row that is refused again: it stays a row of its
// own window, so that a run of that window replaces it.
func (r replayed) windowOf(rows recordBatch, i int) commit.Window {
	if at, ok := lineOf(rows, i); ok {
		if window, ok := r.byLine[at]; ok {
			return window
		}
	}
	if window, ok := r.byText[cell(rows, "original").(*array.String).Value(i)]; ok {
		return window
	}
	if len(r.windows) == 1 {
		for window := range r.windows {
			return window
		}
	}
	return commit.Window{}
}

// refuseEqual sets aside rows of which none can claim its key.
func (l *load) refuseEqual(rows recordBatch, dropped *kernel.Bits) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, store.QuarantineSchema().Arrow())
	defer b.Release()
	text := func(column int, value string) { b.Field(column).(*array.StringBuilder).Append(value) }
	var failed error
	dropped.Each(func(i int) {
		original, err := object(rows, i)
		if failed == nil {
			failed = err
		}
		text(0, l.keyRule())
		text(1, strings.Join(l.table.Keys, ", "))
		text(2, "other rows of this load have the same key, and nothing says which is the last")
		text(3, keyText(rows, l.table.Keys, i))
		b.Field(4).AppendNull()
		b.Field(5).AppendNull()
		text(6, original)
		text(7, l.table.Contract)
	})
	if failed != nil {
		return failed
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return l.setAside(batch, func(recordBatch, int) commit.Window {
		if l.partial() {
			return commit.Window{}
		}
		return l.table.Window
	})
}

func (l *load) keyRule() string { return l.table.Table.Name + ".key" }
