// Package store is the seam between Tidemill and the places where data live.
//
// A store kind implements Store and whatever of Source, Target, SQLLoad and
// Queryer it can do whole; storetest holds what each must pass. The package
// holds interfaces and values only: it opens nothing and knows no kind.
//
// Ownership: a batch that an iterator yields is borrowed until the next one.
// Stage borrows its batch too. Whoever keeps one retains it.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Batches is a stream of record batches. It ends after the first error.
type Batches = iter.Seq2[arrow.RecordBatch, error]

// ErrFenced means that a newer attempt holds the publish key: drop the work, do not retry.
var ErrFenced = errors.New("a newer attempt holds the publish key")

// ErrAbsent means that the source named by a request is not there (yet).
var ErrAbsent = errors.New("the source is not there")

// PublishedError means that the publish key is committed already: report its receipts and do not run.
type PublishedError struct{ Receipts []commit.Receipt }

// Error names the commit that was found.
func (e *PublishedError) Error() string { return "published already by an earlier attempt" }

// Atomicity is how a store makes a commit visible.
type Atomicity string

// The ways.
const (
	Transaction Atomicity = "transaction" // one transaction of the engine
	Numbered    Atomicity = "manifest"    // a numbered manifest, created only if absent
)

// Capabilities is what a store kind can do whole. `check` refuses the rest.
type Capabilities struct {
	Atomicity Atomicity
	Modes     []project.Mode
	Source    bool
	SQL       bool // runs SELECTs beside its tables
}

// Store is an open store.
type Store interface {
	Close() error
}

// Source reads. Text formats deliver text, never cast, with file and line
// beside it (datatype.FileColumn, datatype.LineColumn), so that the gate sees
// what was written.
type Source interface {
	// Read returns ErrAbsent where nothing matches the request.
	Read(context.Context, Request) (*Reading, error)
}

// Files are those below the store's folder whose path matches a glob.
type Files struct {
	Glob string // interpolated already
	// Optional files are read where there are any. A read whose files are all
	// optional needs one of them.
	Optional bool
}

// Words names files as a sentence can: the first and the last, where there are many.
func Words(files []Files) string {
	switch len(files) {
	case 0:
		return ""
	case 1:
		return files[0].Glob
	case 2:
		return files[0].Glob + " and " + files[1].Glob
	}
	return fmt.Sprintf("%s … %s (%d)", files[0].Glob, files[len(files)-1].Glob, len(files))
}

// Request names what to read. Exactly one of Files, Table and Query is set.
type Request struct {
	Files  []Files       // read one after the other, each file once
	Table  project.Table // of the store
	Query  dialect.Statement
	Format project.Format
	// Columns are delivered by text formats even where the source lacks them, as NULL.
	Columns []string
	// Only leaves out what Columns does not name, where a row of a text format names its own columns.
	Only  bool
	Batch int // rows per batch that the reader should aim at; 0: the reader's choice
	// Infer asks what types the values of text formats have: nobody else says it.
	Infer bool
}

// Reading is an open read. Batches may be consumed once.
type Reading struct {
	Schema  datatype.Schema
	Text    bool // every column is text as written, with file and line beside it
	Stable  bool // rows come in a stable order: the last of equal keys is well defined
	Sources []string
	Batches Batches
	Bytes   int64 // of the source, where known, for progress; else 0
	// Inferred is, where the request asks and the format is one of text, the
	// columns with the types that a sample of the rows shows.
	Inferred datatype.Schema
	Sampled  int64 // rows that Inferred is drawn from
}

// Target begins loads and settles unknown outcomes.
type Target interface {
	// Begin raises the fence of the spec's publish key and returns a load. It
	// returns ErrFenced where a newer attempt holds the key, and a
	// *PublishedError where the key is committed already. A spec without tables
	// raises the fence and can describe SELECTs; the same attempt may begin again
	// once a load has ended.
	Begin(context.Context, Spec) (Load, error)
	// Receipts looks up what the keys committed; keys without a commit are left out.
	Receipts(context.Context, ...commit.Key) ([]commit.Receipt, error)
	// Close raises the fence of a key so that no attempt below it can publish,
	// and returns the receipt if one is there (PROTOCOLS §3.4).
	CloseKey(context.Context, commit.Key, int64) (*commit.Receipt, error)
}

// Spec is what one attempt is about to write.
type Spec struct {
	Key    commit.Key
	Fence  int64 // the attempt's own number, from the ledger's one counter
	Run    Run
	Tables []TableSpec
}

// Run says which run a commit belongs to, for hidden columns and quarantine.
type Run struct {
	Pipeline string
	Window   commit.Window
	Live     bool // a scheduled run of its own time; else a backfill or a named past window: simulated
	Newest   bool // the run has the newest window of its pipeline (mode replace)
}

