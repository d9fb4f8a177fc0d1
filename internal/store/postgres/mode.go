package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

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
	parts := make([]string, len(w.Spec.Keys))
	for i, key := range w.Spec.Keys {
		n, err := w.q.count(w.Ctx, "SELECT count(*) FROM "+w.Stage+" WHERE "+quote(key)+" IS NULL")
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
	for _, f := range w.Visible {
		if slices.Contains(names, f.Name) == wanted {
			out = append(out, f)
		}
	}
	return out
}

func (w *writer) replace() (err error) {
	if err := w.Newest(); err != nil {
		return err
	}
	if w.Line.Evidence.Deleted, err = w.q.exec(w.Ctx, "DELETE FROM "+w.Rows); err != nil {
		return err
	}
	if err := w.recolumn(); err != nil {
		return err
	}
	return w.InsertAll()
}

// Ready gives the table, which is there, the columns of the load.
func (w *writer) Ready() error { return w.evolve() }

// Merge inserts and updates by key; a version decides which of two rows is newer.
func (w *writer) Merge() error {
	matches, err := w.matches("s", "t")
	if err != nil {
		return err
	}
	verdicts, err := w.Scratch("verdict", fmt.Sprintf(`SELECT s.%[1]s AS staged, t.tableoid AS part, t.ctid AS kept, CASE
			WHEN t.ctid IS NULL THEN 'inserted' WHEN %[2]s THEN 'unchanged' WHEN %[3]s THEN 'superseded' ELSE 'updated' END AS verdict
		FROM %[4]s s LEFT JOIN %[5]s t ON %[6]s`, place, same("s", "t", w.among(w.Spec.Keys, false)), w.Older(), w.Stage, w.Rows, matches))
	if err != nil {
		return err
	}
	if err := w.Verdicts(verdicts); err != nil {
		return err
	}
	if w.Line.Evidence.Updated > 0 {
		if _, err := w.q.exec(w.Ctx, fmt.Sprintf(`UPDATE %s AS t SET %s FROM %s v JOIN %s s ON s.%s = v.staged
			WHERE t.ctid = v.kept AND t.tableoid = v.part AND v.verdict = 'updated'`, w.Rows, w.Assignments(), verdicts, w.Stage, place)); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.Ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s IN (SELECT staged FROM %s WHERE verdict = 'inserted') ORDER BY %s",
		w.Rows, w.Columns, w.Columns, w.Stage, place, verdicts, place)); err != nil {
		return err
	}
	return w.Drop(verdicts)
}
