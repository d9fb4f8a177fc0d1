package pgarrow_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/pgarrow"
)

// kinds are types with PostgreSQL's name of them, and values as Arrow's builders read them.
var kinds = []struct {
	typ    datatype.Type
	oid    uint32
	values []string
}{
	{datatype.Of(datatype.Bool), pgtype.BoolOID, []string{"true", "false"}},
	{datatype.Of(datatype.Int16), pgtype.Int2OID, []string{"-32768", "32767"}},
	{datatype.Of(datatype.Int32), pgtype.Int4OID, []string{"-2147483648", "2147483647"}},
	{datatype.Of(datatype.Int64), pgtype.Int8OID, []string{"-9223372036854775808", "9223372036854775807"}},
	{datatype.Of(datatype.Float32), pgtype.Float4OID, []string{"NaN", "1e-45"}},
	{datatype.Of(datatype.Float64), pgtype.Float8OID, []string{"-Inf", "0.1"}},
	{datatype.DecimalOf(38, 0), pgtype.NumericOID, []string{"99999999999999999999999999999999999999", "-10000"}},
	{datatype.DecimalOf(38, 37), pgtype.NumericOID, []string{"-9.9999999999999999999999999999999999999", "0.0000000000000000000000000000000000001"}},
	{datatype.Of(datatype.Decimal), pgtype.NumericOID, []string{"-123456789012345678901234567890123456789012.00010", "0.000"}},
	{datatype.Of(datatype.String), pgtype.TextOID, []string{"", "é 飛"}},
	{datatype.Of(datatype.UUID), pgtype.UUIDOID, []string{"00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
	{datatype.Of(datatype.JSON), pgtype.JSONBOID, []string{`{"a": 1}`, "null"}},
	{datatype.Of(datatype.Date), pgtype.DateOID, []string{"0001-01-01", "9999-12-31"}},
	{datatype.Of(datatype.Time), pgtype.TimeOID, []string{"00:00:00", "23:59:59.999999"}},
	{datatype.Of(datatype.TimestampTZ), pgtype.TimestamptzOID, []string{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"}},
}

// encoded returns the values of a batch's rows, cut out of what COPY would send; nil for null.
func encoded(stream []byte, columns int) (rows [][][]byte) {
	at := 19
	for binary.BigEndian.Uint16(stream[at:]) == uint16(columns) {
		at += 2
		row := make([][]byte, columns)
		for i := range row {
			size := int32(binary.BigEndian.Uint32(stream[at:]))
			if at += 4; size >= 0 {
				row[i] = stream[at : at+int(size)]
				at += int(size)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestWhatIsEncodedDecodesToTheSame(t *testing.T) {
	t.Parallel()
	schema := datatype.Schema{}
	for i, k := range kinds {
		schema.Fields = append(schema.Fields, datatype.Field{Name: fmt.Sprint("c", i), Type: k.typ})
	}
	in := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	for i, k := range kinds {
		for _, v := range k.values {
			if err := in.Field(i).AppendValueFromString(v); err != nil {
				t.Fatal(err)
			}
		}
		in.Field(i).AppendNull()
	}
	batch := in.NewRecordBatch()
	reader, err := pgarrow.NewCopyReader(batch, schema.Fields)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := io.ReadAll(iotest.OneByteReader(reader))
	if err != nil {
		t.Fatal(err)
	}
	out := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	for i, k := range kinds {
		decode, err := pgarrow.NewDecoder(k.oid, k.typ, out.Field(i))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range encoded(stream, len(kinds)) {
			if row[i] == nil {
				out.Field(i).AppendNull()
			} else if err := decode(row[i]); err != nil {
				t.Errorf("%s: %v", k.typ, err)
			}
		}
	}
	back := out.NewRecordBatch()
	for i, k := range kinds {
		if diff := cmp.Diff(fmt.Sprint(batch.Column(i)), fmt.Sprint(back.Column(i))); diff != "" {
			t.Errorf("%s (-in +out):\n%s", k.typ, diff)
		}
	}
}

func TestDecimalsKeepEveryDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		precision := rapid.IntRange(1, 38).Draw(r, "precision")
		scale := rapid.IntRange(0, precision).Draw(r, "scale")
		digits := rapid.StringMatching(fmt.Sprintf("[0-9]{%d}", precision)).Draw(r, "digits")
		text := rapid.SampledFrom([]string{"", "-"}).Draw(r, "sign") + "0" + digits[:precision-scale] + "." + digits[precision-scale:] + "0"
		bounded, unbounded := datatype.DecimalOf(precision, scale), datatype.Of(datatype.Decimal)
		schema := datatype.Schema{Fields: []datatype.Field{{Name: "a", Type: bounded}, {Name: "b", Type: unbounded}}}
		in := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
		if err := in.Field(0).AppendValueFromString(strings.TrimSuffix(strings.TrimSuffix(text, "0"), ".")); err != nil {
			r.Fatal(err)
		}
		in.Field(1).(*array.StringBuilder).Append(text)
		batch := in.NewRecordBatch()
		reader, err := pgarrow.NewCopyReader(batch, schema.Fields)
		if err != nil {
			r.Fatal(err)
		}
		stream, err := io.ReadAll(reader)
		if err != nil {
			r.Fatal(err)
		}
		row := encoded(stream, 2)[0]
		out := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
		for i, value := range [][]byte{row[1], row[0]} { // each in the column of the other
			decode, err := pgarrow.NewDecoder(pgtype.NumericOID, schema.Fields[i].Type, out.Field(i))
			if err != nil {
				r.Fatal(err)
			}
			if err := decode(value); err != nil {
				r.Fatal(err)
			}
		}
		back := out.NewRecordBatch()
		if got, want := back.Column(0).ValueStr(0), batch.Column(0).ValueStr(0); got != want {
			r.Fatalf("%s became %s, want %s", text, got, want)
		}
		canonical := new(big.Rat)
		canonical.SetString(text)
		if got := back.Column(1).ValueStr(0); got != canonical.FloatString(scale) {
			r.Fatalf("%s became %s, want %s", text, got, canonical.FloatString(scale))
		}
	})
}

func TestWhatIsNoValueOfTheTypeIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ   datatype.Type
		value string
	}{
		"NUL": {datatype.Of(datatype.String), "a\x00b"}, "UTF-8": {datatype.Of(datatype.String), "\xff"},
		"no UUID": {datatype.Of(datatype.UUID), "00112233"}, "no decimal": {datatype.Of(datatype.Decimal), "1e5"},
	} {
		schema := datatype.Schema{Fields: []datatype.Field{{Name: "odd", Type: c.typ}}}
		in := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
		in.Field(0).(*array.StringBuilder).Append(c.value)
		reader, err := pgarrow.NewCopyReader(in.NewRecordBatch(), schema.Fields)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(reader)
		if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "column odd") || reader.Err() == nil {
			t.Errorf("%q was answered with %v", c.value, err)
		}
	}
}

func FuzzDecoding(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7})
	f.Add([]byte{0xff, 0xff, 0x80, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, value []byte) {
		for _, k := range kinds {
			in := array.NewRecordBuilder(memory.DefaultAllocator, datatype.Schema{Fields: []datatype.Field{{Name: "a", Type: k.typ}}}.Arrow())
			decode, err := pgarrow.NewDecoder(k.oid, k.typ, in.Field(0))
			if err == nil {
				_ = decode(value) // it answers, and does not panic
			}
		}
	})
}
