// Package feature makes the SQL that joins labels to what was known at each
// label's time, and the pins that freeze the result.
//
// A feature table is a history: rows (keys, event time, values, _seq, _known_at,
// _deleted). A row is visible from the later of its event time and the moment it
// became known. At an instant the row with the newest event time counts among
// those that are visible; of several versions of one event the one with the
// highest _seq. A deleted row counts as a row of NULLs. Rows that came after
// their keys had moved on change nothing.
//
// One statement is rendered per engine: ASOF where the engine has it, closed
// intervals elsewhere. Both match at most one row per spine row and table, keep
// every spine row once, and give NULL for keys that are NULL. The package holds
// no data and asks no engine.
package feature

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Mode is whose knowledge a join goes by.
type Mode string

// The modes. Only Known is honest; the others show what an honest join is worth.
const (
	Known  Mode = "known"  // by the moment each value became known
	Event  Mode = "event"  // by event time alone: sees the future
	Column Mode = "column" // by a column of the feature table, as if it had been loaded at once
)

// Table is what a join must know of one feature table.
type Table struct {
	Keys      []string // in the order of the table's own key
	EventTime string
	Seq       int64 // rows above it do not exist for this join
}

// Options choose what is joined, and by whose knowledge.
type Options struct {
	Mode     Mode
	KnownAt  string // the column, in mode Column
	Strict   bool   // leave out what is only simulated to have been known
	Labels   bool   // join the label, and keep the rows that have one
	Until    time.Time
	From, To time.Time                                // keep spine rows whose instant lies in [From, To)
	Now      time.Time                                // an instant later than it is asked as of it (PROTOCOLS §4.5)
	Spine    string                                   // a relation that takes the place of the set's spine (and label)
	Params   map[string]any                           // of the set
	Tables   map[project.Table]Table                  //
	Commits  func(t project.Table) string             // the relation (seq, known_at, kind) of a table's commits
	History  func(t project.Table) string             // the relation of a table's history
	Extra    func(alias string, t Table) []Expression // further columns per feature table, such as the _seq that was used
}

// Expression is a column that is added to a result.
type Expression struct{ SQL, As string }

// Names of the hidden columns of a result.
const (
	rowColumn = "__row"
	LabelTime = "__label_known_at"
)

// Columns are the names that a set delivers, in order.
type Columns struct {
	Key      []string `json:"key"`
	At       string   `json:"at"`
	Label    string   `json:"label,omitempty"`
	Features []string `json:"features"`
}

// ColumnsOf returns the columns of a set. With labels, the label is among them.
func ColumnsOf(s project.FeatureSet, labels bool) Columns {
	c := Columns{Key: s.Key, At: s.At}
	if labels && s.Label != nil {
		c.Label = s.Label.Column
	}
	for _, f := range s.Features {
		c.Features = append(c.Features, namesOf(f)...)
	}
	return c
}

func namesOf(f project.Feature) []string {
	if f.Expr != "" {
		return []string{f.As}
	}
	return f.Take
}

// renderer builds one statement.
type renderer struct {
	set project.FeatureSet
	d   dialect.Dialect
	o   Options
	b   strings.Builder
	p   []dialect.Param
}

// Render returns the statement of a set. Its columns are those of ColumnsOf;
// its rows come in the order of the instant and the key.
func Render(s project.FeatureSet, d dialect.Dialect, o Options) (dialect.Statement, error) {
	r, err := newRenderer(s, d, o)
	if err != nil {
		return dialect.Statement{}, err
	}
	r.spine()
	for i, f := range s.Features {
		if f.Expr != "" {
			continue
		}
		t, ok := o.Tables[f.Table]
		if !ok {
			return dialect.Statement{}, fault.New(fault.Invalid, "feature set %s: %s is no feature table", s.Name, f.Table)
		}
		if len(f.On) != len(t.Keys) {
			return dialect.Statement{}, fault.New(fault.Invalid, "feature set %s: %s has the key %v, on: names %v", s.Name, f.Table, t.Keys, f.On)
		}
		r.timeline(i, f, t)
	}
	r.result()
	return dialect.Statement{SQL: r.b.String(), Params: r.used()}, nil
}

