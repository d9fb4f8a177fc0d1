package storetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/project"
)

// columns are what every store must hold exactly.
var columns = []Column{
	{datatype.Of(datatype.Bool), []any{"true", "false", nil}},
	{datatype.Of(datatype.Int16), []any{"-32768", "32767", nil}},
	{datatype.Of(datatype.Int32), []any{"-2147483648", "2147483647", nil}},
	{datatype.Of(datatype.Int64), []any{"-9223372036854775808", "9223372036854775807", nil}},
	{datatype.Of(datatype.Float32), []any{"1.1754944e-38", "NaN", nil}},
	{datatype.Of(datatype.Float64), []any{"0.1", "-Inf", nil}},
	{datatype.Of(datatype.Float64), []any{"5e-324", "1.7976931348623157e+308", nil}},
	{datatype.DecimalOf(38, 10), []any{"9999999999999999999999999999.9999999999", "-0.0000000001", nil}},
	{datatype.DecimalOf(10, 2), []any{"99999999.99", "0.05", nil}},
	{datatype.Of(datatype.String), []any{"", "é 飛行機 🛫 'quoted' \"x\" \\ \t\r\n", nil}},
	{datatype.Of(datatype.Date), []any{"0001-01-01", "9999-12-31", nil}},
	{datatype.Of(datatype.Timestamp), []any{"2013-03-10T02:30:00.123456", "1969-12-31T23:59:59.999999", nil}},
	{datatype.Of(datatype.TimestampTZ), []any{"2013-03-10T07:30:00.000001Z", "9999-12-31T23:59:59.999999Z", nil}},
}

func (h Harness) types(t *testing.T) {
	s := h.open(t)
	all := append(append([]Column(nil), columns...), h.Types...)
	if h.NUL {
		all = append(all, Column{datatype.Of(datatype.String), []any{"a\x00b", "\x00", nil}})
	}
	schema := datatype.Schema{Fields: make([]datatype.Field, len(all))}
	rows := [][]any{make([]any, len(all)), make([]any, len(all)), make([]any, len(all))}
	for i, c := range all {
		schema.Fields[i] = datatype.Field{Name: fmt.Sprintf("c%02d", i), Type: c.Type}
		for n := range rows {
			rows[n][i] = c.Values[n]
		}
	}
	mode := project.ModeReplace
	if !h.has(mode) {
		mode = h.Modes[0]
	}
	spec := with(Spec(mode, Day(0)), schema)
	spec.Keys, spec.EventTime = nil, ""
	Attempt{Run: "a", Fence: 1, Spec: spec, Rows: rows}.must(t, s)
	if diff := cmp.Diff(want(t, schema, rows...), Read(t, s, Table)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if h.NUL {
		return
	}
	text := datatype.Schema{Fields: []datatype.Field{{Name: "c", Type: datatype.Of(datatype.String)}}}
	spec = with(spec, text)
	spec.Table.Name = "texts"
	if _, err := (Attempt{Run: "nul", Fence: 2, Spec: spec, Rows: [][]any{{"fine"}, {"a\x00b"}}}).Publish(t.Context(), t, s); err == nil {
		t.Error("a text with NUL was published")
	}
	if rows := Read(t, s, spec.Table); len(rows) > 0 {
		t.Errorf("a part of a refused load is there: %q", rows)
	}
}
