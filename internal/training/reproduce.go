package training

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Comparison is a rebuilt training set beside its pin.
type Comparison struct {
	Pin         string               `json:"pin"`
	Equal       bool                 `json:"equal"`
	Rows        int64                `json:"rows"`
	RowsNow     int64                `json:"rows_now"`
	Differences []feature.Difference `json:"differences,omitempty"`
	Today       []Change             `json:"today,omitempty"` // what a new pin would see otherwise
	Examples    Examples             `json:"examples"`
}

// Change is what later commits of one feature table changed in a set.
type Change struct {
	Table   project.Table `json:"table"`
	From    int64         `json:"from_seq"`
	To      int64         `json:"to_seq"`
	Rows    int64         `json:"rows"`    // rows of the set with another value
	Columns []string      `json:"columns"` // of these features
	Commits []string      `json:"commits"` // the commits that wrote the values seen now
}

// Reproduce rebuilds a pin from its spine and the pinned commits, and says equal
// or what differs. Then it joins the same spine to today's commits, and says
// what a new pin would see otherwise, and which commits made the difference.
func Reproduce(ctx context.Context, v store.Viewer, p feature.Pin, schema datatype.Schema, spine store.Batches) (Comparison, error) {
	out := Comparison{Pin: p.ID, Rows: p.Rows}
	view, err := v.View(ctx)
	if err != nil {
		return out, err
	}
	defer func() { _ = view.Close() }()
	a := &Answer{View: view, Columns: p.Columns}
	if a.Spine, _, err = view.Take(ctx, "spine", schema, spine); err != nil {
		return out, fmt.Errorf("spine of pin %s: %w", p.ID, err)
	}
	r := Request{Set: p.Set, Tables: p.Vector(), Params: p.Params, Until: p.Until, Strict: p.Strict}
	o, err := options(ctx, view, r, true)
	if err != nil {
		return out, err
	}
	if err := a.answer(ctx, v.Dialect(), p.Set, o); err != nil {
		return out, err
	}
	var digests map[string]feature.ColumnDigest
	if out.RowsNow, digests, err = digest(ctx, view, a.Relation, p.Columns); err != nil {
		return out, err
	}
	out.Differences = feature.Compare(p.Digests, digests)
	out.Equal = len(out.Differences) == 0 && out.Rows == out.RowsNow
	if out.Today, err = today(ctx, a, v.Dialect(), r, o); err != nil {
		return out, err
	}
	out.Examples, err = examples(ctx, a, v.Dialect(), r, o)
	if err != nil { // a pin does not need the tables that its rows were taken from
		out.Examples = Examples{Unknown: err.Error()}
	}
	return out, nil
}

