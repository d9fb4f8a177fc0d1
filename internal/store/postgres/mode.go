package postgres

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// scratch makes a table that lives within the transaction. Its name is free: each
// table of a load drops its own.
func (w *writer) scratch(name, query string, args ...any) error {
	_, err := w.q.exec(w.ctx, "CREATE TEMP TABLE "+name+" ON COMMIT DROP AS "+query, args...)
	if err == nil {
		_, err = w.q.exec(w.ctx, "ANALYZE pg_temp."+name)
	}
	return err
}

func (w *writer) drop(name string) error {
	_, err := w.q.exec(w.ctx, "DROP TABLE pg_temp."+name)
	return err
}

// same is the condition that the columns of two rows are the same, null beside null included.
func same(left, right string, fields []datatype.Field) string {
	if len(fields) == 0 {
		return "TRUE"
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		a, b := left+"."+quote(f.Name), right+"."+quote(f.Name)
		if f.Type.Kind == datatype.JSON { // the type json, of tables that others made, knows no equality
			a, b = a+"::jsonb", b+"::jsonb"
		}
		parts[i] = a + " IS NOT DISTINCT FROM " + b
	}
	return strings.Join(parts, " AND ")
}

// matches is same for keys. A plain equality lets the engine hash, so null beside
// null is asked for only where there are nulls.
func (w *writer) matches(left, right string) (string, error) {
	parts := make([]string, len(w.spec.Keys))
	for i, key := range w.spec.Keys {
		n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.stage+" WHERE "+quote(key)+" IS NULL")
		if err != nil {
			return "", err
		}
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", left, quote(key), right, quote(key))
		if n > 0 {
			parts[i] = same(left, right, w.among([]string{key}, true))
		}
	}
	return strings.Join(parts, " AND "), nil
}

// among returns the load's columns that are among the names given, or those that are not.
func (w *writer) among(names []string, wanted bool) []datatype.Field {
	var out []datatype.Field
	for _, f := range w.visible {
		if slices.Contains(names, f.Name) == wanted {
			out = append(out, f)
		}
	}
	return out
}

// instant is the event time as an instant: a wall clock and a day are read in the table's zone.
func (w *writer) instant() string {
	name := quote(w.spec.EventTime)
	at := w.spec.Schema.Index(w.spec.EventTime)
	if at < 0 || w.spec.Schema.Fields[at].Type.Kind == datatype.TimestampTZ {
		return name
	}
	zone, err := engine.Literal(w.spec.Zone)
	if err != nil || w.spec.Zone == "" {
		zone = "'UTC'"
	}
	return "(CAST(" + name + " AS timestamp) AT TIME ZONE " + zone + ")"
}

// window is what mode replace_window accepts: lookback included.
func (w *writer) window() (start, end time.Time) {
	return w.spec.Window.Start.Add(-w.spec.Lookback).UTC(), w.spec.Window.End.UTC()
}

// insertAll puts every staged row into the table.
func (w *writer) insertAll() error {
	n, err := w.q.exec(w.ctx, "INSERT INTO "+w.rows+" ("+w.columns+") SELECT "+w.columns+" FROM "+w.stage+" ORDER BY "+place)
	w.line.Evidence.Inserted += n
	return err
}

func (w *writer) replace() error {
	t := w.spec.Table
	if w.partial() {
		return w.patch()
	}
	if !w.load.spec.Run.Newest && !w.spec.Window.IsZero() {
		n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+control+`.table_commit WHERE "table" = $1 AND window_end > $2`, tableName(t), w.spec.Window.End.UTC())
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Conflict, "%s is replaced as a whole, and it holds a newer window than %s: rerun the newest window instead", t, w.spec.Window)
		}
	}
	var err error
	if w.line.Evidence.Deleted, err = w.q.exec(w.ctx, "DELETE FROM "+w.rows); err != nil {
		return err
	}
	if err := w.recolumn(); err != nil {
		return err
	}
	return w.insertAll()
}

