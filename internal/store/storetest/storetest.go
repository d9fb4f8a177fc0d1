// Package storetest holds what every store that takes loads must pass.
//
// Run says what each mode leaves in a table, after one load, after a rerun, and
// after attempts that came too late. Kill (with the build tag failpoint) kills a
// publish at each named point and looks what is left. A store passes by calling
// them from a test of its own; the package knows no store. It must test only
// what the seam and PROTOCOLS §3 and §4 promise, never how a store keeps it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
)

// Harness is how the suite reaches a store.
type Harness struct {
	// Open opens the store at a place, an empty folder when it is first opened.
	// The suite closes it, and opens the same place again.
	Open func(ctx context.Context, place string) (Opened, error)
	// Modes are those that the store does whole.
	Modes []project.Mode
	// NUL says that texts may hold the character NUL; else they must be refused, whole.
	NUL bool
	// OneTable says that a load holds one table; a load of two must be refused.
	OneTable bool
	// Points are named points of the store's own, beside those that every publish passes.
	Points []failpoint.Point
	// Types are further columns that must round-trip, beside those that all stores hold.
	Types []Column
}

// Opened is a store that is open.
type Opened interface {
	store.Store
	store.Target
	// Table reads a table as users see it, quarantine and history too. It
	// returns store.ErrAbsent where there is none.
	Table(context.Context, project.Table) (store.Batches, error)
}

// Column is a column of the type test: values as texts that Arrow's builders read, nil for null.
type Column struct {
	Type   datatype.Type
	Values []any
}

func (h Harness) has(m project.Mode) bool { return slices.Contains(h.Modes, m) }

// Day returns the window of the n-th day of 2013, counted from 0.
func Day(n int) commit.Window {
	start := time.Date(2013, 1, 1+n, 0, 0, 0, 0, time.UTC)
	return commit.Window{Start: start, End: start.AddDate(0, 0, 1)}
}

// Table is the table that the suite writes.
var Table = project.Table{Store: project.Warehouse, Schema: "raw", Name: "flights"}

// Schema is its columns.
var Schema = datatype.Schema{Fields: []datatype.Field{
	{Name: "id", Type: datatype.Of(datatype.Int64), Required: true},
	{Name: "at", Type: datatype.Of(datatype.TimestampTZ), Required: true},
	{Name: "carrier", Type: datatype.Of(datatype.String)},
	{Name: "delay", Type: datatype.Of(datatype.Float64)},
}}

// Row is a row of Schema; the hour counts from the start of 2013.
func Row(id, hour int, carrier string, delay float64) []any {
	at := time.Date(2013, 1, 1, hour, 0, 0, 0, time.UTC)
	return []any{fmt.Sprint(id), at.Format("2006-01-02T15:04:05Z"), carrier, fmt.Sprint(delay)}
}

// Batch builds a batch of texts that Arrow's builders read, nil for null.
func Batch(t testing.TB, schema datatype.Schema, rows ...[]any) arrow.RecordBatch {
	t.Helper()
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	defer builder.Release()
	for _, row := range rows {
		for i, v := range row {
			field := builder.Field(i)
			switch text := v.(type) {
			case nil:
				field.AppendNull()
			case string:
				if err := appendText(field, text); err != nil {
					t.Fatalf("column %s: %q: %v", schema.Fields[i].Name, text, err)
				}
			default:
				t.Fatalf("column %s: a %T is no text", schema.Fields[i].Name, v)
			}
		}
	}
	return builder.NewRecordBatch()
}

func appendText(field array.Builder, text string) error {
	if binary, ok := field.(*array.BinaryBuilder); ok && field.Type().ID() == arrow.BINARY {
		binary.Append([]byte(text))
		return nil
	}
	return field.AppendValueFromString(text)
}

// Attempt is one attempt to publish rows of one table.
type Attempt struct {
	Run        string
	Generation int
	Fence      int64
	Spec       store.TableSpec
	Live       bool
	Older      bool // not the newest window
	Rows       [][]any
	Refused    int    // rows that go to quarantine
	Select     string // of mode view, instead of rows
}

// Key is the publish key of a run's generation.
func Key(run string, generation int) commit.Key {
	return commit.Key{Installation: "i", Environment: "base", Run: run, Task: "land/flights", Generation: generation}
}

// Spec is the table spec of a mode for a window.
func Spec(m project.Mode, window commit.Window) store.TableSpec {
	s := store.TableSpec{Table: Table, Schema: Schema, Mode: m, Window: window, Stable: true, EventTime: "at", Contract: "flights@1.0.0"}
	if m == project.ModeMerge || m == project.ModeFeature {
		s.Keys = []string{"id"}
	}
	return s
}

func (a Attempt) spec() store.Spec {
	return store.Spec{
		Key: Key(a.Run, a.Generation), Fence: a.Fence, Tables: []store.TableSpec{a.Spec},
		Run: store.Run{Pipeline: "land", Window: a.Spec.Window, Live: a.Live, Newest: !a.Older},
	}
}

