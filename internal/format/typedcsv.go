package format

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Typed CSV is what the SDK speaks where pyarrow is missing: each header field
// is NAME:TYPE, with the types bool, int, float, decimal(P,S), timestamp, localtime
// (without a zone), date, json (lists and structs) and string. An empty field is
// NULL; \e is the empty text, and \\ a backslash.

const wallClock = "2006-01-02T15:04:05.999999"

var typedKinds = map[string]arrow.DataType{
	"bool": arrow.FixedWidthTypes.Boolean, "int": arrow.PrimitiveTypes.Int64, "float": arrow.PrimitiveTypes.Float64,
	"timestamp": &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	"localtime": &arrow.TimestampType{Unit: arrow.Microsecond}, "date": arrow.FixedWidthTypes.Date32, "string": arrow.BinaryTypes.String,
}

// ReadTypedCSV reads rows that the SDK wrote.
func ReadTypedCSV(r io.Reader) (*arrow.Schema, Batches, error) {
	reader := newRecords(bufio.NewReaderSize(r, headBytes), "typed CSV", project.CSVMarks{Delimiter: ',', Quote: '"'})
	header, err := reader.read()
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "typed CSV without a header: %w", err)
	}
	fields := make([]arrow.Field, len(header))
	for i, h := range header {
		cut := strings.LastIndexByte(h, ':')
		ok := false
		if cut > 0 {
			fields[i], ok = typedField(h[:cut], h[cut+1:])
		}
		if !ok {
			return nil, nil, fault.New(fault.Invalid, "typed CSV: header field %q is no NAME:TYPE", h)
		}
	}
	schema := arrow.NewSchema(fields, nil)
	return schema, func(yield func(recordBatch, error) bool) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		rows := 0
		flush := func() bool {
			batch := b.NewRecordBatch()
			rows = 0
			defer batch.Release()
			return yield(batch, nil)
		}
		for {
			record, err := reader.read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil && len(record) != len(fields) {
				err = fault.New(fault.Invalid, "typed CSV, line %d: %d fields where the header has %d", reader.first, len(record), len(fields))
			}
			if err == nil {
				for i, text := range record {
					if err = appendTyped(b.Field(i), text); err != nil {
						err = fault.New(fault.Invalid, "typed CSV, line %d, column %s: %w", reader.first, fields[i].Name, err)
						break
					}
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if rows++; rows >= batchRows && !flush() {
				return
			}
		}
		if rows > 0 {
			flush()
		}
	}, nil
}

// typedField is a column by its name and the word for its type.
func typedField(name, word string) (arrow.Field, bool) {
	if word == "json" {
		return datatype.Field{Name: name, Type: datatype.Of(datatype.JSON)}.Arrow(), true
	}
	var precision, scale int
	if n, _ := fmt.Sscanf(word, "decimal(%d,%d)", &precision, &scale); n == 2 {
		t := datatype.DecimalOf(precision, scale)
		return datatype.Field{Name: name, Type: t}.Arrow(), precision > 0 && t.Validate() == nil
	}
	kind, ok := typedKinds[word]
	return arrow.Field{Name: name, Type: kind, Nullable: true}, ok
}

func appendTyped(b array.Builder, text string) error {
	if text == "" {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		v, err := strconv.ParseBool(text)
		b.Append(v)
		return err
	case *array.Int64Builder:
		v, err := strconv.ParseInt(text, 10, 64)
		b.Append(v)
		return err
	case *array.Float64Builder:
		v, err := strconv.ParseFloat(text, 64)
		b.Append(v)
		return err
	case *array.Decimal128Builder:
		t := b.Type().(*arrow.Decimal128Type)
		v, flaw := value.ParseDecimal(text, int(t.Precision), int(t.Scale))
		if flaw != value.Sound {
			return fault.New(fault.Invalid, "%q %s", text, flaw)
		}
		b.Append(v)
		return nil
	case *array.TimestampBuilder:
		layout := time.RFC3339Nano
		if b.Type().(*arrow.TimestampType).TimeZone == "" {
			layout = wallClock
		}
		v, err := time.Parse(layout, strings.Replace(text, " ", "T", 1))
		if err == nil && v.Nanosecond()%1000 != 0 {
			err = fault.New(fault.Invalid, "%s has nanoseconds; round it to microseconds", text)
		}
		b.Append(arrow.Timestamp(v.UnixMicro()))
		return err
	case *array.Date32Builder:
		v, err := time.Parse(time.DateOnly, text)
		b.Append(arrow.Date32FromTime(v))
		return err
	case *array.StringBuilder:
		if text == `\e` {
			text = ""
		}
		b.Append(strings.ReplaceAll(text, `\\`, `\`))
		return nil
	}
	return fault.New(fault.Internal, "no builder for %T", b)
}

// WriteTypedCSV writes batches for the SDK.
func WriteTypedCSV(w io.Writer, schema *arrow.Schema, batches Batches) error {
	out := csv.NewWriter(w)
	header := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		header[i] = f.Name + ":" + typedName(f.Type)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	record := make([]string, len(header))
	for batch, err := range batches {
		if err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			for i, column := range batch.Columns() {
				record[i] = typedText(column, row)
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
		out.Flush()
		if err := out.Error(); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func typedName(t arrow.DataType) string {
	switch t.ID() {
	case arrow.BOOL:
		return "bool"
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return "int"
	case arrow.FLOAT32, arrow.FLOAT64:
		return "float"
	case arrow.TIMESTAMP:
		if t.(*arrow.TimestampType).TimeZone == "" {
			return "localtime"
		}
		return "timestamp"
	case arrow.DATE32, arrow.DATE64:
		return "date"
	case arrow.DECIMAL128, arrow.DECIMAL256:
		d := t.(arrow.DecimalType)
		return fmt.Sprintf("decimal(%d,%d)", d.GetPrecision(), d.GetScale())
	case arrow.LIST, arrow.LARGE_LIST, arrow.STRUCT:
		return "json" // what JSON has no word for is a text inside of it
	default: // a text
	}
	return "string"
}

func typedText(column arrow.Array, row int) string {
	if column.IsNull(row) {
		return ""
	}
	switch c := column.(type) {
	case *array.String:
		return escapeTyped(c.Value(row))
	case *array.Timestamp:
		layout, t := wallClock, c.DataType().(*arrow.TimestampType)
		if t.TimeZone != "" {
			layout += "-07:00"
		}
		return c.Value(row).ToTime(t.Unit).UTC().Format(layout)
	case *array.Float64:
		return strconv.FormatFloat(c.Value(row), 'g', -1, 64)
	case *array.Float32:
		return strconv.FormatFloat(float64(c.Value(row)), 'g', -1, 32)
	}
	if kind := typedName(column.DataType()); kind == "string" || kind == "json" {
		return escapeTyped(datatype.ValueText(column, row))
	}
	return datatype.ValueText(column, row)
}

func escapeTyped(text string) string {
	if text == "" {
		return `\e`
	}
	return strings.ReplaceAll(text, `\`, `\\`)
}
