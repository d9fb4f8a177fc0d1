// Package answer reads what the warehouse answers: Arrow becomes texts for people
// and JSON values for programs.
//
// No digit of a number is lost, and an instant says its zone.
package answer

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/format"
)

// Rows is an answer.
type Rows struct {
	Columns []string
	Texts   [][]string
	Values  []map[string]any
	Cut     bool // there are more rows than were wanted
}

// Read reads Arrow IPC to its end, or to the row most where that is not 0.
func Read(from io.Reader, most int) (Rows, error) {
	var out Rows
	schema, batches, err := format.ReadIPC(from)
	if err != nil {
		return out, err
	}
	for _, f := range schema.Fields() {
		name := f.Name
		for n := 1; slices.Contains(out.Columns, name); n++ { // a SELECT may name two alike; JSON may not
			name = fmt.Sprintf("%s_%d", f.Name, n)
		}
		out.Columns = append(out.Columns, name)
	}
	for batch, err := range batches {
		if err != nil {
			return out, err
		}
		for row := range int(batch.NumRows()) {
			if most > 0 && len(out.Texts) == most {
				out.Cut = true
				return out, nil
			}
			texts, values := make([]string, len(out.Columns)), map[string]any{}
			for i, c := range batch.Columns() {
				texts[i] = text(c, row)
				values[out.Columns[i]] = value(c, row)
			}
			out.Texts, out.Values = append(out.Texts, texts), append(out.Values, values)
		}
	}
	return out, nil
}

func text(c arrow.Array, row int) string {
	if c.IsNull(row) {
		return "NULL"
	}
	if t, ok := c.(*array.Timestamp); ok {
		unit := t.DataType().(*arrow.TimestampType)
		said := t.Value(row).ToTime(unit.Unit).UTC().Format("2006-01-02 15:04:05.999999")
		if unit.TimeZone != "" {
			said += "Z"
		}
		return said
	}
	return datatype.ValueText(c, row)
}

func value(c arrow.Array, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c := c.(type) {
	case *array.Timestamp:
		return strings.Replace(text(c, row), " ", "T", 1)
	case *array.String:
		return c.Value(row)
	case *array.Decimal128, *array.Decimal256:
		return json.Number(datatype.ValueText(c, row)) // JSON's numbers have as many digits as they need
	}
	return c.GetOneForMarshal(row)
}