// Stage begins the attempt and stages its rows.
func (a Attempt) Stage(ctx context.Context, t testing.TB, s store.Target) (store.Load, commit.Manifest, error) {
	load, err := s.Begin(ctx, a.spec())
	if err != nil {
		return nil, commit.Manifest{}, err
	}
	if a.Select != "" {
		_, err = load.(store.SQLLoad).Fill(ctx, a.Spec.Table, dialect.Statement{SQL: a.Select})
	}
	if len(a.Rows) > 0 {
		batch := Batch(t, a.Spec.Schema, a.Rows...)
		err = load.Stage(ctx, a.Spec.Table, batch)
		batch.Release()
	}
	if a.Refused > 0 && err == nil {
		batch := Batch(t, store.QuarantineSchema(), refusedRows(a)...)
		err = load.Quarantine(ctx, a.Spec.Table, batch)
		batch.Release()
	}
	if err != nil {
		return nil, commit.Manifest{}, errors.Join(err, load.Abort(ctx))
	}
	return load, a.Manifest(), nil
}

// Manifest is what the attempt asks to be published.
func (a Attempt) Manifest() commit.Manifest {
	staged, refused := int64(len(a.Rows)), int64(a.Refused)
	return commit.Manifest{
		Tables: []commit.TableCommit{{
			Table: a.Spec.Table, Mode: a.Spec.Mode,
			Evidence: commit.Evidence{Read: staged + refused, Staged: staged, Quarantined: refused},
		}},
		Completion: commit.Completion{Cursor: []byte(fmt.Sprintf("%q", a.Run))},
	}
}

func refusedRows(a Attempt) [][]any {
	rows := make([][]any, a.Refused)
	for i := range rows {
		rows[i] = []any{
			"flights.tailnum.pattern", "tailnum", `"x" does not match ^N`, "x", a.Spec.Window.Start.Format("2006-01-02") + ".csv",
			fmt.Sprint(i + 2), `{"tailnum":"x"}`, "flights@1.0.0",
		}
	}
	return rows
}

// Publish runs the attempt to its end.
func (a Attempt) Publish(ctx context.Context, t testing.TB, s store.Target) (commit.Receipt, error) {
	load, manifest, err := a.Stage(ctx, t, s)
	if err != nil {
		return commit.Receipt{}, err
	}
	receipt, err := load.Commit(ctx, manifest)
	if err != nil {
		return receipt, errors.Join(err, load.Abort(ctx))
	}
	return receipt, nil
}

// must publishes, and checks what every receipt promises.
func (a Attempt) must(t *testing.T, s Opened) commit.TableCommit {
	t.Helper()
	receipt, err := a.Publish(t.Context(), t, s)
	if err != nil {
		t.Fatalf("publish %s: %v", a.Run, err)
	}
	if len(receipt.Tables) != 1 {
		t.Fatalf("the receipt has %d tables, want 1", len(receipt.Tables))
	}
	line := receipt.Tables[0]
	if err := line.Evidence.Check(); err != nil {
		t.Errorf("publish %s: %v", a.Run, err)
	}
	if receipt.Key != Key(a.Run, a.Generation) || receipt.Fence != a.Fence || receipt.CommittedAt.IsZero() {
		t.Errorf("the receipt says key %v, fence %d, committed at %v", receipt.Key, receipt.Fence, receipt.CommittedAt)
	}
	if got := fmt.Sprintf("%q", a.Run); string(receipt.Completion.Cursor) != got {
		t.Errorf("the receipt's cursor is %s, want %s", receipt.Completion.Cursor, got)
	}
	return line
}

// Read returns the rows of a table as texts, sorted; nil where there is no table.
func Read(t testing.TB, s Opened, table project.Table, columns ...string) []string {
	t.Helper()
	batches, err := s.Table(context.Background(), table)
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	if err != nil {
		t.Fatalf("reading %s: %v", table, err)
	}
	rows := []string{}
	for batch, err := range batches {
		if err != nil {
			t.Fatalf("reading %s: %v", table, err)
		}
		for i := range int(batch.NumRows()) {
			var values []string
			for c, field := range batch.Schema().Fields() {
				if len(columns) == 0 || slices.Contains(columns, field.Name) {
					values = append(values, text(batch.Column(c), i))
				}
			}
			rows = append(rows, strings.Join(values, "|"))
		}
	}
	slices.Sort(rows)
	return rows
}

func text(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "NULL"
	}
	if stamps, ok := a.(*array.Timestamp); ok {
		return stamps.Value(i).ToTime(stamps.DataType().(*arrow.TimestampType).Unit).Format("2006-01-02T15:04:05.999999999Z")
	}
	return a.ValueStr(i)
}

// want returns rows as Read does.
func want(t testing.TB, schema datatype.Schema, rows ...[]any) []string {
	t.Helper()
	batch := Batch(t, schema, rows...)
	defer batch.Release()
	out := []string{}
	for i := range int(batch.NumRows()) {
		values := make([]string, batch.NumCols())
		for c := range values {
			values[c] = text(batch.Column(c), i)
		}
		out = append(out, strings.Join(values, "|"))
	}
	slices.Sort(out)
	return out
}

func expect(t testing.TB, s Opened, rows ...[]any) {
	t.Helper()
	if diff := cmp.Diff(want(t, Schema, rows...), Read(t, s, Table)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", Table, diff)
	}
}

func expectRefused(t testing.TB, s Opened, n int) {
	t.Helper()
	if got := len(Read(t, s, Table.Quarantine())); got != n {
		t.Errorf("%s has %d rows, want %d", Table.Quarantine(), got, n)
	}
}

// open opens a fresh store for one test.
func (h Harness) open(t *testing.T) Opened {
	t.Helper()
	s, err := h.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
