package relational

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// refuseEqual sends the rows of a key that none of them can claim to quarantine.
func (w *Writer) refuseEqual(settled string, keys []string) error {
	rule, place := w.Spec.Table.Name+".key", w.Flavour.Place
	origin := func(column, typeName string) string {
		if w.Spec.Schema.Index(column) < 0 {
			return "CAST(NULL AS " + typeName + ")"
		}
		return "s." + w.quote(column)
	}
	values := make([]string, len(keys))
	for i, key := range keys {
		values[i] = "CAST(s." + w.quote(key) + " AS TEXT)"
	}
	value := values[0]
	if len(values) > 1 {
		value = fmt.Sprintf(w.Flavour.TextList, strings.Join(values, ", "))
	}
	n, err := w.exec(fmt.Sprintf(`INSERT INTO %s (rule, field, reason, value, file, line, original, contract)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), 'other rows of this load have the same key, and nothing says which is the last', %s, %s, %s, %s, CAST($3 AS TEXT)
		FROM %s s WHERE s.%[7]s IN (SELECT __row FROM %[8]s WHERE __ties > 1) ORDER BY s.%[7]s`,
		w.Refused, value, origin(datatype.FileColumn, "TEXT"), origin(datatype.LineColumn, "BIGINT"), w.Flavour.Object(w.names()), w.Stage, place, settled),
		rule, strings.Join(keys, ", "), w.Spec.Contract)
	if err != nil || n == 0 {
		return err
	}
	hits := commit.RuleHits{Rule: rule, Verdict: "quarantine", Rows: n, Field: strings.Join(keys, ", ")}
	if err := w.Engine.Row(w.Ctx, "SELECT coalesce(value, ''), coalesce(file, ''), coalesce(line, 0) FROM "+w.Refused+" WHERE rule = $1 ORDER BY "+place+" LIMIT 1",
		[]any{rule}, &hits.Value, &hits.File, &hits.Line); err != nil {
		return err
	}
	if _, err := w.exec("DELETE FROM " + w.Stage + " WHERE " + place + " IN (SELECT __row FROM " + settled + " WHERE __ties > 1)"); err != nil {
		return err
	}
	if _, err := w.exec("DELETE FROM " + settled + " WHERE __ties > 1"); err != nil {
		return err
	}
	e := &w.Line.Evidence
	e.Staged -= n
	e.Quarantined += n
	e.Rules = commit.AddHits(e.Rules, hits)
	if w.Spec.Admit != nil {
		return w.Spec.Admit(*e)
	}
	return nil
}

// Quarantine replaces the refused rows of the load's window by those of the load.
func (w *Writer) Quarantine() error {
	t := w.Spec.Table.Quarantine()
	name := w.Qualified(t.Name)
	found, err := w.Engine.Holds(w.Ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	staged, err := w.count("SELECT count(*) FROM " + w.Refused)
	if err != nil {
		return err
	}
	replayed := ""
	switch {
	case !found && w.Partial():
		return fault.New(fault.Conflict, "the quarantined rows of %s are gone", w.Spec.Table)
	case !found && staged == 0:
		return nil
	case !found:
		err = w.createQuarantine(name)
	case w.Partial():
		replayed, err = w.replay(name)
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
	list := w.Flavour.Dialect.QuoteAll(columns...)
	k := w.Load.Key
	start, end := Bounds(w.Spec.Window)
	if w.Partial() {
		start, end = nil, nil
	}
	_, err = w.exec(fmt.Sprintf(`INSERT INTO %[1]s (_id, %[2]s, _run, _task, _key, _window_start, _window_end, _seq, _at)
		SELECT concat(%[3]d, '-', row_number() OVER (ORDER BY %[4]s)), %[2]s, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT),
			CAST($4 AS TIMESTAMPTZ), CAST($5 AS TIMESTAMPTZ), %[3]d, %[5]s FROM %[6]s ORDER BY %[4]s`,
		name, list, w.Seq, w.Flavour.Place, w.Clock, w.Refused), k.Run, k.Task, k.String(), start, end)
	if err != nil || !w.Partial() {
		return err
	}
	// A row that is refused again stays a row of its own window, so that a run of
	// that window replaces it. It is found by its line, else by what it says; where
	// all rows were of one window, that is it.
	for _, same := range []string{"q.file = r.file AND q.line = r.line", "q._window_start IS NULL AND q.original = r.original", "q._window_start IS NULL AND r.windows = 1"} {
		if _, err := w.exec(fmt.Sprintf("UPDATE %s AS q SET _window_start = r._window_start, _window_end = r._window_end FROM %s r WHERE q._seq = %d AND %s",
			name, replayed, w.Seq, same)); err != nil {
			return err
		}
	}
	return w.Engine.Drop(replayed)
}

func (w *Writer) createQuarantine(name string) error {
	columns := []string{"_id TEXT"}
	for _, f := range store.QuarantineSchema().Fields {
		typeName, err := w.Flavour.Dialect.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns = append(columns, w.quote(f.Name)+" "+typeName)
	}
	columns = append(columns, "_run TEXT", "_task TEXT", "_key TEXT", "_window_start TIMESTAMPTZ", "_window_end TIMESTAMPTZ", "_seq BIGINT", "_at TIMESTAMPTZ")
	_, err := w.exec("CREATE TABLE " + name + " (" + strings.Join(columns, ", ") + ")")
	return err
}

// replay deletes the quarantined rows that the load places, and keeps of which windows they were.
func (w *Writer) replay(name string) (replayed string, err error) {
	ids, err := json.Marshal(w.Spec.Replays)
	if err != nil {
		return "", fault.New(fault.Internal, "writing the ids to replay: %w", err)
	}
	if replayed, err = w.Engine.Scratch("replayed", fmt.Sprintf(`SELECT file, line, original, _window_start, _window_end,
		(SELECT count(DISTINCT (_window_start, _window_end)) FROM %[1]s WHERE %[2]s) AS windows FROM %[1]s WHERE %[2]s`, name, w.Flavour.Among), string(ids)); err != nil {
		return "", err
	}
	n, err := w.exec("DELETE FROM "+name+" WHERE "+w.Flavour.Among, string(ids))
	if err == nil && n != int64(len(w.Spec.Replays)) {
		err = fault.New(fault.Conflict, "of %d quarantined rows of %s that were to be replayed only %d are still there", len(w.Spec.Replays), w.Spec.Table, n)
	}
	return replayed, err
}

// forget deletes the quarantined rows that the load repeats.
func (w *Writer) forget(name string) error {
	switch {
	case w.Spec.Mode == project.ModeReplace:
		_, err := w.exec("DELETE FROM " + name)
		return err
	case w.Spec.Window.IsZero():
		_, err := w.exec("DELETE FROM "+name+" WHERE starts_with(_key, $1)", w.Load.Key.Origin()+"/")
		return err
	}
	// A row of a wider or shifted window is the same one where it is of the same line.
	start, end := Bounds(w.Spec.Window)
	_, err := w.exec(fmt.Sprintf(`DELETE FROM %s AS q WHERE _window_start >= $1 AND _window_end <= $2
		OR _window_start < $2 AND _window_end > $1 AND EXISTS (SELECT 1 FROM %s r WHERE r.file = q.file AND r.line = q.line)`, name, w.Refused), start, end)
	return err
}
