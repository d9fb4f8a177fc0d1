package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Snapshot writes what a SQLite database holds at one moment to a new file.
func Snapshot(ctx context.Context, reader *sql.DB, path string) error {
	c, err := reader.Conn(ctx)
	if err != nil {
		return err
	}
	// A connection that may only query may not write the other file either.
	if _, err = c.ExecContext(ctx, `PRAGMA query_only = off`); err == nil {
		_, err = c.ExecContext(ctx, `VACUUM INTO ?`, path)
	}
	_, back := c.ExecContext(context.WithoutCancel(ctx), `PRAGMA query_only = on`)
	return errors.Join(err, back, c.Close())
}

// Transfer puts all rows of one ledger, as they are at one moment, in place of
// those of another. Both have the newest schema; it is read from lite, the one of
// them that is SQLite. The rows that are replaced are gone.
func Transfer(ctx context.Context, lite *sql.DB, from *sql.DB, to *sql.DB, target Engine) error {
	tables, err := tablesOf(ctx, lite)
	if err != nil {
		return err
	}
	out, err := from.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil { // SQLite knows no levels: a transaction there sees one moment
		if out, err = from.BeginTx(ctx, nil); err != nil {
			return err
		}
	}
	defer func() { _ = out.Rollback() }()
	in, err := to.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = in.Rollback() }()
	for _, t := range tables {
		if err := transfer(ctx, t, out, in, target); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return in.Commit()
}

type table struct {
	name    string
	columns []string
}

func tablesOf(ctx context.Context, lite *sql.DB) ([]table, error) {
	rows, err := lite.QueryContext(ctx, `SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%' ORDER BY m.name, p.cid`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []table
	for rows.Next() {
		var name, column string
		if err := rows.Scan(&name, &column); err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, table{name: name})
		}
		last := &out[len(out)-1]
		last.columns = append(last.columns, column)
	}
	return out, rows.Err()
}

func transfer(ctx context.Context, t table, from, to *sql.Tx, target Engine) error {
	quoted := `"` + strings.Join(t.columns, `", "`) + `"`
	if _, err := to.ExecContext(ctx, `DELETE FROM "`+t.name+`"`); err != nil {
		return err
	}
	marks := make([]string, len(t.columns))
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	insert, err := to.PrepareContext(ctx, target.Text(`INSERT INTO "`+t.name+`" (`+quoted+`) VALUES (`+strings.Join(marks, ", ")+`)`))
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	rows, err := from.QueryContext(ctx, `SELECT `+quoted+` FROM "`+t.name+`"`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	values, places := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return rows.Err()
}
