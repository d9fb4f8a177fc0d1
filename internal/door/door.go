// Package door answers questions about the warehouse for people: SQL, snapshots,
// training sets rebuilt, predictions explained, receipts looked up.
//
// It runs in the home worker, which alone opens the warehouse; the server passes
// requests and answers on undecoded. Everything here reads; what writes is a run.
package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/task"
	"github.com/tidemill/tidemill/internal/training"
	"github.com/tidemill/tidemill/internal/worker"
)

// Query is the body of POST /v1/query: a SELECT on a store of a bundle.
type Query struct {
	Bundle string                     `json:"bundle"`
	Store  string                     `json:"store,omitempty"` // empty: the warehouse
	SQL    string                     `json:"sql"`
	Params map[string]json.RawMessage `json:"params,omitempty"`
}

// Pinned asks for a pin to be rebuilt.
type Pinned struct {
	Bundle  string          `json:"bundle"`
	Pin     json.RawMessage `json:"pin"`
	Ref     run.Ref         `json:"ref"`     // the attempt that keeps the spine
	Attempt int             `json:"attempt"` //
}

// Set asks how much a feature set would leak.
type Set struct {
	Bundle string                     `json:"bundle"`
	Set    string                     `json:"set"`
	Params map[string]json.RawMessage `json:"params,omitempty"`
}

// Trial asks for the metrics of a training script under another knowledge.
type Trial struct {
	Grant   run.Grant    `json:"grant"`
	Mode    feature.Mode `json:"mode"`
	KnownAt string       `json:"known_at,omitempty"`
}

// Scratch asks for a session of a script that a person starts by hand.
type Scratch struct {
	Grant  run.Grant `json:"grant"`
	Folder string    `json:"folder"` // what it writes is kept here
}

// Row asks for the values that one row of a set was given.
type Row struct {
	Bundle string                  `json:"bundle"`
	Set    string                  `json:"set"`
	Key    map[string]any          `json:"key"`    // column → value, the instant among them
	Vector map[project.Table]int64 `json:"vector"` // the commits that were read
}

// Receipts asks a store what keys committed.
type Receipts struct {
	Bundle string       `json:"bundle"`
	Store  string       `json:"store"`
	Keys   []commit.Key `json:"keys"`
}

// Path asks for a copy of the warehouse, or of another store of its kind.
type Path struct {
	Bundle string `json:"bundle"`
	Store  string `json:"store,omitempty"` // empty: the warehouse
	Path   string `json:"path"`            // absolute
}

// Table asks for the digest of a table.
type Table struct {
	Bundle string        `json:"bundle"`
	Table  project.Table `json:"table"`
}

// Column asks for the newest value of a column of times.
type Column struct {
	Bundle string        `json:"bundle"`
	Table  project.Table `json:"table"`
	Column string        `json:"column"`
	Zone   string        `json:"zone"` // of values without one, and of dates
}

// Newest is the answer; zero where there is no value.
type Newest struct {
	At time.Time `json:"at,omitzero"`
}

// Digest is the answer about a table.
type Digest struct {
	Digest string `json:"digest"`
	Rows   int64  `json:"rows"`
}

// Digester, and Snapshotter, are what only some stores can.
type (
	// Digester digests a table's visible columns.
	Digester interface {
		Digest(ctx context.Context, table project.Table) (string, int64, error)
	}
	// Snapshotter writes a copy that plain DuckDB opens.
	Snapshotter interface {
		Snapshot(ctx context.Context, path string) error
	}
)

// Door answers.
type Door struct {
	Runner *task.Runner
	Server *worker.Client
	Log    *slog.Logger
}

// maxBody bounds a request.
const maxBody = 16 << 20

