package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// span is a stretch of time.
type span struct{ start, end time.Time }

// lived returns where live commits of the table cover the load's window, lookback included, joined and in order.
func (w *writer) lived() ([]span, error) {
	start, end := w.Window()
	rows, err := w.q.conn.QueryContext(w.Ctx, "SELECT window_start, window_end FROM "+control+`.table_commit
		WHERE "table" = ? AND kind = 'live' AND window_start < ? AND window_end > ? ORDER BY window_start`, relational.TableName(w.Spec.Table), end, start)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var spans []span
	for rows.Next() {
		var s span
		if err := rows.Scan(&s.start, &s.end); err != nil {
			return nil, err
		}
		if n := len(spans); n > 0 && !s.start.After(spans[n-1].end) {
			if s.end.After(spans[n-1].end) {
				spans[n-1].end = s.end
			}
			continue
		}
		spans = append(spans, s)
	}
	return spans, rows.Err()
}

// feature appends what the staged window changes in the history.
func (w *writer) feature() error {
	inWindow, args := "TRUE", []any(nil)
	if !w.Partial() && !w.Spec.Window.IsZero() {
		if err := w.Within(); err != nil {
			return err
		}
		start, end := w.Window()
		inWindow, args = w.Instant("")+" >= ? AND "+w.Instant("")+" < ?", []any{start, end}
	}
	identity := w.Identity()
	vanished := "CASE WHEN k._deleted THEN 'gone' ELSE 'deleted' END"
	if w.Partial() {
		vanished = "'gone'"
	}
	verdicts, err := w.Scratch("verdict", fmt.Sprintf(`SELECT s.__row_id AS staged, k.__row_id AS kept, CASE
			WHEN s.__row_id IS NULL THEN %s
			WHEN k.__row_id IS NULL OR k._deleted THEN 'inserted'
			WHEN %s THEN 'unchanged' ELSE 'updated' END AS verdict
		FROM (SELECT *, rowid AS __row_id FROM %s) s FULL OUTER JOIN (
			SELECT *, rowid AS __row_id FROM %s WHERE %s
			QUALIFY row_number() OVER (PARTITION BY %s ORDER BY _seq DESC) = 1) k ON %s`,
		vanished, same("s", "k", w.Without(identity)), w.Stage, w.Rows, inWindow,
		dialect.DuckDB.QuoteAll(identity...), same("s", "k", identity)), args...)
	if err != nil {
		return err
	}
	if err := w.Verdicts(verdicts); err != nil {
		return err
	}
	if err := w.remember(verdicts, identity); err != nil {
		return err
	}
	return w.Drop(verdicts)
}

// remember writes the changed and the vanished rows, with the time at which they count as known.
func (w *writer) remember(verdicts string, identity []string) error {
	known, joins, drop, err := w.known()
	if err != nil {
		return err
	}
	defer drop()
	if _, err := w.q.exec(w.Ctx, fmt.Sprintf(`INSERT INTO %s (%s, _seq, _known_at, _deleted)
		SELECT %s, %d, %s, false FROM %s r %s WHERE r.rowid IN (SELECT staged FROM %s WHERE verdict IN ('inserted', 'updated')) ORDER BY r.rowid`,
		w.Rows, w.Columns, w.prefixed("r"), w.Seq, known, w.Stage, joins, verdicts)); err != nil {
		return err
	}
	if w.Line.Evidence.Deleted == 0 {
		return nil
	}
	names := dialect.DuckDB.QuoteAll(identity...)
	_, err = w.q.exec(w.Ctx, fmt.Sprintf(`INSERT INTO %s (%s, _seq, _known_at, _deleted)
		SELECT %s, %d, %s, true FROM %s r %s WHERE r.rowid IN (SELECT kept FROM %s WHERE verdict = 'deleted') ORDER BY r.rowid`,
		w.Rows, names, prefix("r", identity), w.Seq, known, w.Rows, joins, verdicts))
	return err
}

func (w *writer) prefixed(alias string) string {
	names := make([]string, len(w.Visible))
	for i, f := range w.Visible {
		names[i] = f.Name
	}
	return prefix(alias, names)
}

func prefix(alias string, names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = alias + "." + quote(name)
	}
	return strings.Join(out, ", ")
}

// known returns the expression of _known_at for a row r: NULL, which is the
// commit's time, but for simulated rows. It looks at the row and at the schedule
// alone, so that the way in which a range was cut changes nothing.
func (w *writer) known() (expression, joins string, drop func(), err error) {
	none := func() {}
	if w.load.spec.Run.Live || w.Partial() || w.Spec.Window.IsZero() {
		return "NULL", "", none, nil
	}
	slots, lives := w.temporary("slot"), w.temporary("live")
	if err := w.q.execAll(w.Ctx,
		"CREATE TEMP TABLE "+slots+" (window_end TIMESTAMPTZ, due TIMESTAMPTZ)",
		"CREATE TEMP TABLE "+lives+" (window_start TIMESTAMPTZ, window_end TIMESTAMPTZ)"); err != nil {
		return "", "", none, err
	}
	for _, b := range w.Spec.Known.Boundaries {
		if _, err := w.q.exec(w.Ctx, "INSERT INTO "+slots+" VALUES (?, ?)", b.End.UTC(), b.Due.UTC()); err != nil {
			return "", "", none, err
		}
	}
	spans, err := w.lived()
	if err != nil {
		return "", "", none, err
	}
	for _, s := range spans {
		if _, err := w.q.exec(w.Ctx, "INSERT INTO "+lives+" VALUES (?, ?)", s.start.UTC(), s.end.UTC()); err != nil {
			return "", "", none, err
		}
	}
	due := fmt.Sprintf("(b.due + to_microseconds(%d))", w.Spec.Known.AvailableAfter.Microseconds())
	if column := w.Spec.Known.Column; column != "" {
		due = fmt.Sprintf("coalesce(CAST(r.%s AS TIMESTAMPTZ), %s)", quote(column), due)
	}
	return fmt.Sprintf("CASE WHEN %s < l.window_end THEN NULL ELSE %s END", w.Instant("r."), due),
		fmt.Sprintf("ASOF LEFT JOIN %s b ON %s < b.window_end ASOF LEFT JOIN %s l ON %s >= l.window_start", slots, w.Instant("r."), lives, w.Instant("r.")),
		func() { _ = w.q.execAll(w.Ctx, "DROP TABLE IF EXISTS "+slots, "DROP TABLE IF EXISTS "+lives) }, nil
}
