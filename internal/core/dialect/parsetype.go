package dialect

import (
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

var simpleTypes = map[string]datatype.Kind{
	"boolean": datatype.Bool, "bool": datatype.Bool, "logical": datatype.Bool,
	"smallint": datatype.Int16, "int2": datatype.Int16, "int16": datatype.Int16, "short": datatype.Int16,
	"tinyint": datatype.Int16, "utinyint": datatype.Int16, "int1": datatype.Int16,
	"integer": datatype.Int32, "int": datatype.Int32, "int4": datatype.Int32, "int32": datatype.Int32,
	"usmallint": datatype.Int32, "signed": datatype.Int32, "serial": datatype.Int32,
	"bigint": datatype.Int64, "int8": datatype.Int64, "int64": datatype.Int64, "long": datatype.Int64,
	"uinteger": datatype.Int64, "oid": datatype.Int64, "bigserial": datatype.Int64,
	"ubigint": datatype.Uint64, "uint64": datatype.Uint64,
	"real": datatype.Float32, "float4": datatype.Float32, "float32": datatype.Float32,
	"double precision": datatype.Float64, "double": datatype.Float64, "float8": datatype.Float64, "float64": datatype.Float64,
	"text": datatype.String, "string": datatype.String, "varchar": datatype.String, "character varying": datatype.String,
	"char": datatype.String, "character": datatype.String, "bpchar": datatype.String, "name": datatype.String,
	"bytea": datatype.Bytes, "blob": datatype.Bytes, "binary": datatype.Bytes, "varbinary": datatype.Bytes, "bytes": datatype.Bytes,
	"uuid": datatype.UUID, "date": datatype.Date,
	"time": datatype.Time, "time without time zone": datatype.Time,
	"timestamp": datatype.Timestamp, "timestamp without time zone": datatype.Timestamp, "datetime": datatype.Timestamp,
	"timestamp_ntz": datatype.Timestamp, "timestamp_s": datatype.Timestamp, "timestamp_ms": datatype.Timestamp,
	"timestamptz": datatype.TimestampTZ, "timestamp with time zone": datatype.TimestampTZ, "timestamp_tz": datatype.TimestampTZ,
	"json": datatype.JSON, "jsonb": datatype.JSON,
}

// ParseType reads a type as the engine, or a contract written for it, names it:
// VARCHAR(20), numeric(10,2), timestamp(6) with time zone, INTEGER[], STRUCT(a INTEGER).
// A name that means different things to engines, such as a bare FLOAT or DECIMAL,
// is read as this engine does. The error is of kind Invalid.
func (d Dialect) ParseType(text string) (datatype.Type, error) {
	p := typeParser{dialect: d, whole: text, rest: text}
	t, err := p.parse()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = p.refuse()
	}
	if err != nil {
		return datatype.Type{}, err
	}
	return t, t.Validate()
}

type typeParser struct {
	dialect Dialect
	whole   string
	rest    string
	depth   int
}

func (p *typeParser) refuse() error {
	return fault.New(fault.Invalid, "type %q is not supported", p.whole)
}

func (p *typeParser) parse() (datatype.Type, error) {
	if p.depth++; p.depth > 64 {
		return datatype.Type{}, p.refuse()
	}
	defer func() { p.depth-- }()
	name := p.words()
	var t datatype.Type
	var err error
	if name == "struct" || name == "row" {
		t, err = p.members()
	} else {
		t, err = p.leaf(name)
	}
	for err == nil {
		p.rest = strings.TrimLeft(p.rest, " ")
		if !strings.HasPrefix(p.rest, "[") {
			return t, nil
		}
		bounds, after, closed := strings.Cut(p.rest[1:], "]")
		if !closed || strings.Trim(bounds, "0123456789") != "" {
			return datatype.Type{}, p.refuse()
		}
		p.rest, t = after, datatype.ListOf(t)
	}
	return datatype.Type{}, err
}

// words reads the name of a type, in lower case, up to what is no part of it.
func (p *typeParser) words() string {
	end := strings.IndexAny(p.rest, "()[],")
	if end < 0 {
		end = len(p.rest)
	}
	name := strings.Join(strings.Fields(strings.ToLower(p.rest[:end])), " ")
	p.rest = p.rest[end:]
	return name
}

