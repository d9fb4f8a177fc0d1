package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Kept is what a warehouse file says of publish keys.
type Kept struct {
	Fence    int64                     // the highest that any key has seen
	Receipts map[string]commit.Receipt // by key
}

// Inspect reads the publish keys of a warehouse file that nobody has open. It
// changes nothing.
func Inspect(ctx context.Context, path string) (k Kept, err error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return k, failed("starting DuckDB", err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	literal, err := dialect.DuckDB.Literal(path)
	if err != nil {
		return k, err
	}
	if _, err := db.ExecContext(ctx, "ATTACH "+literal+" AS kept (READ_ONLY)"); err != nil {
		return k, failed("opening the warehouse "+path, err)
	}
	rows, err := db.QueryContext(ctx, "SELECT key, fence, receipt FROM kept._tidemill.publish_key")
	if err != nil {
		return k, failed("reading the publish keys of "+path, err)
	}
	defer func() { _ = rows.Close() }()
	k.Receipts = map[string]commit.Receipt{}
	for rows.Next() {
		var key string
		var fence int64
		var text sql.NullString
		if err := rows.Scan(&key, &fence, &text); err != nil {
			return k, failed("reading the publish keys of "+path, err)
		}
		k.Fence = max(k.Fence, fence)
		if text.Valid {
			var r commit.Receipt
			if err := json.Unmarshal([]byte(text.String), &r); err != nil {
				return k, fault.New(fault.Refused, "%s: the receipt of %s cannot be read: %w", path, key, err)
			}
			k.Receipts[key] = r
		}
	}
	return k, failed("reading the publish keys of "+path, rows.Err())
}
