package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// temporary names a table that lives within the transaction.
func (w *writer) temporary(what string) string {
	return "temp.main." + quote(fmt.Sprintf("%s_%d", what, w.load.number))
}

// same is the condition that the columns of two rows are the same, null beside null included.
func same(left, right string, columns []string) string {
	if len(columns) == 0 {
		return "TRUE"
	}
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = fmt.Sprintf("%s.%s IS NOT DISTINCT FROM %s.%s", left, quote(c), right, quote(c))
	}
	return strings.Join(parts, " AND ")
}

// without returns the names of the load's columns that are not among those given.
func (w *writer) without(names []string) []string {
	var rest []string
	for _, f := range w.visible {
		if !contains(names, f.Name) {
			rest = append(rest, f.Name)
		}
	}
	return rest
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// instant is the event time as an instant: a wall clock and a day are read in the table's zone.
func (w *writer) instant(alias string) string {
	name := quote(w.spec.EventTime)
	if alias != "" {
		name = alias + "." + name
	}
	at := w.spec.Schema.Index(w.spec.EventTime)
	if zone, err := dialect.DuckDB.Literal(w.spec.Zone); err == nil && w.spec.Zone != "" && at >= 0 && w.spec.Schema.Fields[at].Type.Kind != datatype.TimestampTZ {
		return "(CAST(" + name + " AS TIMESTAMP) AT TIME ZONE " + zone + ")"
	}
	return "CAST(" + name + " AS TIMESTAMPTZ)"
}

// window is what mode replace_window and feature accept: lookback included.
func (w *writer) window() (start, end time.Time) {
	return w.spec.Window.Start.Add(-w.spec.Lookback).UTC(), w.spec.Window.End.UTC()
}

// insertAll puts every staged row into the table.
func (w *writer) insertAll() error {
	n, err := w.q.exec(w.ctx, "INSERT INTO "+w.rows+" ("+w.columns+") SELECT "+w.columns+" FROM "+w.stage)
	w.line.Evidence.Inserted += n
	return err
}

func (w *writer) replace() error {
	t := w.spec.Table
	if w.partial() {
		return w.patch()
	}
	if !w.load.spec.Run.Newest && !w.spec.Window.IsZero() {
		n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+control+`.table_commit WHERE "table" = ? AND window_end > ?`, tableName(t), w.spec.Window.End.UTC())
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Conflict, "%s is replaced as a whole, and it holds a newer window than %s: rerun the newest window instead", t, w.spec.Window)
		}
	}
	found, err := w.q.relation(w.ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	if found == isTable {
		if w.line.Evidence.Deleted, err = w.q.count(w.ctx, "SELECT count(*) FROM "+w.rows); err != nil {
			return err
		}
		if _, err := w.q.exec(w.ctx, "DROP TABLE "+w.rows); err != nil {
			return err
		}
	}
	if err := w.create(); err != nil {
		return err
	}
	return w.insertAll()
}

// patch places rows that were quarantined in a table of which they are a part.
func (w *writer) patch() error {
	found, err := w.q.relation(w.ctx, w.spec.Table.Schema, w.spec.Table.Name)
	if err != nil {
		return err
	}
	if found == absent {
		err = w.create()
	} else {
		err = w.evolve()
	}
	if err != nil {
		return err
	}
	if len(w.spec.Keys) > 0 {
		return w.merge()
	}
	return w.insertAll()
}

func (w *writer) append() error {
	if !w.partial() && !w.spec.AppendKeep {
		if err := w.unappend(); err != nil {
			return err
		}
	}
	n, err := w.q.exec(w.ctx, fmt.Sprintf("INSERT INTO %s (%s, _seq) SELECT %s, %d FROM %s", w.rows, w.columns, w.columns, w.seq, w.stage))
	w.line.Evidence.Inserted = n
	return err
}

