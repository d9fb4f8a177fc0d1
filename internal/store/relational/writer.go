// Package relational is what stores with SQL and transactions do alike to publish
// one table: numbers, shapes, modes, equal keys and quarantine (PROTOCOLS §3).
//
// It guarantees that these mean the same in each of them. It speaks through an
// Engine, inside the transaction that the store has begun; it must not begin or
// end one, and knows no driver.
package relational

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Engine is the store's side of a publish. Parameters are $1, $2 and so on.
type Engine interface {
	Exec(ctx context.Context, statement string, args ...any) (int64, error)
	// Row reads the one row of a query.
	Row(ctx context.Context, query string, args []any, into ...any) error
	// Holds reports whether there is a table or a view of the name.
	Holds(ctx context.Context, schema, name string) (bool, error)
	// Scratch makes a table of a query's rows that nobody else sees, and returns its name; Drop removes it.
	Scratch(name, query string, args ...any) (string, error)
	Drop(table string) error
	// Ready makes the table exist with the columns of the load.
	Ready() error
	// Merge places the staged rows by key.
	Merge() error
}

// Flavour is how an engine says what all of them can.
type Flavour struct {
	Dialect  dialect.Dialect
	Control  string                        // schema of the control tables
	Catalog  string                        // before each schema, with its dot
	Place    string                        // what tells a staged row from the others, in the order of staging
	Order    string                        // what keeps that order when rows are inserted
	TextList string                        // format: texts as one JSON list
	Among    string                        // condition that _id is in the JSON list $1
	Object   func(columns []string) string // columns of s as one JSON object
}

// Writer publishes one table within a transaction.
type Writer struct {
	Ctx     context.Context //nolint:containedctx // lives as long as one publish
	Engine  Engine
	Flavour *Flavour
	Load    store.Spec
	Spec    store.TableSpec
	Visible []datatype.Field
	Line    commit.TableCommit
	Shape   Shape
	Seq     int64
	Kind    string // live, simulated, repair
	Name    string // of the table, quoted
	Rows    string // of the table that holds the rows, quoted
	Columns string // of the load, quoted
	Stage   string // quoted
	Refused string // the stage of quarantined rows, quoted
	Clock   string // the time of now as SQL
}

// What a commit is to those who ask when its rows were known (PROTOCOLS §4.4).
const (
	Live      = "live"      // a run of its own time
	Simulated = "simulated" // of a window without a live commit: its rows carry the time at which a live run would have known them
	Repair    = "repair"    // over live rows, or of no window: known when it was committed
)

// Fill completes a writer of which engine, flavour, specs, line, stages and clock are set.
func (w *Writer) Fill() {
	w.Visible, w.Shape = w.Spec.Schema.Visible().Fields, ShapeOf(w.Spec.Mode)
	w.Name = w.Qualified(w.Spec.Table.Name)
	w.Rows = w.Qualified(w.Shape.Physical(w.Spec.Table))
	w.Columns = w.Flavour.Dialect.QuoteAll(w.names()...)
}

// Qualified is a name in the schema of the table, quoted.
func (w *Writer) Qualified(name string) string {
	return w.Flavour.Catalog + w.Flavour.Dialect.Table(w.Spec.Table.Schema, name)
}

func (w *Writer) names() []string {
	names := make([]string, len(w.Visible))
	for i, f := range w.Visible {
		names[i] = f.Name
	}
	return names
}

func (w *Writer) quote(name string) string { return w.Flavour.Dialect.Quote(name) }

func (w *Writer) exec(statement string, args ...any) (int64, error) {
	return w.Engine.Exec(w.Ctx, statement, args...)
}

func (w *Writer) count(query string, args ...any) (n int64, err error) {
	err = w.Engine.Row(w.Ctx, query, args, &n)
	return n, err
}

// TableName names a table in the control tables.
func TableName(t project.Table) string { return t.Schema + "." + t.Name }

// Bounds are a window as parameters: NULL for none.
func Bounds(window commit.Window) (start, end any) {
	if window.IsZero() {
		return nil, nil
	}
	return window.Start.UTC(), window.End.UTC()
}

// Partial reports whether the load places rows again that were quarantined: it is not its whole window.
func (w *Writer) Partial() bool { return len(w.Spec.Replays) > 0 }

