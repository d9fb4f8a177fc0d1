package dialect

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

var duckNames = map[datatype.Kind]string{
	datatype.Bool: "BOOLEAN", datatype.Int16: "SMALLINT", datatype.Int32: "INTEGER", datatype.Int64: "BIGINT",
	datatype.Uint64: "UBIGINT", datatype.Float32: "FLOAT", datatype.Float64: "DOUBLE", datatype.String: "VARCHAR",
	datatype.Bytes: "BLOB", datatype.UUID: "UUID", datatype.Date: "DATE", datatype.Time: "TIME",
	datatype.Timestamp: "TIMESTAMP", datatype.TimestampTZ: "TIMESTAMP WITH TIME ZONE", datatype.JSON: "JSON",
}

var postgresNames = map[datatype.Kind]string{
	datatype.Bool: "boolean", datatype.Int16: "smallint", datatype.Int32: "integer", datatype.Int64: "bigint",
	datatype.Uint64: "numeric(20,0)", datatype.Float32: "real", datatype.Float64: "double precision", datatype.String: "text",
	datatype.Bytes: "bytea", datatype.UUID: "uuid", datatype.Date: "date", datatype.Time: "time without time zone",
	datatype.Timestamp: "timestamp without time zone", datatype.TimestampTZ: "timestamp with time zone", datatype.JSON: "jsonb",
}

// TypeName returns the engine's name of the type, or an error of kind Invalid
// where the engine has none that holds every value.
func (d Dialect) TypeName(t datatype.Type) (string, error) {
	if err := t.Validate(); err != nil {
		return "", err
	}
	var name string
	switch d.engine {
	case engineDuckDB:
		name = d.duckName(t)
	case enginePostgreSQL:
		name = postgresName(t)
	}
	if name == "" {
		return "", fault.New(fault.Invalid, "%s has no exact type for %s", d.name, t)
	}
	return name, nil
}

func (d Dialect) duckName(t datatype.Type) string {
	switch {
	case t.Kind == datatype.Decimal && t.Precision == 0:
		return "" // DuckDB reads a bare DECIMAL as (18,3)
	case t.Kind == datatype.Decimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case t.Precision == 9:
		return map[datatype.Kind]string{datatype.Timestamp: "TIMESTAMP_NS", datatype.Time: "TIME_NS"}[t.Kind]
	case t.Kind == datatype.List:
		if elem := d.duckName(*t.Elem); elem != "" {
			return elem + "[]"
		}
		return ""
	case t.Kind == datatype.Struct:
		members := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			member := d.duckName(f.Type)
			if member == "" {
				return ""
			}
			members[i] = d.Quote(f.Name) + " " + member
		}
		return "STRUCT(" + strings.Join(members, ", ") + ")"
	}
	return duckNames[t.Kind]
}

func postgresName(t datatype.Type) string {
	switch {
	case t.Kind == datatype.Decimal && t.Precision == 0:
		return "numeric"
	case t.Kind == datatype.Decimal:
		return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
	case t.Precision == 9:
		return ""
	case t.Kind == datatype.String && t.Length > 0 && t.Length <= 10485760:
		return fmt.Sprintf("character varying(%d)", t.Length)
	case t.Kind == datatype.Struct, t.Kind == datatype.List && t.Elem.IsNested():
		return "jsonb" // PostgreSQL's arrays of arrays are rectangular, and its composites need a type of their own
	case t.Kind == datatype.List:
		if elem := postgresName(*t.Elem); elem != "" {
			return elem + "[]"
		}
		return ""
	}
	return postgresNames[t.Kind]
}

// CastTry returns an expression that is the text cast to t, and NULL where the
// engine cannot read it. It says nothing about what the engine rounds or trims:
// callers that need exactness guard the text first. False means that the engine
// has no cast that cannot fail.
func (d Dialect) CastTry(text string, t datatype.Type) (string, bool) {
	name, err := d.TypeName(t)
	if err != nil {
		return "", false
	}
	if d.engine == engineDuckDB {
		return "TRY_CAST(" + text + " AS " + name + ")", true
	}
	// PostgreSQL has no cast that returns NULL before version 16; a CASE whose
	// conditions admit only text that the cast can read takes its place.
	guard := ""
	switch {
	case t.Kind == datatype.String && t.Length == 0:
		return "(" + text + ")::text", true
	case t.Kind == datatype.Bool:
		return fmt.Sprintf("(CASE WHEN lower(%s) IN ('true','t','yes','y','1') THEN true WHEN lower(%s) IN ('false','f','no','n','0') THEN false END)", text, text), true
	case t.Kind == datatype.UUID:
		guard = fmt.Sprintf("(%s) ~ '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$'", text)
	case t.IsInteger():
		least, most := Range(t)
		guard = fmt.Sprintf("CASE WHEN char_length(%s) < 1000 AND (%s) ~ '^[+-]?[0-9]+$' THEN (%s)::numeric BETWEEN %s AND %s ELSE false END", text, text, text, least, most)
	case t.Kind == datatype.Decimal:
		guard = fmt.Sprintf("CASE WHEN char_length(%s) < 1000 AND (%s) ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$' THEN abs(round((%s)::numeric, %d)) < 1e%d ELSE false END",
			text, text, text, t.Scale, t.Precision-t.Scale)
		if t.Precision == 0 {
			guard = fmt.Sprintf("char_length(%s) < 1000 AND (%s) ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$'", text, text)
		}
	default:
		return "", false
	}
	return fmt.Sprintf("(CASE WHEN %s THEN (%s)::%s END)", guard, text, name), true
}

// Range returns the least and the greatest number of an integer type, in decimal digits.
func Range(t datatype.Type) (least, most string) {
	switch t.Kind {
	case datatype.Int16:
		return "-32768", "32767"
	case datatype.Int32:
		return "-2147483648", "2147483647"
	case datatype.Uint64:
		return "0", "18446744073709551615"
	default:
		return "-9223372036854775808", "9223372036854775807"
	}
}
