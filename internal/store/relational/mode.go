package relational

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Without returns the names of the load's columns that are not among those given.
func (w *Writer) Without(names []string) []string {
	return slices.DeleteFunc(w.names(), func(n string) bool { return Contains(names, n) })
}

// Contains looks for a name as engines compare them: whatever its case.
func Contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// Instant is the event time as an instant: a wall clock and a day are read in the
// table's zone. The alias, with its dot, may be empty.
func (w *Writer) Instant(alias string) string {
	name := alias + w.quote(w.Spec.EventTime)
	at := w.Spec.Schema.Index(w.Spec.EventTime)
	if at < 0 || w.Spec.Schema.Fields[at].Type.Kind == datatype.TimestampTZ {
		return name
	}
	zone, err := w.Flavour.Dialect.Literal(w.Spec.Zone)
	if err != nil || w.Spec.Zone == "" {
		zone = "'UTC'"
	}
	return "(CAST(" + name + " AS TIMESTAMP) AT TIME ZONE " + zone + ")"
}

// InsertAll puts every staged row into the table.
func (w *Writer) InsertAll() error {
	n, err := w.exec("INSERT INTO " + w.Rows + " (" + w.Columns + ") SELECT " + w.Columns + " FROM " + w.Stage + w.Flavour.Order)
	w.Line.Evidence.Inserted += n
	return err
}

// Newest refuses to replace a table that holds a newer window.
func (w *Writer) Newest() error {
	if w.Load.Run.Newest || w.Spec.Window.IsZero() {
		return nil
	}
	n, err := w.count("SELECT count(*) FROM "+w.Flavour.Control+`.table_commit WHERE "table" = $1 AND window_end > $2`, TableName(w.Spec.Table), w.Spec.Window.End.UTC())
	if err == nil && n > 0 {
		err = fault.New(fault.Conflict, "%s is replaced as a whole, and it holds a newer window than %s: rerun the newest window instead", w.Spec.Table, w.Spec.Window)
	}
	return err
}

// patch places rows that were quarantined in a table of which they are a part.
func (w *Writer) patch() error {
	if err := w.Engine.Ready(); err != nil {
		return err
	}
	if len(w.Spec.Keys) > 0 {
		return w.Engine.Merge()
	}
	return w.InsertAll()
}

func (w *Writer) append() error {
	if !w.Partial() && !w.Spec.AppendKeep {
		if err := w.unappend(); err != nil {
			return err
		}
	}
	n, err := w.exec(fmt.Sprintf("INSERT INTO %s (%s, _seq) SELECT %s, %d FROM %s", w.Rows, w.Columns, w.Columns, w.Seq, w.Stage) + w.Flavour.Order)
	w.Line.Evidence.Inserted = n
	return err
}

// unappend removes what earlier commits of the window appended: of the same run
// below this generation, and of any run within the window.
func (w *Writer) unappend() (err error) {
	name, e := TableName(w.Spec.Table), &w.Line.Evidence
	of := w.Rows + " WHERE _seq IN (SELECT seq FROM " + w.Flavour.Control + `.table_commit WHERE "table" = $1 AND `
	if w.Spec.Window.IsZero() {
		e.Deleted, err = w.exec("DELETE FROM "+of+"origin = $2)", name, w.Load.Key.Origin())
		return err
	}
	start, end := Bounds(w.Spec.Window)
	if e.Deleted, err = w.exec("DELETE FROM "+of+"window_start >= $2 AND window_end <= $3)", name, start, end); err != nil {
		return err
	}
	// A wider or shifted window overlaps: its rows can be told apart by their event time alone.
	of += "window_start < $3 AND window_end > $2 AND NOT (window_start >= $2 AND window_end <= $3))"
	if w.Spec.EventTime != "" {
		n, err := w.exec("DELETE FROM "+of+" AND "+w.Instant("")+" >= $2 AND "+w.Instant("")+" < $3", name, start, end)
		e.Deleted += n
		return err
	}
	left, err := w.count("SELECT count(*) FROM "+of, name, start, end)
	if err == nil && left > 0 {
		err = fault.New(fault.Conflict, "%s holds %d rows of another window that overlaps %s, and without an event time nobody can tell which of them this load repeats; "+
			"rerun that window, name an event time in the contract, or set append: keep", w.Spec.Table, left, w.Spec.Window)
	}
	return err
}

func (w *Writer) replaceWindow() (err error) {
	if err := w.Within(); err != nil {
		return err
	}
	start, end := w.Window()
	if w.Line.Evidence.Deleted, err = w.exec("DELETE FROM "+w.Rows+" WHERE "+w.Instant("")+" >= $1 AND "+w.Instant("")+" < $2", start, end); err != nil {
		return err
	}
	return w.InsertAll()
}

