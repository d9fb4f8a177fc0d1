package duckdb

import (
	"fmt"
	"strings"
)

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

func (w *writer) replace() error {
	t := w.Spec.Table
	if err := w.Newest(); err != nil {
		return err
	}
	found, err := w.q.relation(w.Ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	if found == isTable {
		if w.Line.Evidence.Deleted, err = w.q.count(w.Ctx, "SELECT count(*) FROM "+w.Rows); err != nil {
			return err
		}
		if _, err := w.q.exec(w.Ctx, "DROP TABLE "+w.Rows); err != nil {
			return err
		}
	}
	if err := w.create(); err != nil {
		return err
	}
	return w.InsertAll()
}

// Ready makes the table exist with the columns of the load.
func (w *writer) Ready() error {
	found, err := w.q.relation(w.Ctx, w.Spec.Table.Schema, w.Spec.Table.Name)
	if err != nil {
		return err
	}
	if found == absent {
		return w.create()
	}
	return w.evolve()
}

// Merge inserts and updates by key; a version decides which of two rows is newer.
func (w *writer) Merge() error {
	verdicts, err := w.Scratch("verdict", fmt.Sprintf(`SELECT s.rowid AS staged, t.rowid AS kept, CASE
			WHEN t.rowid IS NULL THEN 'inserted' WHEN %s THEN 'unchanged' WHEN %s THEN 'superseded' ELSE 'updated' END AS verdict
		FROM %s s LEFT JOIN %s t ON %s`,
		same("s", "t", w.Without(w.Spec.Keys)), w.Older(), w.Stage, w.Rows, same("s", "t", w.Spec.Keys)))
	if err != nil {
		return err
	}
	if err := w.Verdicts(verdicts); err != nil {
		return err
	}
	if w.Line.Evidence.Updated > 0 {
		if _, err := w.q.exec(w.Ctx, fmt.Sprintf("UPDATE %s AS t SET %s FROM %s v JOIN %s s ON s.rowid = v.staged WHERE t.rowid = v.kept AND v.verdict = 'updated'",
			w.Rows, w.Assignments(), verdicts, w.Stage)); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.Ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE rowid IN (SELECT staged FROM %s WHERE verdict = 'inserted')",
		w.Rows, w.Columns, w.Columns, w.Stage, verdicts)); err != nil {
		return err
	}
	return w.Drop(verdicts)
}