func newRenderer(s project.FeatureSet, d dialect.Dialect, o Options) (*renderer, error) {
	if o.Mode == "" {
		o.Mode = Known
	}
	if o.Labels && s.Label == nil {
		return nil, fault.New(fault.Invalid, "feature set %s has no label to train with", s.Name)
	}
	r := &renderer{set: s, d: d, o: o}
	for _, p := range s.Params {
		v, ok := o.Params[p.Name]
		if !ok {
			return nil, fault.New(fault.Invalid, "feature set %s: param %s has no value", s.Name, p.Name)
		}
		r.p = append(r.p, dialect.Param{Name: "param_" + p.Name, Value: v})
	}
	return r, nil
}

func (r *renderer) add(format string, args ...any) { fmt.Fprintf(&r.b, format, args...) }

func (r *renderer) bind(name string, v any) string {
	if !slices.ContainsFunc(r.p, func(p dialect.Param) bool { return p.Name == name }) {
		r.p = append(r.p, dialect.Param{Name: name, Value: v})
	}
	return "$" + name
}

// used returns the parameters that the text names: engines refuse the others.
func (r *renderer) used() []dialect.Param {
	names := dialect.Statement{SQL: r.b.String()}.Placeholders()
	return slices.DeleteFunc(r.p, func(p dialect.Param) bool { return !slices.Contains(names, p.Name) })
}

// spine writes the rows that are asked about, each with a number of its own: a
// duplicate is a row too.
func (r *renderer) spine() {
	at := "s." + r.d.Quote(r.set.At)
	asOf := at
	if !r.o.Now.IsZero() {
		asOf = fmt.Sprintf("least(%s, %s)", at, r.bind("now", r.o.Now))
	}
	r.add("WITH spine AS MATERIALIZED (\n  SELECT s.*, row_number() OVER () AS %s, %s AS __ts FROM ", r.d.Quote(rowColumn), asOf)
	if r.o.Spine != "" {
		r.add("%s s\n)", r.o.Spine)
		return
	}
	r.add("(\n")
	r.asked()
	r.add("\n  ) s\n)")
}

// Spine returns the statement of the rows that a set asks about, as a pin keeps
// them: key, instant, what features are looked up by, expressions, and the label.
func Spine(s project.FeatureSet, d dialect.Dialect, o Options) (dialect.Statement, error) {
	r, err := newRenderer(s, d, o)
	if err != nil {
		return dialect.Statement{}, err
	}
	r.asked()
	return dialect.Statement{SQL: r.b.String(), Params: r.used()}, nil
}

// Twice returns the query of keys that have more than one label: every one of
// them would double its row.
func Twice(s project.FeatureSet, d dialect.Dialect, o Options) (dialect.Statement, error) {
	r, err := newRenderer(s, d, o)
	if err != nil {
		return dialect.Statement{}, err
	}
	key := quoteAll(d, s.Key)
	r.add("SELECT %s, count(*) AS __n FROM (\n%s\n  ) l\nWHERE %s IS NOT NULL\nGROUP BY %s HAVING count(*) > 1 ORDER BY __n DESC LIMIT 1",
		strings.Join(key, ", "), strings.TrimSpace(s.Label.SQL), strings.Join(key, " IS NOT NULL AND "), strings.Join(key, ", "))
	return dialect.Statement{SQL: r.b.String(), Params: r.used()}, nil
}

// asked writes the spine's rows with everything that is computed from them
// alone, so that nothing needs the tables behind the spine a second time.
func (r *renderer) asked() {
	q := r.d.Quote
	columns := []string{}
	for _, c := range append(slices.Clone(r.set.Key), r.set.At) {
		columns = append(columns, "a."+q(c))
	}
	for _, c := range r.lookups() {
		columns = append(columns, fmt.Sprintf("a.%s AS %s", q(c), q(lookupColumn(c))))
	}
	for _, f := range r.set.Features {
		if f.Expr != "" {
			columns = append(columns, fmt.Sprintf("a.%s", q(f.As)))
		}
	}
	var where []string
	if !r.o.From.IsZero() {
		where = append(where, "a."+q(r.set.At)+" >= "+r.bind("from", r.o.From))
	}
	if !r.o.To.IsZero() {
		where = append(where, "a."+q(r.set.At)+" < "+r.bind("to", r.o.To))
	}
	join := ""
	if r.o.Labels {
		label := r.set.Label
		columns = append(columns, "l."+q(label.Column), fmt.Sprintf("l.%s AS %s", q(label.KnownAt), q(LabelTime)))
		join = fmt.Sprintf("\n  JOIN (\n%s\n  ) l ON %s", strings.TrimSpace(label.SQL), r.equal("a", r.set.Key, "l", r.set.Key))
		if !r.o.Until.IsZero() {
			where = append(where, fmt.Sprintf("l.%s <= %s", q(label.KnownAt), r.bind("until", r.o.Until)))
		}
	}
	r.add("SELECT %s\n  FROM (SELECT *", strings.Join(columns, ", "))
	var expressions strings.Builder
	for _, f := range r.set.Features {
		if f.Expr != "" && !r.isPlain(f) {
			fmt.Fprintf(&expressions, ", (%s) AS %s", f.Expr, q(f.As))
		}
	}
	r.add("%s FROM (\n%s\n  ) a) a%s", expressions.String(), strings.TrimSpace(r.set.Spine), join)
	if len(where) > 0 {
		r.add("\n  WHERE %s", strings.Join(where, " AND "))
	}
}