// Within refuses rows outside of the window: the load would never remove them again.
func (w *Writer) Within() error {
	start, end := w.Window()
	n, err := w.count("SELECT count(*) FROM "+w.Stage+" WHERE NOT coalesce("+w.Instant("")+" >= $1 AND "+w.Instant("")+" < $2, false)", start, end)
	if err != nil || n == 0 {
		return err
	}
	return fault.New(fault.Refused, "%d rows have a %s outside of %s", n, w.Spec.EventTime, commit.Window{Start: start, End: end})
}

// Older is the condition of a merge that the staged row s has an older version than the row t.
func (w *Writer) Older() string {
	if w.Spec.Version == "" {
		return "FALSE"
	}
	return fmt.Sprintf("coalesce(s.%[1]s < t.%[1]s, s.%[1]s IS NULL AND t.%[1]s IS NOT NULL)", w.quote(w.Spec.Version))
}

// Verdicts counts the rows of each verdict into the evidence.
func (w *Writer) Verdicts(table string) error {
	var inserted, updated, unchanged, superseded, deleted int64
	var query strings.Builder
	query.WriteString("SELECT ")
	for i, verdict := range []string{"inserted", "updated", "unchanged", "superseded", "deleted"} {
		if i > 0 {
			query.WriteString(", ")
		}
		query.WriteString("count(*) FILTER (WHERE verdict = '" + verdict + "')")
	}
	if err := w.Engine.Row(w.Ctx, query.String()+" FROM "+table, nil, &inserted, &updated, &unchanged, &superseded, &deleted); err != nil {
		return err
	}
	e := &w.Line.Evidence
	if total := inserted + updated + unchanged + superseded; w.Spec.Mode != project.ModeFeature && total != e.Staged-e.Superseded {
		return fault.New(fault.Refused, "%s has several rows with equal keys (%s): merge cannot tell which of them a row replaces",
			w.Spec.Table, strings.Join(w.Spec.Keys, ", "))
	}
	e.Inserted, e.Updated, e.Unchanged, e.Deleted = inserted, updated, unchanged, deleted
	e.Superseded += superseded
	return nil
}

// Assignments are those of an UPDATE of t from s, of all but the keys.
func (w *Writer) Assignments() string {
	rest := w.Without(w.Spec.Keys)
	for i, c := range rest {
		rest[i] = w.quote(c) + " = s." + w.quote(c)
	}
	return strings.Join(rest, ", ")
}

// Identity is what makes two staged rows the same row.
func (w *Writer) Identity() []string {
	if w.Spec.Mode == project.ModeFeature && !Contains(w.Spec.Keys, w.Spec.EventTime) {
		return append(slices.Clone(w.Spec.Keys), w.Spec.EventTime)
	}
	return w.Spec.Keys
}

// settleKeys leaves one staged row of each key: the last one where positions are
// stable, the newest one where a version says which; else none of them.
func (w *Writer) settleKeys() error {
	keys, place := w.Identity(), w.Flavour.Place
	if len(keys) == 0 {
		return nil
	}
	partition, order := w.Flavour.Dialect.QuoteAll(keys...), place+" DESC"
	if w.Spec.Schema.Index(datatype.RowColumn) >= 0 {
		order = w.quote(datatype.RowColumn) + " DESC NULLS LAST, " + order
	}
	ties := "count(*) OVER (PARTITION BY " + partition + ")"
	if w.Spec.Mode == project.ModeMerge && w.Spec.Version != "" {
		version := w.quote(w.Spec.Version)
		order = version + " DESC NULLS LAST, " + order
		ties = "count(*) OVER (PARTITION BY " + partition + ", " + version + ")"
	}
	settled, err := w.Engine.Scratch("settled", fmt.Sprintf(`SELECT __row, __nth, first_value(__ties) OVER (PARTITION BY %[1]s ORDER BY __nth) AS __ties
		FROM (SELECT %[2]s AS __row, %[1]s, row_number() OVER (PARTITION BY %[1]s ORDER BY %[3]s) AS __nth,
			%[4]s AS __ties, count(*) OVER (PARTITION BY %[1]s) AS __equal FROM %[5]s) AS counted
		WHERE __equal > 1`, partition, place, order, ties, w.Stage))
	if err != nil {
		return err
	}
	if !w.Spec.Stable {
		if err := w.refuseEqual(settled, keys); err != nil {
			return err
		}
	}
	n, err := w.exec("DELETE FROM " + w.Stage + " WHERE " + place + " IN (SELECT __row FROM " + settled + " WHERE __nth > 1)")
	if err != nil {
		return err
	}
	w.Line.Evidence.Superseded += n
	return w.Engine.Drop(settled)
}