// patch places rows that were quarantined in a table of which they are a part.
func (w *writer) patch() error {
	if err := w.evolve(); err != nil {
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
	n, err := w.q.exec(w.ctx, fmt.Sprintf("INSERT INTO %s (%s, _seq) SELECT %s, %d FROM %s ORDER BY %s", w.rows, w.columns, w.columns, w.seq, w.stage, place))
	w.line.Evidence.Inserted = n
	return err
}

// unappend removes what earlier commits of the window appended: of the same run
// below this generation, and of any run within the window.
func (w *writer) unappend() (err error) {
	name, e := tableName(w.spec.Table), &w.line.Evidence
	of := "DELETE FROM " + w.rows + " WHERE _seq IN (SELECT seq FROM " + control + `.table_commit WHERE "table" = $1 AND `
	if w.spec.Window.IsZero() {
		e.Deleted, err = w.q.exec(w.ctx, of+"origin = $2)", name, w.load.spec.Key.Origin())
		return err
	}
	start, end := bounds(w.spec.Window)
	if e.Deleted, err = w.q.exec(w.ctx, of+"window_start >= $2 AND window_end <= $3)", name, start, end); err != nil {
		return err
	}
	// A wider or shifted window overlaps: its rows can be told apart by their event time alone.
	overlapping := "window_start < $3 AND window_end > $2 AND NOT (window_start >= $2 AND window_end <= $3))"
	if w.spec.EventTime != "" {
		n, err := w.q.exec(w.ctx, of+overlapping+" AND "+w.instant()+" >= $2 AND "+w.instant()+" < $3", name, start, end)
		e.Deleted += n
		return err
	}
	left, err := w.q.count(w.ctx, "SELECT count(*) FROM "+strings.TrimPrefix(of, "DELETE FROM ")+overlapping, name, start, end)
	if err == nil && left > 0 {
		err = fault.New(fault.Conflict, "%s holds %d rows of another window that overlaps %s, and without an event time nobody can tell which of them this load repeats; "+
			"rerun that window, name an event time in the contract, or set append: keep", w.spec.Table, left, w.spec.Window)
	}
	return err
}

func (w *writer) replaceWindow() error {
	if w.partial() {
		return w.patch()
	}
	if err := w.within(); err != nil {
		return err
	}
	start, end := w.window()
	n, err := w.q.exec(w.ctx, "DELETE FROM "+w.rows+" WHERE "+w.instant()+" >= $1 AND "+w.instant()+" < $2", start, end)
	if err != nil {
		return err
	}
	w.line.Evidence.Deleted = n
	return w.insertAll()
}

// within refuses rows outside of the window: the load would never remove them again.
func (w *writer) within() error {
	start, end := w.window()
	n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.stage+" WHERE ("+w.instant()+" >= $1 AND "+w.instant()+" < $2) IS NOT TRUE", start, end)
	if err != nil || n == 0 {
		return err
	}
	return fault.New(fault.Refused, "%d rows have a %s outside of %s", n, w.spec.EventTime, commit.Window{Start: start, End: end})
}

// merge inserts and updates by key; a version decides which of two rows is newer.
func (w *writer) merge() error {
	matches, err := w.matches("s", "t")
	if err != nil {
		return err
	}
	older := "FALSE"
	if v := w.spec.Version; v != "" {
		older = fmt.Sprintf("coalesce(s.%[1]s < t.%[1]s, s.%[1]s IS NULL AND t.%[1]s IS NOT NULL)", quote(v))
	}
	rest := w.among(w.spec.Keys, false)
	if err := w.scratch("verdict", fmt.Sprintf(`SELECT s.%[1]s AS staged, t.tableoid AS part, t.ctid AS kept, CASE
			WHEN t.ctid IS NULL THEN 'inserted' WHEN %[2]s THEN 'unchanged' WHEN %[3]s THEN 'superseded' ELSE 'updated' END AS verdict
		FROM %[4]s s LEFT JOIN %[5]s t ON %[6]s`, place, same("s", "t", rest), older, w.stage, w.rows, matches)); err != nil {
		return err
	}
	counts, err := w.verdicts()
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
	if e.Updated > 0 {
		assignments := make([]string, len(rest))
		for i, f := range rest {
			assignments[i] = fmt.Sprintf("%[1]s = s.%[1]s", quote(f.Name))
		}
		if _, err := w.q.exec(w.ctx, fmt.Sprintf(`UPDATE %s AS t SET %s FROM pg_temp.verdict v JOIN %s s ON s.%s = v.staged
			WHERE t.ctid = v.kept AND t.tableoid = v.part AND v.verdict = 'updated'`, w.rows, strings.Join(assignments, ", "), w.stage, place)); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s IN (SELECT staged FROM pg_temp.verdict WHERE verdict = 'inserted') ORDER BY %s",
		w.rows, w.columns, w.columns, w.stage, place, place)); err != nil {
		return err
	}
	return w.drop("verdict")
}

// verdicts counts the rows of each verdict.
func (w *writer) verdicts() (map[string]int64, error) {
	rows, err := w.q.conn.Query(w.ctx, "SELECT verdict, count(*) FROM pg_temp.verdict GROUP BY verdict")
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

// settleKeys leaves one staged row of each key: the last one where positions are
// stable, the newest one where a version says which; else none of them.
func (w *writer) settleKeys() error {
	if len(w.spec.Keys) == 0 {
		return nil
	}
	partition, order := engine.QuoteAll(w.spec.Keys...), place+" DESC"
	if w.spec.Schema.Index(datatype.RowColumn) >= 0 {
		order = quote(datatype.RowColumn) + " DESC NULLS LAST, " + order
	}
	ties := "count(*) OVER (PARTITION BY " + partition + ")"
	if w.spec.Mode == project.ModeMerge && w.spec.Version != "" {
		version := quote(w.spec.Version)
		order = version + " DESC NULLS LAST, " + order
		ties = "count(*) OVER (PARTITION BY " + partition + ", " + version + ")"
	}
	if err := w.scratch("settled", fmt.Sprintf(`SELECT staged, place, first_value(ties) OVER (PARTITION BY %[1]s ORDER BY place) AS ties
		FROM (SELECT %[2]s AS staged, %[1]s, row_number() OVER (PARTITION BY %[1]s ORDER BY %[3]s) AS place,
			%[4]s AS ties, count(*) OVER (PARTITION BY %[1]s) AS rows FROM %[5]s) AS equal
		WHERE rows > 1`, partition, place, order, ties, w.stage)); err != nil {
		return err
	}
	if !w.spec.Stable {
		if err := w.refuseEqual(); err != nil {
			return err
		}
	}
	n, err := w.q.exec(w.ctx, "DELETE FROM "+w.stage+" WHERE "+place+" IN (SELECT staged FROM pg_temp.settled WHERE place > 1)")
	if err != nil {
		return err
	}
	w.line.Evidence.Superseded += n
	return w.drop("settled")
}