// isPlain reports whether an expression is just the column that it is named after.
func (r *renderer) isPlain(f project.Feature) bool { return strings.TrimSpace(f.Expr) == f.As }

// lookups lists the spine's columns that features are looked up by, each once.
func (r *renderer) lookups() []string {
	var out []string
	for _, f := range r.set.Features {
		for _, c := range f.On {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

func lookupColumn(c string) string { return "__on_" + c }

func lookupColumns(on []string) []string {
	out := make([]string, len(on))
	for i, c := range on {
		out[i] = lookupColumn(c)
	}
	return out
}

func (r *renderer) equal(a string, as []string, b string, bs []string) string {
	parts := make([]string, len(as))
	for i := range as {
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", a, r.d.Quote(as[i]), b, r.d.Quote(bs[i]))
	}
	return strings.Join(parts, " AND ")
}

// timeline writes, for one feature table, which row counts from when: one row
// per key and instant at which the answer changes.
func (r *renderer) timeline(i int, f project.Feature, t Table) {
	q := r.d.Quote
	keys := make([]string, len(t.Keys))
	for n, k := range t.Keys {
		keys[n] = q(k)
	}
	partition, event := strings.Join(keys, ", "), q(t.EventTime)
	visible := fmt.Sprintf("greatest(h.%s, coalesce(h._known_at, c.known_at))", event)
	switch r.o.Mode {
	case Event:
		visible = "h." + event
	case Column:
		visible = fmt.Sprintf("greatest(h.%s, h.%s)", event, q(r.o.KnownAt))
	default: // what is known, above
	}
	r.add(",\nh%d AS (\n  SELECT h.*, %s AS __seen, row_number() OVER (PARTITION BY %s ORDER BY h.%s, h._seq) AS __r", i, visible, prefixed("h", keys), event)
	r.add("\n  FROM %s h JOIN %s c ON c.seq = h._seq", r.o.History(f.Table), r.o.Commits(f.Table))
	r.add("\n  WHERE h._seq <= %s AND h.%s <= (SELECT max(__ts) FROM spine)", r.bind(fmt.Sprintf("seq_%d", i), t.Seq), event)
	r.add("\n    AND (%s) IN (SELECT %s FROM spine)", prefixed("h", keys), prefixed("spine", quoteAll(r.d, lookupColumns(f.On))))
	if r.o.Strict {
		r.add(" AND h._known_at IS NULL")
	}
	r.add("\n)")
	r.add(",\nx%d AS (SELECT DISTINCT %s FROM h%d WHERE _deleted)", i, partition, i)
	// Rows of one batch share the moment they became known: the newest event of it counts.
	r.add(",\nd%d AS (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY %s, __seen ORDER BY __r DESC) AS __q FROM h%d\n    WHERE (%s) NOT IN (SELECT %s FROM x%d)) y WHERE __q = 1)",
		i, partition, i, partition, partition, i)
	// A row that became known after a newer event had, changes nothing.
	r.add(",\nm%d AS (SELECT *, max(__r) OVER (PARTITION BY %s ORDER BY __seen ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS __before FROM d%d)", i, partition, i)
	r.retracted(i, keys, event)
	r.add(",\nt%d AS (SELECT *", i)
	if !asof(r.d) {
		r.add(", coalesce(lead(__vis) OVER (PARTITION BY %s ORDER BY __vis), TIMESTAMPTZ '9999-12-31 00:00:00+00') AS __until", partition)
	}
	r.add(" FROM (SELECT *, __seen AS __vis FROM m%d WHERE __before IS NULL OR __r > __before\n  UNION ALL SELECT * FROM s%d WHERE __q = 1) y)", i, i)
}

// retracted writes the timeline of the keys of which an event was deleted: an
// older event then counts again. At each moment at which something became known,
// the newest event whose version of that moment is not deleted counts, or none.
func (r *renderer) retracted(i int, keys []string, event string) {
	partition := strings.Join(keys, ", ")
	same := func(a, b string) string {
		parts := make([]string, len(keys))
		for n, k := range keys {
			parts[n] = a + "." + k + " = " + b + "." + k
		}
		return strings.Join(parts, " AND ")
	}
	// A version counts until a later one of its event is known.
	r.add(",\ng%d AS (SELECT %s, __r, __seen, min(__seen) OVER (PARTITION BY %s, %s ORDER BY _seq ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS __gone\n  FROM h%d WHERE (%s) IN (SELECT %s FROM x%d))",
		i, partition, partition, event, i, partition, partition, i)
	r.add(",\ns%d AS (SELECT h.*, row_number() OVER (PARTITION BY %s, c.__at ORDER BY h._deleted, h.__r DESC) AS __q, CAST(NULL AS BIGINT) AS __before, c.__at AS __vis",
		i, prefixed("h", keys))
	r.add("\n  FROM (SELECT DISTINCT %s, __seen AS __at FROM g%d) c JOIN g%d g ON %s AND g.__seen <= c.__at AND (g.__gone IS NULL OR g.__gone > c.__at)\n  JOIN h%d h ON %s AND h.__r = g.__r)",
		partition, i, i, same("g", "c"), i, same("h", "g"))
}

func asof(d dialect.Dialect) bool { return d.Name() == dialect.DuckDB.Name() }

func prefixed(alias string, names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = alias + "." + n
	}
	return strings.Join(out, ", ")
}

func quoteAll(d dialect.Dialect, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = d.Quote(n)
	}
	return out
}

// result writes the join of the spine to every timeline.
func (r *renderer) result() {
	q := r.d.Quote
	c := ColumnsOf(r.set, r.o.Labels)
	columns := quoteAll(r.d, append(slices.Clone(c.Key), c.At))
	for i := range columns {
		columns[i] = "s." + columns[i]
	}
	if c.Label != "" {
		columns = append(columns, "s."+q(c.Label))
	}
	var joins strings.Builder
	for i, f := range r.set.Features {
		if f.Expr != "" {
			columns = append(columns, "s."+q(f.As))
			continue
		}
		t, alias := r.o.Tables[f.Table], fmt.Sprintf("f%d", i)
		columns = append(columns, r.taken(i, f, t, alias)...)
		on := r.equal("s", lookupColumns(f.On), alias, t.Keys) + fmt.Sprintf(" AND s.__ts >= %s.__vis", alias)
		if asof(r.d) {
			fmt.Fprintf(&joins, "\nASOF LEFT JOIN t%d %s ON %s", i, alias, on)
		} else {
			fmt.Fprintf(&joins, "\nLEFT JOIN t%d %s ON %s AND s.__ts < %s.__until", i, alias, on, alias)
		}
		if r.o.Extra != nil {
			for _, e := range r.o.Extra(alias, t) {
				columns = append(columns, fmt.Sprintf("%s AS %s", e.SQL, q(fmt.Sprintf("%s_%d", e.As, i))))
			}
		}
	}
	order := quoteAll(r.d, append([]string{c.At}, c.Key...))
	r.add("\nSELECT %s\nFROM spine s%s\nORDER BY %s, s.%s", strings.Join(columns, ",\n       "), joins.String(), prefixed("s", order), q(rowColumn))
}

// taken returns the columns that a feature takes: the default, or NULL, where no
// row counts or the one that does is beyond its time to live (judged after the
// join, by event time, so that an expired row is not replaced by an older one).
func (r *renderer) taken(i int, f project.Feature, t Table, alias string) []string {
	q := r.d.Quote
	alive := fmt.Sprintf("%s.__vis IS NOT NULL AND NOT %s._deleted", alias, alias)
	if f.TTL > 0 {
		alive += fmt.Sprintf(" AND s.__ts - %s.%s <= %s", alias, q(t.EventTime), interval(f.TTL))
	}
	var out []string
	for n, name := range f.Take {
		value := alias + "." + q(name)
		otherwise := "NULL"
		if v, ok := f.Default[name]; ok {
			otherwise = r.bind(fmt.Sprintf("default_%d_%d", i, n), Plain(v))
		}
		out = append(out, fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END AS %s", alive, value, otherwise, q(name)))
	}
	return out
}

func interval(d time.Duration) string {
	return fmt.Sprintf("INTERVAL '%d microseconds'", d.Microseconds())
}