// arguments reads (n, m), and the words that may follow, as in timestamp(6) with time zone.
func (p *typeParser) arguments() (numbers []int, tail string, err error) {
	inner, after, closed := strings.Cut(p.rest[1:], ")")
	if !closed {
		return nil, "", p.refuse()
	}
	for part := range strings.SplitSeq(inner, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 {
			return nil, "", p.refuse()
		}
		numbers = append(numbers, n)
	}
	p.rest = after
	return numbers, p.words(), nil
}

func (p *typeParser) leaf(name string) (datatype.Type, error) {
	var numbers []int
	if strings.HasPrefix(p.rest, "(") {
		var tail string
		var err error
		if numbers, tail, err = p.arguments(); err != nil {
			return datatype.Type{}, err
		}
		name = strings.TrimSpace(name + " " + tail)
	}
	switch name {
	case "decimal", "numeric", "number":
		return p.decimal(numbers)
	case "float":
		if len(numbers) == 1 && numbers[0] > 24 || len(numbers) == 0 && p.dialect.engine != engineDuckDB {
			return datatype.Of(datatype.Float64), nil
		}
		return datatype.Of(datatype.Float32), nil
	case "timestamp_ns":
		return datatype.Type{Kind: datatype.Timestamp, Precision: 9}, nil
	case "time_ns":
		return datatype.Type{Kind: datatype.Time, Precision: 9}, nil
	case "hugeint":
		return datatype.DecimalOf(38, 0), nil // values of 39 digits are refused when they come
	}
	kind, known := simpleTypes[name]
	t := datatype.Of(kind)
	switch {
	case !known || len(numbers) > 1:
		return datatype.Type{}, p.refuse()
	case kind == datatype.String && len(numbers) == 1:
		t.Length = numbers[0]
	case kind == datatype.String && (name == "char" || name == "character") && p.dialect.engine == enginePostgreSQL:
		t.Length = 1
	case (kind == datatype.Time || kind == datatype.Timestamp || kind == datatype.TimestampTZ) && len(numbers) == 1:
		if numbers[0] > 6 {
			t.Precision = 9
		}
	case len(numbers) == 1 && kind != datatype.Bytes:
		return datatype.Type{}, p.refuse()
	}
	return t, nil
}

func (p *typeParser) decimal(numbers []int) (datatype.Type, error) {
	switch {
	case len(numbers) == 0 && p.dialect.engine == engineDuckDB:
		return datatype.DecimalOf(18, 3), nil
	case len(numbers) == 0:
		return datatype.Of(datatype.Decimal), nil
	case len(numbers) == 1 && numbers[0] > 0:
		return datatype.DecimalOf(numbers[0], 0), nil
	case len(numbers) == 2 && numbers[0] > 0:
		return datatype.DecimalOf(numbers[0], numbers[1]), nil
	}
	return datatype.Type{}, p.refuse()
}

// members reads ("a" INTEGER, b VARCHAR).
func (p *typeParser) members() (datatype.Type, error) {
	if !strings.HasPrefix(p.rest, "(") {
		return datatype.Type{}, p.refuse()
	}
	var fields []datatype.Field
	for {
		p.rest = strings.TrimLeft(p.rest[1:], " ")
		name, ok := p.memberName()
		if !ok {
			return datatype.Type{}, p.refuse()
		}
		t, err := p.parse()
		if err != nil {
			return datatype.Type{}, err
		}
		fields = append(fields, datatype.Field{Name: name, Type: t})
		if strings.HasPrefix(p.rest, ")") {
			p.rest = p.rest[1:]
			return datatype.StructOf(fields...), nil
		}
		if !strings.HasPrefix(p.rest, ",") {
			return datatype.Type{}, p.refuse()
		}
	}
}

func (p *typeParser) memberName() (string, bool) {
	if !strings.HasPrefix(p.rest, `"`) {
		name, after, ok := strings.Cut(p.rest, " ")
		p.rest = after
		return name, ok && name != ""
	}
	var name strings.Builder
	for rest := p.rest[1:]; ; {
		part, after, closed := strings.Cut(rest, `"`)
		name.WriteString(part)
		if !closed {
			return "", false
		}
		if !strings.HasPrefix(after, `"`) {
			p.rest = after
			return name.String(), name.Len() > 0
		}
		name.WriteByte('"')
		rest = after[1:]
	}
}
