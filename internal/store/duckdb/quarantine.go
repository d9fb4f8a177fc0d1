package duckdb

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// refuseEqual sends the rows of a key that none of them can claim to quarantine.
func (w *writer) refuseEqual(settled string, keys []string) error {
	rule := w.spec.Table.Name + ".key"
	literal := func(text string) string {
		quoted, err := dialect.DuckDB.Literal(text)
		if err != nil {
			return "NULL"
		}
		return quoted
	}
	original := make([]string, len(w.visible))
	for i, f := range w.visible {
		original[i] = literal(f.Name) + ", " + quote(f.Name)
	}
	place := func(column string) string {
		if w.spec.Schema.Index(column) < 0 {
			return "NULL"
		}
		return quote(column)
	}
	value := "CAST(to_json([" + strings.Join(texts(keys), ", ") + "]) AS VARCHAR)"
	if len(keys) == 1 {
		value = texts(keys)[0]
	}
	n, err := w.q.exec(w.ctx, fmt.Sprintf(`INSERT INTO %s (rule, field, reason, value, file, line, original, contract)
		SELECT %s, %s, 'other rows of this load have the same key, and nothing says which is the last', %s, %s, %s, CAST(json_object(%s) AS VARCHAR), %s
		FROM %s WHERE rowid IN (SELECT __staged FROM %s WHERE __ties > 1) ORDER BY rowid`,
		w.target.quarantine.name, literal(rule), literal(strings.Join(keys, ", ")), value, place(datatype.FileColumn), place(datatype.LineColumn),
		strings.Join(original, ", "), literal(w.spec.Contract), w.stage, settled))
	if err != nil || n == 0 {
		return err
	}
	hits := commit.RuleHits{Rule: rule, Verdict: "quarantine", Rows: n, Field: strings.Join(keys, ", ")}
	if err := w.q.row(w.ctx, "SELECT coalesce(value, ''), coalesce(file, ''), coalesce(line, 0) FROM "+w.target.quarantine.name+" WHERE rule = ? LIMIT 1",
		[]any{rule}, &hits.Value, &hits.File, &hits.Line); err != nil {
		return err
	}
	if err := w.q.execAll(w.ctx,
		"DELETE FROM "+w.stage+" WHERE rowid IN (SELECT __staged FROM "+settled+" WHERE __ties > 1)",
		"DELETE FROM "+settled+" WHERE __ties > 1"); err != nil {
		return err
	}
	e := &w.line.Evidence
	e.Staged -= n
	e.Quarantined += n
	e.Rules = commit.AddHits(e.Rules, hits)
	if w.spec.Admit != nil {
		return w.spec.Admit(*e)
	}
	return nil
}

func texts(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "CAST(" + quote(name) + " AS VARCHAR)"
	}
	return out
}