// unappend removes what earlier commits of the window appended: of the same run
// below this generation, and of any run within the window.
func (w *writer) unappend() error {
	name := tableName(w.spec.Table)
	if w.spec.Window.IsZero() {
		n, err := w.q.exec(w.ctx, "DELETE FROM "+w.rows+" WHERE _seq IN (SELECT seq FROM "+control+`.table_commit WHERE "table" = ? AND origin = ?)`,
			name, w.load.spec.Key.Origin())
		w.line.Evidence.Deleted = n
		return err
	}
	start, end := bounds(w.spec.Window)
	n, err := w.q.exec(w.ctx, "DELETE FROM "+w.rows+" WHERE _seq IN (SELECT seq FROM "+control+`.table_commit
		WHERE "table" = ? AND window_start >= ? AND window_end <= ?)`, name, start, end)
	w.line.Evidence.Deleted = n
	if err != nil {
		return err
	}
	// A wider or shifted window overlaps: its rows can be told apart by their event time alone.
	overlapping := "SELECT seq FROM " + control + `.table_commit WHERE "table" = ? AND window_start < ? AND window_end > ?
		AND NOT (window_start >= ? AND window_end <= ?)`
	args := []any{name, end, start, start, end}
	if w.spec.EventTime != "" {
		n, err := w.q.exec(w.ctx, "DELETE FROM "+w.rows+" WHERE _seq IN ("+overlapping+") AND "+w.instant("")+" >= ? AND "+w.instant("")+" < ?",
			append(args, start, end)...)
		w.line.Evidence.Deleted += n
		return err
	}
	left, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.rows+" WHERE _seq IN ("+overlapping+")", args...)
	if err != nil {
		return err
	}
	if left > 0 {
		return fault.New(fault.Conflict, "%s holds %d rows of another window that overlaps %s, and without an event time nobody can tell which of them this load repeats; "+
			"rerun that window, name an event time in the contract, or set append: keep", w.spec.Table, left, w.spec.Window)
	}
	return nil
}

func (w *writer) replaceWindow() error {
	if w.partial() {
		return w.patch()
	}
	if err := w.within(); err != nil {
		return err
	}
	start, end := w.window()
	n, err := w.q.exec(w.ctx, "DELETE FROM "+w.rows+" WHERE "+w.instant("")+" >= ? AND "+w.instant("")+" < ?", start, end)
	if err != nil {
		return err
	}
	w.line.Evidence.Deleted = n
	return w.insertAll()
}

// within refuses rows outside of the window: the load would never remove them again.
func (w *writer) within() error {
	start, end := w.window()
	n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.stage+" WHERE NOT coalesce("+w.instant("")+" >= ? AND "+w.instant("")+" < ?, false)", start, end)
	if err != nil || n == 0 {
		return err
	}
	return fault.New(fault.Refused, "%d rows have a %s outside of %s", n, w.spec.EventTime, commit.Window{Start: start, End: end})
}

// merge inserts and updates by key; a version decides which of two rows is newer.
func (w *writer) merge() error {
	verdicts := w.temporary("verdict")
	older := "FALSE"
	if v := w.spec.Version; v != "" {
		older = fmt.Sprintf("coalesce(s.%[1]s < t.%[1]s, s.%[1]s IS NULL AND t.%[1]s IS NOT NULL)", quote(v))
	}
	if _, err := w.q.exec(w.ctx, fmt.Sprintf(`CREATE TEMP TABLE %s AS
		SELECT s.rowid AS staged, t.rowid AS kept, CASE
			WHEN t.rowid IS NULL THEN 'inserted' WHEN %s THEN 'unchanged' WHEN %s THEN 'superseded' ELSE 'updated' END AS verdict
		FROM %s s LEFT JOIN %s t ON %s`,
		verdicts, same("s", "t", w.without(w.spec.Keys)), older, w.stage, w.rows, same("s", "t", w.spec.Keys))); err != nil {
		return err
	}
	counts, err := w.verdicts(verdicts)
	if err != nil {
		return err
	}
	e := &w.line.Evidence
	if total := counts["inserted"] + counts["unchanged"] + counts["superseded"] + counts["updated"]; total != e.Staged-e.Superseded {
		return fault.New(fault.Refused, "%s has several rows with equal keys (%s): merge cannot tell which of them a row replaces",
			w.spec.Table, strings.Join(w.spec.Keys, ", "))
	}
	e.Inserted, e.Unchanged, e.Updated = counts["inserted"], counts["unchanged"], counts["updated"]
	e.Superseded += counts["superseded"]
	if rest := w.without(w.spec.Keys); e.Updated > 0 {
		assignments := make([]string, len(rest))
		for i, c := range rest {
			assignments[i] = fmt.Sprintf("%[1]s = s.%[1]s", quote(c))
		}
		if _, err := w.q.exec(w.ctx, fmt.Sprintf("UPDATE %s AS t SET %s FROM %s v JOIN %s s ON s.rowid = v.staged WHERE t.rowid = v.kept AND v.verdict = 'updated'",
			w.rows, strings.Join(assignments, ", "), verdicts, w.stage)); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE rowid IN (SELECT staged FROM %s WHERE verdict = 'inserted')",
		w.rows, w.columns, w.columns, w.stage, verdicts)); err != nil {
		return err
	}
	_, err = w.q.exec(w.ctx, "DROP TABLE "+verdicts)
	return err
}