// Handler returns the handler of every route.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/query", d.query)
	mux.HandleFunc("POST /v1/snapshot", take(func(ctx context.Context, in Path) (struct{}, error) {
		s, _, err := d.open(ctx, in.Bundle, in.Store)
		if err != nil {
			return struct{}{}, err
		}
		copier, ok := s.(Snapshotter)
		if !ok {
			return struct{}{}, fault.New(fault.Invalid, "the warehouse is not one file: no snapshot of it can be made")
		}
		return struct{}{}, copier.Snapshot(ctx, in.Path)
	}))
	mux.HandleFunc("POST /v1/digest", take(func(ctx context.Context, in Table) (Digest, error) {
		s, _, err := d.open(ctx, in.Bundle, in.Table.Store)
		if err != nil {
			return Digest{}, err
		}
		digester, ok := s.(Digester)
		if !ok {
			return Digest{}, fault.New(fault.Invalid, "the store %s digests no table", in.Table.Store)
		}
		sum, rows, err := digester.Digest(ctx, in.Table)
		return Digest{sum, rows}, err
	}))
	mux.HandleFunc("POST /v1/newest", take(d.newest))
	mux.HandleFunc("POST /v1/receipts", take(func(ctx context.Context, in Receipts) ([]commit.Receipt, error) {
		s, _, err := d.open(ctx, in.Bundle, in.Store)
		if err != nil {
			return nil, err
		}
		target, ok := s.(store.Target)
		if !ok {
			return nil, fault.New(fault.Invalid, "the store %s keeps no receipts", in.Store)
		}
		return target.Receipts(ctx, in.Keys...)
	}))
	mux.HandleFunc("POST /v1/quarantine", take(d.quarantine))
	mux.HandleFunc("POST /v1/reproduce", take(d.reproduce))
	mux.HandleFunc("POST /v1/leakage", take(d.leakage))
	mux.HandleFunc("POST /v1/trial", take(func(ctx context.Context, in Trial) (map[string]float64, error) {
		return d.Runner.Try(ctx, in.Grant, task.Trial{Mode: in.Mode, KnownAt: in.KnownAt})
	}))
	mux.HandleFunc("POST /v1/scratch", d.scratch)
	mux.HandleFunc("POST /v1/row", take(d.row))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fault.New(fault.NotFound, "the door has no route %s %s", r.Method, r.URL.Path))
	})
	return mux
}

func (d *Door) open(ctx context.Context, hash, name string) (store.Store, *task.Code, error) {
	code, err := d.Runner.Code(ctx, hash)
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		name = project.Warehouse
	}
	s, err := d.Runner.Stores.Open(ctx, code.Project, name)
	return s, code, err
}