// quarantine replaces the refused rows of the load's window by those of the load.
func (w *writer) quarantine() error {
	t := w.spec.Table.Quarantine()
	name := qualified(t.Schema, t.Name)
	found, err := w.q.relation(w.ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	staged, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.target.quarantine.name)
	if err != nil {
		return err
	}
	if found == absent && staged == 0 {
		if len(w.spec.Replays) > 0 {
			return fault.New(fault.Conflict, "the quarantined rows of %s are gone", w.spec.Table)
		}
		return nil
	}
	if found == absent {
		if err := w.createQuarantine(name); err != nil {
			return err
		}
	} else if err := w.forget(name); err != nil {
		return err
	}
	var columns []string
	for _, f := range store.QuarantineSchema().Fields {
		columns = append(columns, f.Name)
	}
	list := dialect.DuckDB.QuoteAll(columns...)
	k := w.load.spec.Key
	start, end := bounds(w.spec.Window)
	if w.partial() {
		start, end = nil, nil
	}
	_, err = w.q.exec(w.ctx, fmt.Sprintf(`INSERT INTO %s (_id, %s, _run, _task, _key, _window_start, _window_end, _seq, _at)
		SELECT concat(%d, '-', row_number() OVER (ORDER BY rowid)), %s, ?, ?, ?, ?, ?, %d, ? FROM %s ORDER BY rowid`,
		name, list, w.seq, list, w.seq, w.target.quarantine.name), k.Run, k.Task, k.String(), start, end, w.load.store.clock().UTC())
	if err != nil || !w.partial() {
		return err
	}
	// A row that is refused again stays a row of its own window, so that a run of
	// that window replaces it. It is found by its line, else by what it says; where
	// all rows were of one window, that is it.
	replayed := w.temporary("replayed")
	for _, same := range []string{"q.file = r.file AND q.line = r.line", "q._window_start IS NULL AND q.original = r.original", "q._window_start IS NULL AND r.windows = 1"} {
		if _, err := w.q.exec(w.ctx, fmt.Sprintf("UPDATE %s AS q SET _window_start = r._window_start, _window_end = r._window_end FROM %s r WHERE q._seq = %d AND %s",
			name, replayed, w.seq, same)); err != nil {
			return err
		}
	}
	_, err = w.q.exec(w.ctx, "DROP TABLE "+replayed)
	return err
}

func (w *writer) createQuarantine(name string) error {
	columns := []string{"_id VARCHAR"}
	for _, f := range store.QuarantineSchema().Fields {
		typeName, err := dialect.DuckDB.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns = append(columns, quote(f.Name)+" "+typeName)
	}
	columns = append(columns, "_run VARCHAR", "_task VARCHAR", "_key VARCHAR",
		"_window_start TIMESTAMPTZ", "_window_end TIMESTAMPTZ", "_seq BIGINT", "_at TIMESTAMPTZ")
	_, err := w.q.exec(w.ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")")
	return err
}

// forget deletes the quarantined rows that the load repeats, or places.
func (w *writer) forget(name string) error {
	if w.partial() {
		ids, err := json.Marshal(w.spec.Replays)
		if err != nil {
			return fault.New(fault.Internal, "writing the ids to replay: %w", err)
		}
		among := "_id IN (SELECT unnest(from_json(CAST(? AS JSON), '[\"VARCHAR\"]')))"
		if _, err := w.q.exec(w.ctx, fmt.Sprintf(`CREATE TEMP TABLE %s AS SELECT file, line, original, _window_start, _window_end,
			(SELECT count(DISTINCT (_window_start, _window_end)) FROM %s WHERE %s) AS windows FROM %s WHERE %s`,
			w.temporary("replayed"), name, among, name, among), string(ids), string(ids)); err != nil {
			return err
		}
		n, err := w.q.exec(w.ctx, "DELETE FROM "+name+" WHERE "+among, string(ids))
		if err == nil && n != int64(len(w.spec.Replays)) {
			err = fault.New(fault.Conflict, "of %d quarantined rows of %s that were to be replayed only %d are still there", len(w.spec.Replays), w.spec.Table, n)
		}
		return err
	}
	switch {
	case w.spec.Mode == project.ModeReplace:
		_, err := w.q.exec(w.ctx, "DELETE FROM "+name)
		return err
	case w.spec.Window.IsZero():
		_, err := w.q.exec(w.ctx, "DELETE FROM "+name+" WHERE starts_with(_key, ?)", w.load.spec.Key.Origin()+"/")
		return err
	}
	// A row of a wider or shifted window is the same one where it is of the same line.
	start, end := bounds(w.spec.Window)
	_, err := w.q.exec(w.ctx, fmt.Sprintf(`DELETE FROM %s WHERE _window_start >= ? AND _window_end <= ?
		OR _window_start < ? AND _window_end > ? AND (file, line) IN (SELECT (file, line) FROM %s WHERE file IS NOT NULL AND line IS NOT NULL)`,
		name, w.target.quarantine.name), start, end, end, start)
	return err
}
