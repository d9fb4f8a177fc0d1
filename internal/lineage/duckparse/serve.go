// Package duckparse finds the tables of a SELECT with DuckDB's own parser.
//
// The parser is C++ code that reads what people type, so it runs in a child
// process: this program again, with a hidden argument, which calls Serve. The
// child opens an instance in memory without any access to files or network and
// only parses: nothing is bound, planned or run. The client kills a child that
// hangs or grows, blames the text that it was reading, and goes on with the rest.
package duckparse

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the driver

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

const maxLine = 8 << 20

type request struct {
	Text string `json:"text"`
}

// serialize writes the tree without what is empty or as always.
const serialize = `SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)::VARCHAR`

// Serve answers requests, one JSON line each, until the input ends. It is the
// child's whole life.
func Serve(in io.Reader, out io.Writer) error {
	db, err := sql.Open("duckdb", "?access_mode=automatic&threads=1&memory_limit=512MB&enable_external_access=false&autoinstall_known_extensions=false&autoload_known_extensions=false")
	if err != nil {
		return fault.New(fault.Internal, "open the SQL parser: %w", err)
	}
	defer func() { _ = db.Close() }()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "SET lock_configuration = true"); err != nil {
		return fault.New(fault.Internal, "lock the SQL parser: %w", err)
	}
	statement, err := db.PrepareContext(ctx, serialize)
	if err != nil {
		return fault.New(fault.Internal, "prepare the SQL parser: %w", err)
	}
	defer func() { _ = statement.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	buffered := bufio.NewWriterSize(out, 64<<10)
	encoder := json.NewEncoder(buffered)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fault.New(fault.Internal, "read a request: %w", err)
		}
		if err := encoder.Encode(parse(ctx, statement, r.Text)); err != nil {
			return fault.New(fault.Internal, "write an answer: %w", err)
		}
		// Each answer leaves at once: the client must know which text is being read.
		if err := buffered.Flush(); err != nil {
			return fault.New(fault.Internal, "write an answer: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return fault.New(fault.Internal, "read requests: %w", err)
	}
	return nil
}

func bad(kind project.FaultKind, offset int, format string, args ...any) project.Lineage {
	return project.Lineage{Fault: &project.LineageFault{Kind: kind, Message: fmt.Sprintf(format, args...), Offset: offset}}
}

func parse(ctx context.Context, statement *sql.Stmt, text string) project.Lineage {
	if strings.ContainsRune(text, 0) {
		return bad(project.FaultSyntax, strings.IndexByte(text, 0), "the text holds a NUL character")
	}
	var answer string
	if err := statement.QueryRowContext(ctx, text).Scan(&answer); err != nil {
		return bad(project.FaultSyntax, -1, "%s", firstLine(err.Error()))
	}
	return read(text, answer)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
