package gate

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/kernel"
)

// QuarantineSchema is the columns of quarantined rows. The publisher adds the
// run. Original is a JSON object from the source's column names to the values
// as they were read, as text that the gate reads again, or null.
var QuarantineSchema = datatype.Schema{Fields: []datatype.Field{
	{Name: "rule", Type: datatype.Of(datatype.String), Required: true},
	{Name: "field", Type: datatype.Of(datatype.String), Required: true},
	{Name: "reason", Type: datatype.Of(datatype.String), Required: true},
	{Name: "value", Type: datatype.Of(datatype.String)},
	{Name: "file", Type: datatype.Of(datatype.String)},
	{Name: "line", Type: datatype.Of(datatype.Int64)},
	{Name: "original", Type: datatype.Of(datatype.String), Required: true},
	{Name: "contract", Type: datatype.Of(datatype.String), Required: true},
}}

// quarantine builds the rows set aside, nil where there are none. A row is one
// row there, under the first rule that it fails; the reason names the others.
func (g *Gate) quarantine(batch arrow.RecordBatch, columns []arrow.Array) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(g.mem, QuarantineSchema.Arrow())
	defer b.Release()
	text := func(i int, s string) { b.Field(i).(*array.StringBuilder).Append(s) }
	rows := 0
	for i, first := range g.scratch.first {
		if first == 0 {
			continue
		}
		rows++
		r := g.rules[first-1]
		e := g.example(r, batch, columns, i)
		original, err := g.original(batch, i)
		if err != nil {
			return nil, err
		}
		text(0, r.name)
		text(1, r.field)
		text(2, e.Reason+g.besides(r, i))
		if e.Null {
			b.Field(3).AppendNull()
		} else {
			text(3, e.Value)
		}
		if e.File == "" {
			b.Field(4).AppendNull()
		} else {
			text(4, e.File)
		}
		if e.Line == 0 {
			b.Field(5).AppendNull()
		} else {
			b.Field(5).(*array.Int64Builder).Append(e.Line)
		}
		text(6, original)
		text(7, g.contract)
	}
	if rows == 0 {
		return nil, nil
	}
	return b.NewRecordBatch(), nil
}

// besides names the other rules that would have sent the row to quarantine.
func (g *Gate) besides(first *rule, i int) string {
	var names []string
	for _, r := range g.rules {
		if r != first && r.verdict == contract.Quarantine && r.failed.Has(i) {
			names = append(names, r.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; fails " + strings.Join(names, ", ") + " too"
}

// original writes a row as it was read.
func (g *Gate) original(batch arrow.RecordBatch, i int) (string, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for j, f := range g.source.Fields {
		if datatype.Hidden(f.Name) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if err := encode(&b, f.Name); err != nil {
			return "", err
		}
		b.WriteByte(':')
		v := kernel.Value(batch.Column(j), i, f.Type)
		if v == nil {
			b.WriteString("null")
			continue
		}
		if err := encode(&b, value.Text(v)); err != nil {
			return "", err
		}
	}
	b.WriteByte('}')
	return b.String(), nil
}

// encode appends the text as a JSON string, without the line end of the encoder.
func encode(b *bytes.Buffer, text string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(strings.ToValidUTF8(text, "\uFFFD")); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}
