package gate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/gate"
	"github.com/tidemill/tidemill/internal/kernel"
)

const batchRows = 65_536

// table is a contract with ten columns and eight kinds of rules: type, required,
// range, multiple, length, pattern, list of values, forbidden values.
func table(b *testing.B) *contract.Table {
	b.Helper()
	none := []contract.OperatorDocument{{Name: "mustBe", Values: []any{0}}}
	doc := contract.Document{ID: "bench", Version: "1", Tables: []contract.TableDocument{{
		Name: "bench", PhysicalName: "raw.bench",
		CustomProperties: []contract.CustomProperty{{Property: "tidemill.onFail", Value: "quarantine"}},
		Properties: []contract.PropertyDocument{
			{Name: "time_hour", LogicalType: "timestamp", Required: true, Options: contract.OptionsDocument{Timezone: new(true)}},
			{Name: "carrier", LogicalType: "string", Required: true, Options: contract.OptionsDocument{MinLength: new(int64(2)), MaxLength: new(int64(2))}},
			{Name: "flight", LogicalType: "integer", Required: true},
			{Name: "tailnum", LogicalType: "string", Options: contract.OptionsDocument{Pattern: "^N[0-9A-Z]{1,5}$"}},
			{Name: "origin", LogicalType: "string", Quality: []contract.QualityDocument{{Metric: "invalidValues", Arguments: contract.ArgumentsDocument{ValidValues: []any{"EWR", "JFK", "LGA"}}, Operators: none}}},
			{Name: "dest", LogicalType: "string", Quality: []contract.QualityDocument{{Metric: "missingValues", Arguments: contract.ArgumentsDocument{MissingValues: []any{"n/a", ""}}, Operators: none}}},
			{Name: "distance", LogicalType: "integer", Options: contract.OptionsDocument{MultipleOf: 1}},
			{Name: "arr_time", LogicalType: "integer", Options: contract.OptionsDocument{Minimum: 0, Maximum: 2359}},
			{Name: "fare", LogicalType: "number", PhysicalType: "DECIMAL(10,2)"},
			{Name: "delay", LogicalType: "number"},
		},
	}}}
	tables, problems := contract.Compile(doc, kernel.Outside())
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	return &tables[0]
}

// text is a batch as a CSV reader delivers it. One row in so many is bad; 0: none.
func text(b *testing.B, bad int) arrow.RecordBatch {
	b.Helper()
	columns := "time_hour carrier flight tailnum origin dest distance arr_time fare delay"
	builder := array.NewRecordBuilder(memory.DefaultAllocator, datatype.Text(strings.Fields(columns)...).Arrow())
	defer builder.Release()
	start := time.Date(2013, 1, 1, 10, 0, 0, 0, time.UTC)
	for i := range batchRows {
		arrival := fmt.Sprint(i % 2360)
		if bad > 0 && i%bad == 0 {
			arrival = "2400"
		}
		for j, v := range []string{
			start.Add(time.Duration(i) * time.Minute).Format(time.RFC3339), []string{"UA", "AA", "B6"}[i%3], fmt.Sprint(i % 9000), fmt.Sprintf("N%d", i%99999),
			[]string{"EWR", "JFK", "LGA"}[i%3], "IAH", fmt.Sprint(i % 3000), arrival, fmt.Sprintf("%d.%02d", i%900, i%100), fmt.Sprintf("%g", float64(i%977)/4),
		} {
			builder.Field(j).(*array.StringBuilder).Append(v)
		}
		builder.Field(10).(*array.StringBuilder).Append("bench.csv")
		builder.Field(11).(*array.Int64Builder).Append(int64(i + 2))
	}
	return builder.NewRecordBatch()
}

// typed is the same as a database delivers it.
func typed(b *testing.B) arrow.RecordBatch {
	b.Helper()
	in := text(b, 0)
	defer in.Release()
	source, err := datatype.FromArrow(in.Schema())
	if err != nil {
		b.Fatal(err)
	}
	g, err := gate.New(gate.Config{Contract: table(b), Source: source})
	if err != nil {
		b.Fatal(err)
	}
	r, err := g.Check(in)
	if err != nil || r.Quarantine != nil {
		b.Fatal(err)
	}
	return r.Good
}

func run(b *testing.B, batch arrow.RecordBatch) {
	defer batch.Release()
	source, err := datatype.FromArrow(batch.Schema())
	if err != nil {
		b.Fatal(err)
	}
	g, err := gate.New(gate.Config{Contract: table(b), Source: source})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := g.Check(batch)
		if err != nil {
			b.Fatal(err)
		}
		r.Release()
	}
	perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / batchRows
	b.ReportMetric(perRow, "ns/row")
	b.ReportMetric(1e9/perRow, "rows/s")
}

func BenchmarkEightRulesOverText(b *testing.B)              { run(b, text(b, 0)) }
func BenchmarkEightRulesOverTextOneInThousand(b *testing.B) { run(b, text(b, 1000)) }
func BenchmarkEightRulesOverTypedColumns(b *testing.B)      { run(b, typed(b)) }
