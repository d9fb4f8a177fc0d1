// Package postgres is the store of tables in a PostgreSQL database, version 12 or later.
//
// A load stages by COPY into temporary tables of its own connection, so that a
// crash leaves nothing behind, and publishes in one transaction: rows,
// quarantine, receipt and the table's next number (PROTOCOLS §3). Publishes of
// one table are serial, by a row lock; staging is not. Beside the users' tables
// the package keeps, from the first load on,
//
//	_tidemill.publish_key   one row per publish key: fence, then receipt
//	_tidemill.table_commit  one row per table and commit, numbered without holes
//	_tidemill.table_state   the newest number of each table, and its shape
//
// Modes replace, replace_window and merge keep a plain table t. Mode append keeps
// t__rows with the hidden column _seq, and t is a view without it. Mode view
// keeps a view alone. Refused rows lie in t__quarantine. Rows are deleted and
// inserted, never swapped: grants, indexes and views of others stay, and readers
// are not held up.
//
// The package guarantees that values arrive as they were or not at all, that
// users' SQL is one SELECT in a read-only transaction, and that the password of
// the connection string is in no error. Sessions run in UTC. Nothing is written
// to a database that is only read.
package postgres