// today joins the spine to the newest commits and compares row by row.
func today(ctx context.Context, then *Answer, d dialect.Dialect, r Request, o feature.Options) ([]Change, error) {
	r.Tables = map[project.Table]feature.Table{}
	for t, one := range o.Tables {
		one.Seq = 0 // the newest
		r.Tables[t] = one
	}
	now, err := options(ctx, then.View, r, true)
	if err != nil {
		return nil, err
	}
	now.Spine = then.Spine
	now.Extra = func(alias string, _ feature.Table) []feature.Expression {
		return []feature.Expression{{SQL: alias + "._seq", As: "__seq"}}
	}
	statement, err := feature.Render(r.Set, d, now)
	if err != nil {
		return nil, err
	}
	relation, _, err := then.View.Keep(ctx, "today", statement)
	if err != nil {
		return nil, err
	}
	var out []Change
	for i, f := range r.Set.Features {
		if f.Expr != "" || o.Tables[f.Table].Seq == now.Tables[f.Table].Seq {
			continue
		}
		c := Change{Table: f.Table, From: o.Tables[f.Table].Seq, To: now.Tables[f.Table].Seq}
		if err := then.compare(ctx, relation, f, i, &c, now.Commits(f.Table)); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// compare counts, for one feature table, the rows that have another value today.
// Both relations have the same rows in the same order.
func (a *Answer) compare(ctx context.Context, relation string, f project.Feature, i int, c *Change, commits string) error {
	q := dialect.DuckDB.Quote
	var differs, columns []string
	for _, name := range f.Take {
		differs = append(differs, fmt.Sprintf("t.%s IS DISTINCT FROM n.%s", q(name), q(name)))
		columns = append(columns, fmt.Sprintf("count(*) FILTER (t.%s IS DISTINCT FROM n.%s)", q(name), q(name)))
	}
	numbered := func(relation string) string { return "(SELECT *, row_number() OVER () AS __n FROM " + relation + ")" }
	from := fmt.Sprintf("%s t JOIN %s n USING (__n)", numbered(a.Relation), numbered(relation))
	values, err := oneRow(ctx, a.View, dialect.Statement{SQL: fmt.Sprintf("SELECT count(*) FILTER (%s), %s FROM %s", strings.Join(differs, " OR "), strings.Join(columns, ", "), from)})
	if err != nil {
		return err
	}
	c.Rows = values[0].number
	for n, name := range f.Take {
		if values[1+n].number > 0 {
			c.Columns = append(c.Columns, name)
		}
	}
	if c.Rows == 0 {
		return nil
	}
	sql := fmt.Sprintf(`SELECT DISTINCT c.seq, c.run, c.task FROM %s JOIN %s c ON c.seq = n.%s WHERE %s ORDER BY c.seq LIMIT 20`,
		from, commits, q(fmt.Sprintf("__seq_%d", i)), strings.Join(differs, " OR "))
	_, batches, err := a.View.Query(ctx, dialect.Statement{SQL: sql})
	if err != nil {
		return err
	}
	for batch, err := range batches {
		if err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			c.Commits = append(c.Commits, fmt.Sprintf("%s (run %s, %s)", batch.Column(0).ValueStr(row), batch.Column(1).ValueStr(row), batch.Column(2).ValueStr(row)))
		}
	}
	return nil
}

// Leakage is how much a join by event time would have seen of the future.
type Leakage struct {
	Set    string         `json:"set"`
	Labels int64          `json:"labels"`
	Leaked int64          `json:"leaked"` // labels of which at least one feature was not known yet
	Tables []TableLeakage `json:"tables"`
}

// TableLeakage is the part of one feature table.
type TableLeakage struct {
	Table  project.Table `json:"table"`
	Leaked int64         `json:"leaked"`
	Median string        `json:"median_wait,omitempty"` // from the label's instant until the value was known
}

// Leak joins a set by event time and counts the labels that would have seen a
// value before anybody knew it.
func Leak(ctx context.Context, v store.Viewer, r Request) (Leakage, error) {
	out := Leakage{Set: r.Set.Name}
	view, err := v.View(ctx)
	if err != nil {
		return out, err
	}
	defer func() { _ = view.Close() }()
	r.Mode = feature.Event
	o, err := options(ctx, view, r, true)
	if err != nil {
		return out, err
	}
	statement, err := feature.Spine(r.Set, v.Dialect(), o)
	if err != nil {
		return out, err
	}
	if o.Spine, _, err = view.Keep(ctx, "spine", statement); err != nil {
		return out, err
	}
	o.Extra = func(alias string, _ feature.Table) []feature.Expression {
		return []feature.Expression{{SQL: alias + "._known_at", As: "__row_known"}, {SQL: alias + "._seq", As: "__seq"}}
	}
	if statement, err = feature.Render(r.Set, v.Dialect(), o); err != nil {
		return out, err
	}
	relation, rows, err := view.Keep(ctx, "leaking", statement)
	if err != nil {
		return out, err
	}
	out.Labels = rows
	return out, out.count(ctx, view, r.Set, o, relation)
}

// count asks for all tables at once: which labels saw a value before anybody
// knew it, and how long it took, in the middle, until it was known.
func (l *Leakage) count(ctx context.Context, view store.View, set project.FeatureSet, o feature.Options, relation string) error {
	q := dialect.DuckDB.Quote
	var early, columns []string
	var joins strings.Builder
	for i, f := range set.Features {
		if f.Expr != "" {
			continue
		}
		fmt.Fprintf(&joins, " LEFT JOIN %s c%d ON c%d.seq = l.%s", o.Commits(f.Table), i, i, q(fmt.Sprintf("__seq_%d", i)))
		known := fmt.Sprintf("coalesce(l.%s, c%d.known_at)", q(fmt.Sprintf("__row_known_%d", i)), i)
		condition := fmt.Sprintf("coalesce(%s > l.%s, false)", known, q(set.At))
		early = append(early, condition)
		// In seconds: the engine's median of intervals is slow.
		columns = append(columns, fmt.Sprintf("count(*) FILTER (%s), coalesce(median(epoch(%s) - epoch(l.%s)) FILTER (%s), 0)::BIGINT", condition, known, q(set.At), condition))
		l.Tables = append(l.Tables, TableLeakage{Table: f.Table})
	}
	if len(early) == 0 {
		return nil
	}
	values, err := oneRow(ctx, view, dialect.Statement{SQL: fmt.Sprintf("SELECT count(*) FILTER (%s), %s FROM %s l%s",
		strings.Join(early, " OR "), strings.Join(columns, ", "), relation, joins.String())})
	if err != nil {
		return err
	}
	l.Leaked = values[0].number
	for i := range l.Tables {
		l.Tables[i].Leaked = values[1+2*i].number
		if wait := time.Duration(values[2+2*i].number) * time.Second; wait > 0 {
			l.Tables[i].Median = wait.Round(time.Minute).String()
		}
	}
	return nil
}

// Used is the value of one feature that one row of a set was given, and where it came from.
type Used struct {
	Table   project.Table `json:"table"`
	Feature string        `json:"feature"`
	Value   string        `json:"value"`
	Event   string        `json:"event_time"`
	Visible string        `json:"visible_from"`
	KnownAt string        `json:"known_at"`
	Seq     int64         `json:"seq"`
	Run     string        `json:"run"`
	Task    string        `json:"task"`
}

// Trace repeats the join for one row with the commits that were read then, and
// tells for each feature which value was used, when it became known, and which
// commit of which run wrote it.
func Trace(ctx context.Context, v store.Viewer, r Request, where dialect.Statement) ([]Used, error) {
	view, err := v.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = view.Close() }()
	o, err := options(ctx, view, r, false)
	if err != nil {
		return nil, err
	}
	statement, err := feature.Spine(r.Set, v.Dialect(), o)
	if err != nil {
		return nil, err
	}
	all, _, err := view.Keep(ctx, "asked", statement)
	if err != nil {
		return nil, err
	}
	if o.Spine, _, err = view.Keep(ctx, "spine", dialect.Statement{SQL: "SELECT * FROM " + all + " WHERE " + where.SQL, Params: where.Params}); err != nil {
		return nil, err
	}
	q := dialect.DuckDB.Quote
	o.Extra = func(alias string, t feature.Table) []feature.Expression {
		return []feature.Expression{
			{SQL: alias + "._seq", As: "__seq"},
			{SQL: alias + ".__vis", As: "__vis"},
			{SQL: alias + "._known_at", As: "__known"},
			{SQL: alias + "." + q(t.EventTime), As: "__event"},
		}
	}
	if statement, err = feature.Render(r.Set, v.Dialect(), o); err != nil {
		return nil, err
	}
	relation, _, err := view.Keep(ctx, "traced", statement)
	if err != nil {
		return nil, err
	}
	var out []Used
	for i, f := range r.Set.Features {
		if f.Expr != "" {
			continue
		}
		for _, name := range f.Take {
			sql := fmt.Sprintf(`SELECT coalesce(l.%s::VARCHAR, 'NULL'), coalesce(l.%s::VARCHAR, ''), coalesce(coalesce(l.%s, c.known_at)::VARCHAR, ''), coalesce(c.seq, 0), coalesce(c.run, ''), coalesce(c.task, ''), coalesce(l.%s::VARCHAR, '')
				FROM %s l LEFT JOIN %s c ON c.seq = l.%s`,
				q(name), q(fmt.Sprintf("__vis_%d", i)), q(fmt.Sprintf("__known_%d", i)), q(fmt.Sprintf("__event_%d", i)), relation, o.Commits(f.Table), q(fmt.Sprintf("__seq_%d", i)))
			_, batches, err := view.Query(ctx, dialect.Statement{SQL: sql})
			if err != nil {
				return nil, err
			}
			for batch, err := range batches {
				if err != nil {
					return nil, err
				}
				if batch.NumRows() > 0 {
					out = append(out, Used{
						Table: f.Table, Feature: name, Value: batch.Column(0).ValueStr(0), Visible: batch.Column(1).ValueStr(0),
						KnownAt: batch.Column(2).ValueStr(0), Seq: batch.Column(3).(*array.Int64).Value(0),
						Run: batch.Column(4).ValueStr(0), Task: batch.Column(5).ValueStr(0), Event: batch.Column(6).ValueStr(0),
					})
				}
			}
		}
	}
	return out, nil
}

// Match is the condition that a row has these values, bound.
func Match(key map[string]any) dialect.Statement {
	var s dialect.Statement
	var parts []string
	for n, name := range slices.Sorted(maps.Keys(key)) {
		param := fmt.Sprintf("match_%d", n)
		parts = append(parts, fmt.Sprintf("%s::VARCHAR = ($%s)::VARCHAR", dialect.DuckDB.Quote(name), param))
		s.Params = append(s.Params, dialect.Param{Name: param, Value: fmt.Sprint(key[name])})
	}
	s.SQL = strings.Join(parts, " AND ")
	return s
}