// Window is what modes replace_window and feature accept: lookback included.
func (w *Writer) Window() (start, end time.Time) {
	return w.Spec.Window.Start.Add(-w.Spec.Lookback).UTC(), w.Spec.Window.End.UTC()
}

// Number takes the table's next number, and returns the shape it was kept in before. Its row is locked.
func (w *Writer) Number() (before Shape, err error) {
	state, name := w.Flavour.Control+".table_state", TableName(w.Spec.Table)
	if err := w.Engine.Row(w.Ctx, "SELECT seq + 1, shape FROM "+state+` WHERE "table" = $1`, []any{name}, &w.Seq, (*string)(&before)); err != nil {
		return "", err
	}
	if _, err = w.exec("UPDATE "+state+` SET seq = $1, shape = $2 WHERE "table" = $3`, w.Seq, string(w.Shape), name); err != nil {
		return "", err
	}
	w.Kind, err = w.kindOfCommit()
	w.Line.Seq, w.Line.Mode = w.Seq, w.Spec.Mode
	w.Line.Simulated = w.Kind == Simulated
	if w.Line.Window.IsZero() {
		w.Line.Window = w.Spec.Window
	}
	if w.Line.Contract == "" {
		w.Line.Contract = w.Spec.Contract
	}
	return before, err
}

func (w *Writer) kindOfCommit() (string, error) {
	switch {
	case w.Load.Run.Live && !w.Partial():
		return Live, nil
	case w.Spec.Window.IsZero() || w.Partial():
		return Repair, nil
	}
	start, end := Bounds(w.Spec.Window)
	n, err := w.count("SELECT count(*) FROM "+w.Flavour.Control+`.table_commit WHERE "table" = $1 AND kind = 'live' AND window_start < $2 AND window_end > $3`,
		TableName(w.Spec.Table), end, start)
	if n > 0 {
		return Repair, err
	}
	return Simulated, err
}

// Record writes the commit's row; at is its times, each of them.
func (w *Writer) Record(at ...any) error {
	text, err := json.Marshal(w.Line.Evidence)
	if err != nil {
		return fault.New(fault.Internal, "writing the evidence: %w", err)
	}
	k := w.Load.Key
	start, end := Bounds(w.Spec.Window)
	values := append([]any{
		TableName(w.Spec.Table), w.Seq, k.String(), k.Origin(), k.Generation, k.Run, k.Task, string(w.Spec.Mode), w.Kind,
		start, end, w.Line.Evidence.Staged, w.Spec.Contract, string(text),
	}, at...)
	var list strings.Builder
	list.WriteString("$1")
	for i := range values[1:] {
		fmt.Fprintf(&list, ", $%d", i+2)
	}
	_, err = w.exec("INSERT INTO "+w.Flavour.Control+".table_commit VALUES ("+list.String()+")", values...)
	return err
}

// Place settles equal keys and brings the staged rows into the table; other places them in a mode that is none of these.
func (w *Writer) Place(other func() error) error {
	staged, err := w.count("SELECT count(*) FROM " + w.Stage)
	if err != nil {
		return err
	}
	if staged != w.Line.Evidence.Staged {
		return fault.New(fault.Internal, "evidence does not add up: %d rows are staged, and the manifest says %d", staged, w.Line.Evidence.Staged)
	}
	if err := w.required(); err != nil {
		return err
	}
	if err := w.settleKeys(); err != nil {
		return err
	}
	switch {
	case w.Partial() && (w.Spec.Mode == project.ModeReplace || w.Spec.Mode == project.ModeReplaceWindow):
		return w.patch()
	case w.Spec.Mode == project.ModeAppend:
		return w.append()
	case w.Spec.Mode == project.ModeReplaceWindow:
		return w.replaceWindow()
	case w.Spec.Mode == project.ModeMerge:
		return w.Engine.Merge()
	}
	return other()
}

// required refuses a load in which a required column has no value.
func (w *Writer) required() error {
	for _, f := range w.Visible {
		if !f.Required {
			continue
		}
		n, err := w.count("SELECT count(*) FROM " + w.Stage + " WHERE " + w.quote(f.Name) + " IS NULL")
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Refused, "column %s is required, and %d rows have no value there", f.Name, n)
		}
	}
	return nil
}
