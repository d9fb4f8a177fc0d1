// Package training builds training sets on an open store: joins by what was
// known, freezes them under pins, rebuilds pins, and answers for single rows.
//
// The SQL is core/feature's; this package asks the questions in one view, so
// that the vector of commits, the spine and the join see the same state. It
// guarantees that a pin holds everything a rebuild needs besides the histories:
// the spine's rows travel with it. It knows no attempt and keeps no file.
package training

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Request is a feature set to be joined.
type Request struct {
	Set      project.FeatureSet
	Tables   map[project.Table]feature.Table // keys and event time of each feature table; Seq is looked up where it is 0
	Params   map[string]any
	Until    time.Time
	Strict   bool
	Mode     feature.Mode
	KnownAt  string
	From, To time.Time // scoring: the instants that are asked about
	Now      time.Time
}

// Answer is a joined set inside a view that the caller closes.
type Answer struct {
	View     store.View
	Columns  feature.Columns
	Vector   map[project.Table]feature.Table // as it was read
	SQL      string
	Spine    string // relation of the rows that were asked about
	Relation string // relation of the answer
	Rows     int64
}

// Params completes the params of a set: what is given, else the declared default.
func Params(s project.FeatureSet, given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for _, p := range s.Params {
		v, ok := given[p.Name]
		if !ok {
			v = feature.Plain(p.Default)
		}
		out[p.Name] = v
	}
	for name := range given {
		if _, ok := out[name]; !ok {
			return nil, fault.New(fault.Invalid, "feature set %s declares no param %s", s.Name, name)
		}
	}
	return out, nil
}

// Join joins a set in a new view. With labels it is a training set, without the
// rows to score.
func Join(ctx context.Context, v store.Viewer, r Request, labels bool) (*Answer, error) {
	view, err := v.View(ctx)
	if err != nil {
		return nil, err
	}
	a, err := join(ctx, view, v.Dialect(), r, labels)
	if err != nil {
		_ = view.Close()
		return nil, fmt.Errorf("feature set %s: %w", r.Set.Name, err)
	}
	return a, nil
}

func join(ctx context.Context, view store.View, d dialect.Dialect, r Request, labels bool) (*Answer, error) {
	o, err := options(ctx, view, r, labels)
	if err != nil {
		return nil, err
	}
	if labels && r.Set.Label != nil {
		if err := oneLabelEach(ctx, view, d, r.Set, o); err != nil {
			return nil, err
		}
	}
	statement, err := feature.Spine(r.Set, d, o)
	if err != nil {
		return nil, err
	}
	a := &Answer{View: view, Columns: feature.ColumnsOf(r.Set, labels), Vector: o.Tables}
	if a.Spine, _, err = view.Keep(ctx, "spine", statement); err != nil {
		return nil, err
	}
	return a, a.answer(ctx, d, r.Set, o)
}

// oneLabelEach refuses labels of which a key has several.
func oneLabelEach(ctx context.Context, view store.View, d dialect.Dialect, s project.FeatureSet, o feature.Options) error {
	statement, err := feature.Twice(s, d, o)
	if err != nil {
		return err
	}
	_, batches, err := view.Query(ctx, statement)
	if err != nil {
		return err
	}
	var found error
	for batch, err := range batches {
		if err != nil {
			return err
		}
		if batch.NumRows() == 0 {
			continue
		}
		var key []string
		for i, name := range s.Key {
			key = append(key, name+" = "+datatype.ValueText(batch.Column(i), 0))
		}
		n := datatype.ValueText(batch.Column(len(s.Key)), 0)
		found = fault.New(fault.Refused, "the label has %s rows for %s: its SQL must give one row for each key", n, strings.Join(key, ", "))
	}
	return found
}

// answer joins the kept spine to the features.
func (a *Answer) answer(ctx context.Context, d dialect.Dialect, s project.FeatureSet, o feature.Options) error {
	o.Spine = a.Spine
	statement, err := feature.Render(s, d, o)
	if err != nil {
		return err
	}
	a.SQL = statement.SQL
	a.Relation, a.Rows, err = a.View.Keep(ctx, "answer", statement)
	return err
}

