package duckdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Digest returns a digest of a table's visible rows and columns, whatever order
// the rows lie in, and their number. Equal digests mean the same rows: values
// are written in one way each, and minus zero is zero.
func (s *Store) Digest(ctx context.Context, table project.Table) (string, int64, error) {
	q, err := s.session(ctx)
	if err != nil {
		return "", 0, err
	}
	defer q.close()
	if err := q.exists(ctx, table); err != nil {
		return "", 0, err
	}
	name := qualified(table.Schema, table.Name)
	columns, err := q.columns(ctx, "DESCRIBE SELECT * FROM "+name)
	if err != nil {
		return "", 0, err
	}
	head := sha256.New()
	var parts []string
	for _, c := range columns {
		if isHiddenName(c.name) {
			continue
		}
		fmt.Fprintf(head, "%q %s\n", c.name, c.typ)
		text := canonical(quote(c.name), c.typ)
		// Each value with its length before it, so that no two rows can look alike.
		parts = append(parts, fmt.Sprintf("coalesce(concat(strlen(%[1]s), ':', %[1]s), '-')", text))
	}
	var rows int64
	var low, high string
	if err := q.row(ctx, fmt.Sprintf(`SELECT count(*), coalesce(CAST(sum(md5_number_lower(line)) AS VARCHAR), '0'), coalesce(CAST(sum(md5_number_upper(line)) AS VARCHAR), '0')
		FROM (SELECT concat(%s) AS line FROM %s)`, strings.Join(parts, ", "), name), nil, &rows, &low, &high); err != nil {
		return "", 0, failed("digesting "+table.String(), err)
	}
	fmt.Fprintf(head, "%d %s %s", rows, low, high)
	return hex.EncodeToString(head.Sum(nil)), rows, nil
}

// canonical is the one text of a value.
func canonical(expression string, t datatype.Type) string {
	switch t.Kind {
	case datatype.Float32, datatype.Float64:
		return fmt.Sprintf("CASE WHEN %[1]s = 0 THEN '0' ELSE CAST(%[1]s AS VARCHAR) END", expression)
	case datatype.Timestamp, datatype.TimestampTZ:
		if t.Precision == 9 {
			return "CAST(epoch_ns(" + expression + ") AS VARCHAR)"
		}
		return "CAST(epoch_us(" + expression + ") AS VARCHAR)"
	case datatype.Bytes:
		return "hex(" + expression + ")"
	case datatype.List, datatype.Struct:
		return "CAST(to_json(" + expression + ") AS VARCHAR)"
	default:
		return "CAST(" + expression + " AS VARCHAR)"
	}
}

// Snapshot writes a copy of the warehouse as it is at one moment, for everybody
// who has DuckDB to open. Nothing may be at the path yet.
func (s *Store) Snapshot(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fault.New(fault.Invalid, "snapshot path %q: %w", path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Conflict, "there is something at %s already", path)
	}
	number := s.loads.Add(1)
	// Only this folder is open to the engine, so the copy is made in it and moved.
	if err := os.MkdirAll(s.snapshots, 0o700); err != nil {
		return fault.New(fault.Unavailable, "making room for a snapshot: %w", err)
	}
	unfinished := filepath.Join(s.snapshots, fmt.Sprintf("%d.duckdb", number))
	defer func() {
		_ = os.Remove(unfinished)
		_ = os.Remove(unfinished + ".wal")
		_ = os.Remove(s.snapshots) // where it is empty
	}()
	if err := s.copyTo(ctx, unfinished, fmt.Sprintf("snapshot_%d", number)); err != nil {
		return failed("writing the snapshot", err)
	}
	if err := os.Chmod(unfinished, 0o444); err != nil {
		return fault.New(fault.Unavailable, "writing the snapshot: %w", err)
	}
	return move(unfinished, path)
}

func (s *Store) copyTo(ctx context.Context, path, name string) error {
	literal, err := dialect.DuckDB.Literal(path)
	if err != nil {
		return err
	}
	q, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	if _, err := q.exec(ctx, "ATTACH "+literal+" AS "+name); err != nil {
		return err
	}
	_, err = q.exec(ctx, "COPY FROM DATABASE "+warehouse+" TO "+name)
	if err == nil {
		err = q.checkpoint(ctx, name)
	}
	if _, detached := q.exec(context.WithoutCancel(ctx), "DETACH "+name); err == nil {
		err = detached
	}
	return err
}

// How long a snapshot waits for transactions that look at all databases at once.
const (
	checkpointPatience = 2 * time.Minute
	checkpointPause    = 20 * time.Millisecond
)

// checkpoint writes all of an attached file into it. Detached, a file is closed
// only when the last transaction that saw it has ended, and such a transaction, of
// a load that looked which tables there are, stands in the way here too.
func (q *session) checkpoint(ctx context.Context, name string) error {
	for begun := time.Now(); ; {
		_, err := q.exec(ctx, "CHECKPOINT "+name)
		if !isConflict(err) || time.Since(begun) > checkpointPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(checkpointPause):
		}
	}
}
