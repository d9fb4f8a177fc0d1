// Package engine holds what differs between the two databases that a ledger may
// lie in, so that every statement is written once for both.
//
// It opens them and reads their errors; it knows no table.
package engine

import (
	"database/sql"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

// Engine is one of the two.
type Engine struct {
	Goose     goose.Dialect
	Open      func(location string) (writer, reader *sql.DB, err error)
	Text      func(string) string // our SQL → the engine's
	ForUpdate string
	Prepare   bool             // keep statements prepared ourselves; pgx does so by itself
	Transient func(error) bool // the transaction may be tried again as it is
	Broken    func(error) bool // the database cannot keep anything now, whatever it is asked
}

// SQLite lies in a file.
var SQLite = Engine{
	Goose: goose.DialectSQLite3,
	Open: func(path string) (*sql.DB, *sql.DB, error) {
		// FULL: an acknowledged step survives a crash of the machine.
		options := url.Values{
			"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_busy_timeout": {"10000"},
			"_txlock": {"immediate"}, "_foreign_keys": {"on"},
		}
		address := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options.Encode()
		writer, err := sql.Open("sqlite3", address)
		if err != nil {
			return nil, nil, err
		}
		writer.SetMaxOpenConns(1)
		reader, err := sql.Open("sqlite3", address+"&_query_only=true")
		if err != nil {
			return nil, nil, err
		}
		reader.SetMaxOpenConns(4)
		return writer, reader, nil
	},
	Text:    numbered,
	Prepare: true,
	Transient: func(err error) bool {
		e, ok := errors.AsType[sqlite3.Error](err)
		return ok && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked)
	},
	Broken: func(err error) bool {
		e, ok := errors.AsType[sqlite3.Error](err)
		return ok && slices.Contains([]sqlite3.ErrNo{sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrCorrupt}, e.Code)
	},
}

// Postgres is a server.
var Postgres = Engine{
	Goose: goose.DialectPostgres,
	Open: func(address string) (*sql.DB, *sql.DB, error) {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			return nil, nil, err
		}
		config.RuntimeParams["timezone"] = "UTC"
		writer := stdlib.OpenDB(*config)
		writer.SetMaxOpenConns(1)
		reader := stdlib.OpenDB(*config)
		reader.SetMaxOpenConns(4)
		return writer, reader, nil
	},
	Text:      func(s string) string { return s },
	ForUpdate: " FOR UPDATE",
	Transient: func(err error) bool {
		e, ok := errors.AsType[*pgconn.PgError](err)
		return ok && (e.Code == "40001" || e.Code == "40P01")
	},
	Broken: func(err error) bool {
		// Classes of SQLSTATE: insufficient resources, operator intervention, system error.
		e, ok := errors.AsType[*pgconn.PgError](err)
		return ok && (strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57") || strings.HasPrefix(e.Code, "58"))
	},
}

var placeholder = regexp.MustCompile(`\$([0-9]+)`)

// numbered rewrites $n to ?n: SQLite numbers $n by first appearance.
func numbered(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return placeholder.ReplaceAllString(text, "?$1")
}

// At is the time that a ledger keeps as microseconds.
func At(us int64) time.Time { return time.UnixMicro(us).UTC() }

// OptionalAt is At, with the zero time for NULL.
func OptionalAt(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return At(us.Int64)
}

// All reads every row of a query through scan and closes it.
func All[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
