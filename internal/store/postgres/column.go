package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/pgarrow"
)

// column is a column of a SELECT or of a table.
type column struct {
	name   string
	oid    uint32
	typmod int32
	engine string        // the engine's name of the type; of a SELECT only where it was looked up
	typ    datatype.Type // what holds each of its values
}

// resolve finds the type that holds each value of the engine's type; false where none does.
func (c *column) resolve() (ok bool) {
	c.typ, ok = pgarrow.TypeOf(c.oid, c.typmod)
	return ok
}

// describe returns the columns of a SELECT, and its positional form, without running it.
func (q *session) describe(ctx context.Context, s dialect.Statement) (text string, args []any, columns []column, err error) {
	if text, args, err = bound(s); err != nil {
		return "", nil, nil, err
	}
	prepared, err := q.conn.PgConn().Prepare(ctx, "", text, nil)
	if err != nil {
		return "", nil, nil, failed(ctx, "preparing the SQL", err)
	}
	if len(prepared.Fields) == 0 {
		return "", nil, nil, fault.New(fault.Invalid, "the SQL must be one SELECT with columns")
	}
	columns, err = q.resolved(ctx, prepared.Fields)
	return text, args, columns, err
}

// resolved finds the types of a result's columns. Values of an enumeration are texts.
func (q *session) resolved(ctx context.Context, fields []pgconn.FieldDescription) ([]column, error) {
	columns := make([]column, len(fields))
	for i, f := range fields {
		c := column{name: f.Name, oid: f.DataTypeOID, typmod: f.TypeModifier}
		if !c.resolve() {
			var kind string
			if err := q.row(ctx, "SELECT t.typtype::text, pg_catalog.format_type(t.oid, $2) FROM pg_catalog.pg_type t WHERE t.oid = $1", []any{c.oid, c.typmod}, &kind, &c.engine); err != nil {
				return nil, failed(ctx, "looking up the type of column "+c.name, err)
			}
			if kind != "e" && c.engine != "citext" {
				return nil, fault.New(fault.Invalid, "column %s is a %s, which tables cannot hold; cast it in a query, for example CAST(%s AS text)", c.name, c.engine, quote(c.name))
			}
			c.typ = datatype.Of(datatype.String)
		}
		columns[i] = c
	}
	return columns, nil
}

// bounded refuses numbers that another store might have to round.
func bounded(columns []column) error {
	for _, c := range columns {
		if c.typ.Kind == datatype.Decimal && c.typ.Precision == 0 {
			return fault.New(fault.Invalid, "column %s is a numeric without precision and scale, so that no number of digits holds each of its values; cast it in a query, for example CAST(%s AS numeric(38,10))",
				c.name, quote(c.name))
		}
	}
	return nil
}

func schemaOf(columns []column) datatype.Schema {
	fields := make([]datatype.Field, len(columns))
	for i, c := range columns {
		fields[i] = datatype.Field{Name: c.name, Type: c.typ}
	}
	return datatype.Schema{Fields: fields}
}

// exactly returns an expression that is the column as a value of the type
// wanted. Values that do not fit are told by misfit: a cast of PostgreSQL's
// rounds, where it does not fail.
func (c column) exactly(wanted datatype.Type) (expression, misfit string, err error) {
	name, from := quote(c.name), c.typ
	typeName, err := engine.TypeName(wanted)
	if err != nil {
		return "", "", fmt.Errorf("column %s: %w", c.name, err)
	}
	cast := fmt.Sprintf("CAST(%s AS %s)", name, typeName)
	fit, reason := datatype.Compare(from, wanted)
	switch {
	case fit == datatype.Exact || fit == datatype.Widened:
		return cast, "", nil
	case fit == datatype.Narrowed && from.Kind == datatype.String && wanted.Kind == datatype.String:
		return cast, fmt.Sprintf("char_length(CAST(%s AS text)) > %d", name, wanted.Length), nil
	case fit == datatype.Narrowed && from.IsNumber() && wanted.IsNumber():
		return cast, c.misfits(wanted), nil
	}
	return "", "", fault.New(fault.Invalid, "column %s is a %s and must be a %s: %s; cast it in the SELECT", c.name, from, wanted, reason)
}

// misfits is the condition that a number is none of the wanted type. It fails for
// no number. What is the same number on its way back fits.
func (c column) misfits(wanted datatype.Type) string {
	name := quote(c.name)
	exact, special := name+"::numeric", "FALSE"
	if c.typ.IsFloat() {
		exact = name + "::text::numeric" // the shortest text that is this number; a cast keeps 15 digits
		special = name + "::text IN ('NaN', 'Infinity', '-Infinity')"
	}
	real := "float8"
	if wanted.Kind == datatype.Float32 {
		real = "real"
	}
	switch {
	case wanted.IsFloat() && c.typ.IsFloat():
		return fmt.Sprintf("(CASE WHEN %[2]s OR %[1]s = 0 THEN FALSE WHEN abs(%[1]s) >= 3.4028235677973366e38 OR abs(%[1]s) < 7.1e-46 THEN TRUE ELSE %[1]s::real::float8 <> %[1]s END)", name, special)
	case wanted.IsFloat() && c.typ.IsInteger():
		return fmt.Sprintf("(CASE WHEN abs(%[1]s::numeric) > 9223372036854774784 THEN TRUE ELSE %[1]s::%[2]s::int8 <> %[1]s END)", name, real)
	case wanted.IsFloat():
		return fmt.Sprintf("(CASE WHEN abs(%[1]s) > 1e37 OR abs(%[1]s) BETWEEN 1e-400 AND 1e-37 THEN TRUE ELSE %[1]s::%[2]s::text::numeric <> %[1]s END)", exact, real)
	case wanted.Kind == datatype.Decimal && wanted.Precision == 0:
		return special
	case wanted.Kind == datatype.Decimal:
		return fmt.Sprintf("(CASE WHEN %[1]s THEN TRUE ELSE abs(%[2]s) >= 1e%[3]d OR round(%[2]s, %[4]d) <> %[2]s END)",
			special, exact, wanted.Precision-wanted.Scale, wanted.Scale)
	}
	least, most := dialect.Range(wanted)
	return fmt.Sprintf("(CASE WHEN %[1]s THEN TRUE ELSE %[2]s NOT BETWEEN %[3]s AND %[4]s OR trunc(%[2]s) <> %[2]s END)", special, exact, least, most)
}

// selects reports whether the statement begins as a SELECT does. What it may do
// is the transaction's concern, which is read-only.
func selects(text string) bool {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v(")
		switch {
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			text = text[comment(text):]
		default:
			end := strings.IndexFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
			if end < 0 {
				end = len(text)
			}
			switch strings.ToLower(text[:end]) {
			case "select", "with", "values", "table":
				return true
			}
			return false
		}
	}
}

// comment is the length of the block comment that begins here; they nest.
func comment(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(text[i:], "*/"):
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}
