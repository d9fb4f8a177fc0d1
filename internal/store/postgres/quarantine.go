package postgres

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// refuseEqual sends the rows of a key that none of them can claim to quarantine.
func (w *writer) refuseEqual() error {
	rule, keys := w.spec.Table.Name+".key", w.spec.Keys
	column := func(name, typeName string) string {
		if w.spec.Schema.Index(name) < 0 {
			return "NULL::" + typeName
		}
		return "s." + quote(name)
	}
	values := make([]string, len(keys))
	for i, key := range keys {
		values[i] = "s." + quote(key) + "::text"
	}
	value := values[0]
	if len(values) > 1 {
		value = "to_json(ARRAY[" + strings.Join(values, ", ") + "])::text"
	}
	visible := make([]string, len(w.visible))
	for i, f := range w.visible {
		visible[i] = "s." + quote(f.Name)
	}
	n, err := w.q.exec(w.ctx, fmt.Sprintf(`INSERT INTO %s (rule, field, reason, value, file, line, original, contract)
		SELECT $1, $2, 'other rows of this load have the same key, and nothing says which is the last', %s, %s, %s,
			(SELECT row_to_json(v)::text FROM (SELECT %s) AS v), $3
		FROM %s s WHERE s.%s IN (SELECT staged FROM pg_temp.settled WHERE ties > 1) ORDER BY s.%s`,
		w.target.quarantine.name, value, column(datatype.FileColumn, "text"), column(datatype.LineColumn, "bigint"),
		strings.Join(visible, ", "), w.stage, place, place), rule, strings.Join(keys, ", "), w.spec.Contract)
	if err != nil || n == 0 {
		return err
	}
	hits := commit.RuleHits{Rule: rule, Verdict: "quarantine", Rows: n, Field: strings.Join(keys, ", ")}
	if err := w.q.row(w.ctx, "SELECT coalesce(value, ''), coalesce(file, ''), coalesce(line, 0) FROM "+w.target.quarantine.name+" WHERE rule = $1 ORDER BY "+place+" LIMIT 1",
		[]any{rule}, &hits.Value, &hits.File, &hits.Line); err != nil {
		return err
	}
	if err := w.q.execAll(w.ctx,
		"DELETE FROM "+w.stage+" WHERE "+place+" IN (SELECT staged FROM pg_temp.settled WHERE ties > 1)",
		"DELETE FROM pg_temp.settled WHERE ties > 1"); err != nil {
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
	switch {
	case found == absent && w.partial():
		return fault.New(fault.Conflict, "the quarantined rows of %s are gone", w.spec.Table)
	case found == absent && staged == 0:
		return nil
	case found == absent:
		err = w.createQuarantine(name)
	default:
		err = w.forget(name)
	}
	if err != nil {
		return err
	}
	var columns []string
	for _, f := range store.QuarantineSchema().Fields {
		columns = append(columns, f.Name)
	}
	list := engine.QuoteAll(columns...)
	k := w.load.spec.Key
	start, end := bounds(w.spec.Window)
	if w.partial() {
		start, end = nil, nil
	}
	_, err = w.q.exec(w.ctx, fmt.Sprintf(`INSERT INTO %[1]s (_id, %[2]s, _run, _task, _key, _window_start, _window_end, _seq, _at)
		SELECT concat(%[3]d, '-', row_number() OVER (ORDER BY %[4]s)), %[2]s, $1::text, $2::text, $3::text, $4::timestamptz, $5::timestamptz, %[3]d, clock_timestamp() FROM %[5]s ORDER BY %[4]s`,
		name, list, w.seq, place, w.target.quarantine.name), k.Run, k.Task, k.String(), start, end)
	if err != nil || !w.partial() {
		return err
	}
	// A row that is refused again stays a row of its own window, so that a run of
	// that window replaces it. It is found by its line, else by what it says; where
	// all rows were of one window, that is it.
	for _, same := range []string{"q.file = r.file AND q.line = r.line", "q._window_start IS NULL AND q.original = r.original", "q._window_start IS NULL AND r.windows = 1"} {
		if _, err := w.q.exec(w.ctx, fmt.Sprintf("UPDATE %s AS q SET _window_start = r._window_start, _window_end = r._window_end FROM pg_temp.replayed r WHERE q._seq = %d AND %s",
			name, w.seq, same)); err != nil {
			return err
		}
	}
	return w.drop("replayed")
}

func (w *writer) createQuarantine(name string) error {
	columns := []string{"_id text"}
	for _, f := range store.QuarantineSchema().Fields {
		typeName, err := engine.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns = append(columns, quote(f.Name)+" "+typeName)
	}
	columns = append(columns, "_run text", "_task text", "_key text",
		"_window_start timestamptz", "_window_end timestamptz", "_seq bigint", "_at timestamptz")
	_, err := w.q.exec(w.ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")")
	return err
}

// forget deletes the quarantined rows that the load repeats, or places.
func (w *writer) forget(name string) error {
	if w.partial() {
		if err := w.scratch("replayed", fmt.Sprintf(`SELECT file, line, original, _window_start, _window_end,
			(SELECT count(DISTINCT (_window_start, _window_end)) FROM %[1]s WHERE _id = ANY($1)) AS windows FROM %[1]s WHERE _id = ANY($1)`, name), w.spec.Replays); err != nil {
			return err
		}
		n, err := w.q.exec(w.ctx, "DELETE FROM "+name+" WHERE _id = ANY($1)", w.spec.Replays)
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
		_, err := w.q.exec(w.ctx, "DELETE FROM "+name+" WHERE starts_with(_key, $1)", w.load.spec.Key.Origin()+"/")
		return err
	}
	// A row of a wider or shifted window is the same one where it is of the same line.
	start, end := bounds(w.spec.Window)
	_, err := w.q.exec(w.ctx, fmt.Sprintf(`DELETE FROM %s WHERE _window_start >= $1 AND _window_end <= $2
		OR _window_start < $2 AND _window_end > $1 AND (file, line) IN (SELECT file, line FROM %s WHERE file IS NOT NULL AND line IS NOT NULL)`,
		name, w.target.quarantine.name), start, end)
	return err
}
