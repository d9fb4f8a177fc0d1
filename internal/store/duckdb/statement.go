package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// column is a column of a SELECT as the engine describes it.
type column struct {
	name   string
	engine string        // the engine's type
	typ    datatype.Type // what holds each of its values
	cast   bool          // the engine's type is not the one that typ has there
}

// selectOnly makes sure that the text is one SELECT, and returns the names of its
// parameters by position. Nothing runs.
func (q *session) selectOnly(text string) ([]string, error) {
	var names []string
	err := q.raw(func(conn *duckdb.Conn) error {
		prepared, err := conn.Prepare(text)
		if err != nil {
			if _, ok := errors.AsType[*duckdb.Error](err); !ok {
				return fault.New(fault.Invalid, "the SQL must be one SELECT; it is several statements, or none")
			}
			return err
		}
		defer prepared.Close()
		statement, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return fault.New(fault.Internal, "the driver's statement is a %T", prepared)
		}
		kind, err := statement.StatementType()
		if err != nil {
			return err
		}
		if kind != duckdb.STATEMENT_TYPE_SELECT {
			return fault.New(fault.Invalid, "the SQL must be one SELECT: it may not change anything")
		}
		for i := range statement.NumInput() {
			name, err := statement.ParamName(i + 1)
			if err != nil {
				return err
			}
			names = append(names, name)
		}
		return nil
	})
	return names, failed("preparing the SQL", err)
}

// named returns the values that a statement refers to, as database/sql takes them.
func named(s dialect.Statement) ([]any, error) {
	used, err := s.Used()
	if err != nil {
		return nil, err
	}
	args := make([]any, len(used))
	for i, p := range used {
		args[i] = sql.Named(p.Name, p.Value)
	}
	return args, nil
}

// describe returns the columns of a SELECT without running it.
func (q *session) describe(ctx context.Context, s dialect.Statement) ([]column, error) {
	if _, err := q.selectOnly(s.SQL); err != nil {
		return nil, err
	}
	args, err := named(s)
	if err != nil {
		return nil, err
	}
	return q.columns(ctx, "DESCRIBE "+s.SQL, args...)
}

// columns reads what DESCRIBE answers.
func (q *session) columns(ctx context.Context, describe string, args ...any) ([]column, error) {
	rows, err := q.conn.QueryContext(ctx, "SELECT column_name, column_type FROM ("+withoutEnd(describe)+"\n)", args...)
	if err != nil {
		return nil, failed("describing the SELECT", err)
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.engine); err != nil {
			return nil, failed("describing the SELECT", err)
		}
		if err := c.resolve(); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, failed("describing the SELECT", rows.Err())
}

// resolve finds the type that holds each value of the engine's type.
func (c *column) resolve() error {
	if strings.HasPrefix(c.engine, "ENUM(") {
		c.typ, c.cast = datatype.Of(datatype.String), true
		return nil
	}
	var err error
	if c.typ, err = dialect.DuckDB.ParseType(c.engine); err != nil {
		return fault.New(fault.Invalid, "column %s is a %s, which tables cannot hold; cast it in the SELECT", c.name, c.engine)
	}
	name, err := dialect.DuckDB.TypeName(c.typ)
	c.cast = err == nil && name != c.engine
	return err
}

func schemaOf(columns []column) datatype.Schema {
	fields := make([]datatype.Field, len(columns))
	for i, c := range columns {
		fields[i] = datatype.Field{Name: c.name, Type: c.typ}
	}
	return datatype.Schema{Fields: fields}
}

// withoutEnd cuts the semicolon that ends a statement, and what follows it:
// there can only be space and comments.
func withoutEnd(text string) string {
	for i := 0; i < len(text); {
		switch rest := text[i:]; {
		case text[i] == ';':
			return text[:i]
		case text[i] == '\'' || text[i] == '"':
			i += quoted(rest, i > 0 && text[i] == '\'' && (text[i-1] == 'e' || text[i-1] == 'E'))
		case strings.HasPrefix(rest, "--"):
			i += until(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += until(rest, "*/")
		case text[i] == '$':
			i += dollarQuoted(rest)
		default:
			i++
		}
	}
	return text
}

// quoted is the length of the quoted text that begins here. Doubled quotes are two texts side by side.
func quoted(text string, backslash bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case backslash && text[i] == '\\':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return len(text)
}

// dollarQuoted is the length of $tag$ … $tag$, or one.
func dollarQuoted(text string) int {
	end := strings.IndexByte(text[1:], '$')
	if end < 0 {
		return 1
	}
	mark := text[:end+2]
	if strings.ContainsFunc(mark[1:len(mark)-1], func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r < 0x80
	}) {
		return 1
	}
	return len(mark) + until(text[len(mark):], mark)
}

func until(text, mark string) int {
	if i := strings.Index(text, mark); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}

// exactly returns an expression that is the column as a value of the type
// wanted, and an error inside the engine where a value does not fit. A cast that
// could change values in silence is refused.
func (c column) exactly(wanted datatype.Type) (string, error) {
	name, from := quote(c.name), c.typ
	typeName, err := dialect.DuckDB.TypeName(wanted)
	if err != nil {
		return "", err
	}
	cast := fmt.Sprintf("CAST(%s AS %s)", name, typeName)
	fit, reason := datatype.Compare(from, wanted)
	switch {
	case fit == datatype.Exact || fit == datatype.Widened:
		return cast, nil
	case fit == datatype.Narrowed && from.Kind == datatype.String && wanted.Kind == datatype.String:
		return fmt.Sprintf("CASE WHEN length(%s) > %d THEN error('column %s: a text has more than %d characters') ELSE %s END",
			name, wanted.Length, strings.ReplaceAll(c.name, "'", "''"), wanted.Length, name), nil
	case fit == datatype.Narrowed && (from.IsNumber() && wanted.IsNumber() || from.Kind == wanted.Kind && !from.IsNested()):
		// What is the same value on its way back was not changed on its way there.
		try := fmt.Sprintf("TRY_CAST(%s AS %s)", name, typeName)
		return fmt.Sprintf("CASE WHEN TRY_CAST(%s AS %s) IS NOT DISTINCT FROM %s THEN %s ELSE error('column %s: the value ' || CAST(%s AS VARCHAR) || ' does not fit %s') END",
			try, c.engine, name, try, strings.ReplaceAll(c.name, "'", "''"), name, wanted), nil
	}
	return "", fault.New(fault.Invalid, "column %s is a %s and must be a %s: %s; cast it in the SELECT", c.name, from, wanted, reason)
}