// verdicts counts the rows of each verdict.
func (w *writer) verdicts(table string) (map[string]int64, error) {
	rows, err := w.q.conn.QueryContext(w.ctx, "SELECT verdict, count(*) FROM "+table+" GROUP BY verdict")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[string]int64{}
	for rows.Next() {
		var verdict string
		var n int64
		if err := rows.Scan(&verdict, &n); err != nil {
			return nil, err
		}
		counts[verdict] = n
	}
	return counts, rows.Err()
}

// identity is what makes two staged rows the same row.
func (w *writer) identity() []string {
	if w.spec.Mode == project.ModeFeature && !contains(w.spec.Keys, w.spec.EventTime) {
		return append(append([]string(nil), w.spec.Keys...), w.spec.EventTime)
	}
	return w.spec.Keys
}

// settleKeys leaves one staged row of each key: the last one where positions are
// stable, the newest one where a version says which; else none of them.
func (w *writer) settleKeys() error {
	keys := w.identity()
	if len(keys) == 0 {
		return nil
	}
	partition, order := dialect.DuckDB.QuoteAll(keys...), "rowid DESC"
	if w.spec.Schema.Index(datatype.RowColumn) >= 0 {
		order = quote(datatype.RowColumn) + " DESC, rowid DESC"
	}
	ties := "count(*) OVER (PARTITION BY " + partition + ")"
	if w.spec.Mode == project.ModeMerge && w.spec.Version != "" {
		version := quote(w.spec.Version)
		order = version + " DESC NULLS LAST, " + order
		ties = "count(*) OVER (PARTITION BY " + partition + ", " + version + ")"
	}
	settled := w.temporary("settled")
	if _, err := w.q.exec(w.ctx, fmt.Sprintf(`CREATE TEMP TABLE %[1]s AS
		SELECT __staged, __place, first_value(__ties) OVER (PARTITION BY %[2]s ORDER BY __place) AS __ties
		FROM (SELECT rowid AS __staged, %[2]s, row_number() OVER (PARTITION BY %[2]s ORDER BY %[3]s) AS __place,
			%[4]s AS __ties, count(*) OVER (PARTITION BY %[2]s) AS __rows FROM %[5]s)
		WHERE __rows > 1`, settled, partition, order, ties, w.stage)); err != nil {
		return err
	}
	if !w.spec.Stable {
		if err := w.refuseEqual(settled, keys); err != nil {
			return err
		}
	}
	n, err := w.q.exec(w.ctx, "DELETE FROM "+w.stage+" WHERE rowid IN (SELECT __staged FROM "+settled+" WHERE __place > 1)")
	if err != nil {
		return err
	}
	w.line.Evidence.Superseded += n
	_, err = w.q.exec(w.ctx, "DROP TABLE "+settled)
	return err
}
