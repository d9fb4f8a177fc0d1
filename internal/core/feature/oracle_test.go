package feature_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
)

var table = project.Table{Store: "warehouse", Schema: "f", Name: "t"}

// row is a row of a history; times are minutes.
type row struct {
	key     *int
	event   int
	seq     int
	known   *int // NULL: the commit's
	deleted bool
	value   *int
}

// asked is a row of the spine.
type asked struct {
	id  int
	key *int
	at  int
}

// world is one adversarial data set.
type world struct {
	rows    []row
	commits map[int]int // seq → minute it became known
	spine   []asked
	pin     int
	ttl     int // minutes; 0: none
	mode    feature.Mode
	strict  bool
}

func minute(n int) string {
	return "TIMESTAMPTZ '" + time.Date(2013, 3, 9, 22, 0, 0, 0, time.UTC).Add(time.Duration(n)*time.Minute).Format("2006-01-02 15:04:05+00") + "'"
}

// answer is what an honest reader would have seen, found by looking at every row.
func (w world) answer(a asked) string {
	if a.key == nil {
		return "NULL"
	}
	versions := map[int]row{} // the newest one of each event that was visible
	for _, r := range w.rows {
		if r.key == nil || *r.key != *a.key || r.seq > w.pin {
			continue
		}
		visible := r.event
		if w.mode == feature.Known {
			known := w.commits[r.seq]
			if r.known != nil {
				known = *r.known
			}
			visible = max(visible, known)
		}
		if was, ok := versions[r.event]; visible <= a.at && (!ok || r.seq > was.seq) {
			versions[r.event] = r
		}
	}
	newest, found := row{}, false
	for _, r := range versions {
		if !r.deleted && (!found || r.event > newest.event) { // an event that was taken back hides no older one
			newest, found = r, true
		}
	}
	if !found || newest.value == nil || w.ttl > 0 && a.at-newest.event > w.ttl {
		return "NULL"
	}
	return fmt.Sprint(*newest.value)
}

func optional(t *rapid.T, g *rapid.Generator[int], name string, nulls int) *int {
	if rapid.IntRange(0, nulls).Draw(t, name+" null") == 0 {
		return nil
	}
	v := g.Draw(t, name)
	return &v
}

func anyWorld(t *rapid.T) world {
	w := world{commits: map[int]int{}, mode: rapid.SampledFrom([]feature.Mode{feature.Known, feature.Known, feature.Event}).Draw(t, "mode")}
	commits := rapid.IntRange(1, 6).Draw(t, "commits")
	known := 0
	for seq := 1; seq <= commits; seq++ {
		known += rapid.IntRange(0, 40).Draw(t, "later")
		w.commits[seq] = known
		seen := map[string]bool{} // one version of a key and event per commit, as the store guarantees
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			r := row{
				key: optional(t, rapid.IntRange(1, 3), "key", 12), event: rapid.IntRange(0, 12).Draw(t, "event") * 10, seq: seq,
				deleted: rapid.IntRange(0, 6).Draw(t, "deleted") == 0, value: optional(t, rapid.IntRange(0, 99), "value", 8),
			}
			if rapid.IntRange(0, 2).Draw(t, "simulated") == 0 {
				k := r.event + rapid.IntRange(0, 60).Draw(t, "known")
				r.known = &k
			}
			id := fmt.Sprint(r.key != nil && true, deref(r.key), r.event)
			if !seen[id] {
				seen[id] = true
				w.rows = append(w.rows, r)
			}
		}
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "asked") {
		a := asked{id: i, key: optional(t, rapid.IntRange(1, 4), "asked key", 10), at: rapid.IntRange(0, 200).Draw(t, "at")}
		w.spine = append(w.spine, a)
		if rapid.IntRange(0, 4).Draw(t, "twice") == 0 {
			w.spine = append(w.spine, a) // the same row twice is two rows
		}
	}
	w.pin = rapid.IntRange(0, commits).Draw(t, "pin")
	w.ttl = rapid.SampledFrom([]int{0, 0, 15, 30}).Draw(t, "ttl")
	return w
}

func deref(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

func null(p *int) string {
	if p == nil {
		return "NULL"
	}
	return fmt.Sprint(*p)
}

func values(rows []string, empty string) string {
	if len(rows) == 0 {
		return "(SELECT " + empty + " WHERE false)"
	}
	return "(VALUES " + strings.Join(rows, ", ") + ")"
}

// ask renders the set and runs it.
func (w world) ask(t testing.TB, db *sql.DB) []string {
	var history, commits, spine []string
	for _, r := range w.rows {
		known := "NULL::TIMESTAMPTZ"
		if r.known != nil {
			known = minute(*r.known)
		}
		history = append(history, fmt.Sprintf("(%s::INT, %s, %s::INT, %d::BIGINT, %s, %v)", null(r.key), minute(r.event), null(r.value), r.seq, known, r.deleted))
	}
	for seq, known := range w.commits {
		commits = append(commits, fmt.Sprintf("(%d::BIGINT, %s, 'live')", seq, minute(known)))
	}
	slices.Sort(commits)
	for _, a := range w.spine {
		spine = append(spine, fmt.Sprintf("(%d, %s::INT, %s)", a.id, null(a.key), minute(a.at)))
	}
	set := project.FeatureSet{
		Name:  "s",
		Spine: "SELECT * FROM " + values(spine, "0 AS id, 0 AS k, now() AS \"at\"") + " x(id, k, \"at\")", Key: []string{"id"}, At: "at",
		Features: []project.Feature{
			{Table: table, On: []string{"k"}, Take: []string{"v"}, TTL: time.Duration(w.ttl) * time.Minute},
			{Expr: "id * 2", As: "double"},
		},
	}
	statement, err := feature.Render(set, dialect.DuckDB, feature.Options{
		Mode:   w.mode,
		Strict: w.strict,
		Tables: map[project.Table]feature.Table{table: {Keys: []string{"k"}, EventTime: "e", Seq: int64(w.pin)}},
		History: func(project.Table) string {
			return "(SELECT * FROM " + values(history, "0 AS k, now() AS e, 0 AS v, 0::BIGINT AS _seq, now() AS _known_at, false AS _deleted") + " x(k, e, v, _seq, _known_at, _deleted))"
		},
		Commits: func(project.Table) string {
			return "(SELECT * FROM " + values(commits, "0::BIGINT AS seq, now() AS known_at, '' AS kind") + " x(seq, known_at, kind))"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	args := make([]any, len(statement.Params))
	for i, p := range statement.Params {
		args[i] = sql.Named(p.Name, p.Value)
	}
	rows, err := db.QueryContext(t.Context(), statement.SQL, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, statement.SQL)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var id, double int
		var at time.Time
		var v sql.NullInt64
		if err := rows.Scan(&id, &at, &v, &double); err != nil {
			t.Fatal(err)
		}
		text := "NULL"
		if v.Valid {
			text = fmt.Sprint(v.Int64)
		}
		out = append(out, fmt.Sprintf("%d=%s", id, text))
		if double != 2*id {
			t.Fatalf("the expression of row %d is %d", id, double)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func open(t testing.TB, threads int) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", fmt.Sprintf("?threads=%d", threads))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestTheSQLEqualsLookingAtEveryRow(t *testing.T) {
	t.Parallel()
	db := open(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		w := anyWorld(rt)
		var want []string
		for _, a := range w.spine {
			want = append(want, fmt.Sprintf("%d=%s", a.id, w.answer(a)))
		}
		slices.Sort(want)
		if got := w.ask(t, db); !slices.Equal(got, want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}