// options fixes the vector: which commit of each feature table the join sees.
func options(ctx context.Context, view store.View, r Request, labels bool) (feature.Options, error) {
	params, err := Params(r.Set, r.Params)
	if err != nil {
		return feature.Options{}, err
	}
	o := feature.Options{
		Mode: r.Mode, KnownAt: r.KnownAt, Strict: r.Strict, Labels: labels, Until: r.Until, From: r.From, To: r.To, Now: r.Now,
		Params: params, Tables: map[project.Table]feature.Table{},
	}
	places := map[project.Table]store.FeatureTable{}
	for _, f := range r.Set.Features {
		if f.Expr != "" {
			continue
		}
		t, ok := r.Tables[f.Table]
		if !ok {
			return o, fault.New(fault.Invalid, "%s is no feature table", f.Table)
		}
		place, err := view.Feature(ctx, f.Table)
		if err != nil {
			return o, err
		}
		if t.Seq == 0 {
			t.Seq = place.Seq
		}
		if t.Seq > place.Seq {
			return o, fault.New(fault.Conflict, "the pin names commit %d of %s, which has only %d: is this a restored backup?", t.Seq, f.Table, place.Seq)
		}
		places[f.Table], o.Tables[f.Table] = place, t
	}
	o.History = func(t project.Table) string { return places[t].History }
	o.Commits = func(t project.Table) string { return places[t].Commits }
	return o, nil
}

// Batches returns the answer's rows, in the order of the instant and the key.
func (a *Answer) Batches(ctx context.Context) (datatype.Schema, store.Batches, error) {
	return a.View.Query(ctx, ordered(a.Relation, a.Columns))
}

// SpineBatches returns the rows that were asked about, as a pin keeps them.
func (a *Answer) SpineBatches(ctx context.Context) (datatype.Schema, store.Batches, error) {
	return a.View.Query(ctx, ordered(a.Spine, a.Columns))
}

func ordered(relation string, c feature.Columns) dialect.Statement {
	order := dialect.DuckDB.QuoteAll(append([]string{c.At}, c.Key...)...)
	return dialect.Statement{SQL: "SELECT * FROM " + relation + " ORDER BY " + order}
}

// Freeze returns the pin of a training set. Its id is the digest of what it says.
func (a *Answer) Freeze(ctx context.Context, r Request) (feature.Pin, error) {
	params, err := Params(r.Set, r.Params)
	if err != nil {
		return feature.Pin{}, err
	}
	p := feature.Pin{
		Set: r.Set, SetDigest: feature.DigestOf(r.Set), SQL: a.SQL, Params: params, Until: r.Until, Strict: r.Strict,
		Columns: a.Columns, Engine: "duckdb",
	}
	for _, f := range r.Set.Features {
		t, ok := a.Vector[f.Table]
		if !ok || slices.ContainsFunc(p.Tables, func(one feature.PinnedTable) bool { return one.Table == f.Table }) {
			continue
		}
		p.Tables = append(p.Tables, feature.PinnedTable{Table: f.Table, Keys: t.Keys, EventTime: t.EventTime, Seq: t.Seq})
	}
	if p.Rows, p.Digests, err = digest(ctx, a.View, a.Relation, a.Columns); err != nil {
		return p, err
	}
	spine := a.Columns
	spine.Features = nil
	_, sums, err := digest(ctx, a.View, a.Spine, spine)
	if err != nil {
		return p, err
	}
	p.SpineSum = feature.DigestOf(sums)
	p.ID = feature.DigestOf(p)[:16]
	return p, nil
}

// digest reads the digest of every column of a relation.
func digest(ctx context.Context, view store.View, relation string, c feature.Columns) (int64, map[string]feature.ColumnDigest, error) {
	identity := append(slices.Clone(c.Key), c.At)
	columns := slices.Clone(identity)
	if c.Label != "" {
		columns = append(columns, c.Label)
	}
	columns = append(columns, c.Features...)
	values, err := oneRow(ctx, view, feature.Digest(dialect.DuckDB, relation, identity, columns))
	if err != nil {
		return 0, nil, fmt.Errorf("digest of the training set: %w", err)
	}
	out := map[string]feature.ColumnDigest{}
	for i, name := range columns {
		out[name] = feature.ColumnDigest{Sum: values[1+2*i].text, Nulls: values[2+2*i].number}
	}
	return values[0].number, out, nil
}

type cell struct {
	text   string
	number int64
}

// oneRow reads the only row of a statement that yields numbers and texts.
func oneRow(ctx context.Context, view store.View, s dialect.Statement) ([]cell, error) {
	_, batches, err := view.Query(ctx, s)
	if err != nil {
		return nil, err
	}
	var out []cell
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		for _, c := range batch.Columns() {
			one := cell{text: c.ValueStr(0)}
			if n, ok := c.(*array.Int64); ok {
				one.number = n.Value(0)
			}
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Internal, "no row came back")
	}
	return out, nil
}