// query streams the rows of a SELECT as Arrow IPC.
func (d *Door) query(w http.ResponseWriter, r *http.Request) {
	in, err := body[Query](r)
	if err != nil {
		refuse(w, err)
		return
	}
	s, _, err := d.open(r.Context(), in.Bundle, in.Store)
	if err != nil {
		refuse(w, err)
		return
	}
	q, ok := s.(store.Queryer)
	if !ok {
		refuse(w, fault.New(fault.Invalid, "the store %s answers no query", in.Store))
		return
	}
	statement := dialect.Statement{SQL: in.SQL}
	for name, raw := range in.Params {
		statement.Params = append(statement.Params, dialect.Param{Name: name, Value: feature.Plain(raw)})
	}
	schema, batches, err := q.Query(r.Context(), statement)
	if err != nil {
		refuse(w, err)
		return
	}
	next, stop := iter.Pull2(batches)
	defer stop()
	batch, err, more := next()
	if err != nil { // an engine that computes while it is read: the answer has not begun
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.apache.arrow.stream")
	out := format.NewIPCWriter(w, schema.Arrow())
	for ; more; batch, err, more = next() {
		if err == nil {
			err = out.Write(batch)
		}
		if err != nil {
			d.Log.Warn("a query's answer broke off", "cause", err)
			panic(http.ErrAbortHandler) // only a broken connection tells that the rows are not whole
		}
	}
	_ = out.Close()
}

// scratch streams what is told of a script, as lines of JSON.
func (d *Door) scratch(w http.ResponseWriter, r *http.Request) {
	in, err := body[Scratch](r)
	if err != nil {
		refuse(w, err)
		return
	}
	var mu sync.Mutex // the log tells from a goroutine of its own
	lines, control := json.NewEncoder(w), http.NewResponseController(w)
	tell := func(s task.Scratch) {
		mu.Lock()
		defer mu.Unlock()
		_ = lines.Encode(s) // the client went away: the session ends with the request
		_ = control.Flush()
	}
	w.Header().Set("Content-Type", "application/jsonl")
	if err := d.Runner.Scratch(r.Context(), in.Grant, in.Folder, tell); err != nil {
		tell(task.Scratch{Error: err.Error(), Kind: fault.KindOf(err)})
	}
}

func (d *Door) viewer(ctx context.Context, hash string) (store.Viewer, *task.Code, error) {
	s, code, err := d.open(ctx, hash, "")
	if err != nil {
		return nil, nil, err
	}
	v, ok := s.(store.Viewer)
	if !ok {
		return nil, nil, fault.New(fault.Invalid, "the warehouse keeps no feature tables")
	}
	return v, code, nil
}

func (d *Door) reproduce(ctx context.Context, in Pinned) (training.Comparison, error) {
	v, _, err := d.viewer(ctx, in.Bundle)
	if err != nil {
		return training.Comparison{}, err
	}
	var pin feature.Pin
	if err := json.Unmarshal(in.Pin, &pin); err != nil {
		return training.Comparison{}, fault.New(fault.Invalid, "the pin cannot be read: %w", err)
	}
	kept, err := d.Server.Artifact(ctx, in.Ref, in.Attempt, pin.Spine)
	if err != nil {
		return training.Comparison{}, err
	}
	defer func() { _ = kept.Close() }()
	content, err := io.ReadAll(kept)
	if err != nil {
		return training.Comparison{}, fault.New(fault.Unavailable, "read the spine of pin %s: %w", pin.ID, err)
	}
	schema, batches, err := format.ReadParquet(ctx, bytes.NewReader(content), pin.Spine)
	if err != nil {
		return training.Comparison{}, err
	}
	return training.Reproduce(ctx, v, pin, schema, batches)
}

// set finds a set of a bundle as a request of training.
func (d *Door) set(code *task.Code, name string, params map[string]json.RawMessage) (training.Request, error) {
	for _, s := range code.Project.Sets {
		if s.Name == name {
			given := map[string]any{}
			for k, raw := range params {
				given[k] = feature.Plain(raw)
			}
			return training.Request{Set: s, Tables: code.FeatureTables(), Params: given}, nil
		}
	}
	return training.Request{}, fault.New(fault.NotFound, "the project has no feature set %q", name)
}

func (d *Door) leakage(ctx context.Context, in Set) (training.Leakage, error) {
	v, code, err := d.viewer(ctx, in.Bundle)
	if err != nil {
		return training.Leakage{}, err
	}
	r, err := d.set(code, in.Set, in.Params)
	if err != nil {
		return training.Leakage{}, err
	}
	return training.Leak(ctx, v, r)
}

func (d *Door) row(ctx context.Context, in Row) ([]training.Used, error) {
	v, code, err := d.viewer(ctx, in.Bundle)
	if err != nil {
		return nil, err
	}
	r, err := d.set(code, in.Set, nil)
	if err != nil {
		return nil, err
	}
	for t, seq := range in.Vector {
		if known, ok := r.Tables[t]; ok {
			known.Seq = seq
			r.Tables[t] = known
		}
	}
	return training.Trace(ctx, v, r, training.Match(in.Key))
}

func body[In any](r *http.Request) (in In, err error) {
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&in); err != nil {
		return in, fault.New(fault.Invalid, "body of %s: %w", r.URL.Path, err)
	}
	return in, nil
}

func take[In, Out any](f func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in, err := body[In](r)
		if err != nil {
			refuse(w, err)
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the client went away: nobody is left to tell
	}
}

func refuse(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	if errors.Is(err, context.Canceled) {
		kind = fault.Cancelled
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(kind.HTTPStatus())
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error(), "kind": string(kind)})
}
