// Package duckdb is the embedded warehouse: one DuckDB file that one process owns.
//
// A load stages into temporary tables of its own connection, so that a crash
// leaves nothing behind, and publishes in one transaction: rows, quarantine,
// receipt and the table's next number (PROTOCOLS §3). Publishes of one table are
// serial; staging is not. Beside the users' tables the package keeps
//
//	_tidemill.publish_key   one row per publish key: fence, then receipt
//	_tidemill.table_commit  one row per table and commit, numbered without holes
//	_tidemill.table_state   the newest number of each table, and its shape
//
// A table t has one of four shapes. Modes replace, replace_window and merge keep
// a plain table t. Mode append keeps t__rows with the hidden column _seq, and t
// is a view without it. Mode feature keeps t__history with _seq, _known_at and
// _deleted, and t is the view of current rows. Mode view keeps a view alone.
// Refused rows lie in t__quarantine.
//
// The package guarantees that users' SQL is one SELECT that reads tables: no
// file, no network, no setting, no write. Sessions run in UTC. It must not read
// or write users' files; the one exception is Snapshot.
//
// It needs the build tag duckdb_arrow.
package duckdb