// TableSpec is one table of a load.
type TableSpec struct {
	Table      project.Table
	Schema     datatype.Schema // of the rows to stage, in the table's column order
	Mode       project.Mode
	Keys       []string
	EventTime  string
	Zone       string        // of an event time that is a day or a wall clock; empty: UTC
	Version    string        // merge: never overwrite a newer row
	Window     commit.Window // replace_window, feature, append
	Lookback   time.Duration
	AppendKeep bool
	Stable     bool // the last of equal keys wins; else all of them are quarantined
	Known      Known
	Contract   string // id@version
	// Replays are the ids of quarantined rows that this load places again: they
	// are deleted in its commit. Such a load is a part of its window: nothing that
	// it does not carry is removed, and rows are merged by key where there are keys.
	Replays []string
	// Admit is asked before anything becomes visible where equal keys send further
	// rows to quarantine: with the evidence as it is then. An error refuses the
	// load. It may be nil.
	Admit func(commit.Evidence) error
}

// QuarantineSchema is the schema of the batches that Load.Quarantine takes. Keep
// the row's id, run, task, key, window, number and time beside them under names
// that begin with an underscore: _id, _run, _task, _key, _window_start,
// _window_end, _seq, _at.
func QuarantineSchema() datatype.Schema {
	text := datatype.Of(datatype.String)
	return datatype.Schema{Fields: []datatype.Field{
		{Name: "rule", Type: text, Required: true},
		{Name: "field", Type: text},
		{Name: "reason", Type: text},
		{Name: "value", Type: text},
		{Name: "file", Type: text},
		{Name: "line", Type: datatype.Of(datatype.Int64)},
		{Name: "original", Type: text}, // a JSON object: the columns as the source wrote them
		{Name: "contract", Type: text},
	}}
}

// Known says how simulated rows of a feature table came to be known (PROTOCOLS
// §4.4): at the contract's column, else at the due time of the slot whose window
// holds the event, plus AvailableAfter. It never depends on how a range was cut.
type Known struct {
	Column         string // the contract's known_at column, else empty
	Boundaries     []Boundary
	AvailableAfter time.Duration
}

// Boundary is the end of a slot's window with the slot's due time. Boundaries
// ascend; the first covers the load's window start, the last its end.
type Boundary struct {
	End time.Time // the window is [previous End, End)
	Due time.Time
}

// Load is one attempt's rows, invisible until Commit, for several tables of one store, quarantine included.
type Load interface {
	// Columns returns the visible columns of a table as it is now: none where
	// there is no such table.
	Columns(context.Context, project.Table) (datatype.Schema, error)
	Stage(context.Context, project.Table, arrow.RecordBatch) error
	// Quarantine stages refused rows (schema gate.QuarantineSchema) of a table.
	Quarantine(context.Context, project.Table, arrow.RecordBatch) error
	// Commit makes rows, quarantine, receipt and cursor visible: all or
	// nothing. It fills Seq and the evidence that only the store knows
	// (inserted, updated, unchanged, superseded, deleted). It returns
	// ErrFenced when a newer attempt took the key, and an error of kind
	// unknown when the outcome must be looked up.
	Commit(context.Context, commit.Manifest) (commit.Receipt, error)
	Abort(context.Context) error // idempotent
}

// SQLLoad is a Load whose engine can query its own stage: pushdown,
// uniqueness, SQL checks. Asserted in publish alone.
type SQLLoad interface {
	Load
	// Fill stages the rows of a SELECT and returns their number. Columns are found
	// by name. A type that is not the wanted one is cast where every value fits,
	// and a value that does not fit fails the load. For a table of mode view the
	// SELECT becomes the view, runs not at all, and may have no parameters.
	Fill(context.Context, project.Table, dialect.Statement) (int64, error)
	// Describe returns the schema of a SELECT without running it.
	Describe(context.Context, dialect.Statement) (datatype.Schema, error)
	// Query runs a SELECT that sees the stage under the name Staged returns.
	Query(context.Context, dialect.Statement) (Batches, error)
	// Staged is the quoted name of a table's stage in the engine.
	Staged(project.Table) string
	// Discard removes the staged rows for which the predicate is true, and
	// returns their number: quarantine decided on the stage.
	Discard(ctx context.Context, t project.Table, predicate string) (int64, error)
	Dialect() dialect.Dialect
}

// Queryer answers SELECTs outside of any load.
type Queryer interface {
	Query(context.Context, dialect.Statement) (datatype.Schema, Batches, error)
	Dialect() dialect.Dialect
}

// Viewer opens views: what training sets are built in.
type Viewer interface {
	View(context.Context) (View, error)
	Dialect() dialect.Dialect
}

// View is one unchanging state of a store, with room for relations of its own
// that nobody else sees. It is for one goroutine.
type View interface {
	// Query runs a SELECT. One result is read to its end before the next call.
	Query(context.Context, dialect.Statement) (datatype.Schema, Batches, error)
	// Keep names the result of a SELECT; the name is returned as SQL wants it.
	Keep(ctx context.Context, name string, s dialect.Statement) (relation string, rows int64, err error)
	// Take names rows that come from elsewhere.
	Take(ctx context.Context, name string, schema datatype.Schema, batches Batches) (relation string, rows int64, err error)
	// Feature describes a feature table in this state; ErrAbsent where there is none.
	Feature(context.Context, project.Table) (FeatureTable, error)
	Close() error
}

// FeatureTable is where a feature table's history lies.
type FeatureTable struct {
	Seq     int64  // of the newest commit
	History string // the relation of all rows, with _seq, _known_at and _deleted
	Commits string // the relation (seq, known_at, kind, run, task) of its commits
}
