// Package answer reads what the warehouse answers: Arrow becomes texts for people
// and JSON values for programs.
//
// No digit of a number is lost, and an instant says its zone.
package answer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/format"
)

// Rows is an answer.
type Rows struct {
	Columns []string
	Texts   [][]string
	Values  []map[string]any
	Cut     bool // there are more rows than were wanted
}

// Ask sends a SELECT through the door and reads the answer, at most so many rows
// of it where most is not 0.
func Ask(ctx context.Context, client *api.Client, q door.Query, most int) (Rows, error) {
	found, err := client.Door(ctx, "/v1/query", q)
	if err != nil {
		return Rows{}, err
	}
	defer func() { _ = found.Close() }()
	return Read(found, most)
}

// Through sends a request through the door and reads the JSON that comes back.
func Through[Out any](ctx context.Context, client *api.Client, path string, in any) (out Out, err error) {
	found, err := client.Door(ctx, path, in)
	if err != nil {
		return out, err
	}
	defer func() { _ = found.Close() }()
	b, err := io.ReadAll(found)
	if err != nil {
		return out, fault.New(fault.Unavailable, "the answer broke off: %w", err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fault.New(fault.Internal, "answer to %s: %w", path, err)
	}
	return out, nil
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
