package datatype_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

func typeGenerator(depth int) *rapid.Generator[datatype.Type] {
	return rapid.Custom(func(t *rapid.T) datatype.Type {
		kind := rapid.SampledFrom(datatype.Kinds()).Draw(t, "kind")
		if depth == 0 && (kind == datatype.List || kind == datatype.Struct) {
			kind = datatype.Int32
		}
		switch kind {
		case datatype.Decimal:
			p := rapid.IntRange(0, datatype.MaxPrecision).Draw(t, "precision")
			return datatype.DecimalOf(p, rapid.IntRange(0, p).Draw(t, "scale"))
		case datatype.String:
			return datatype.Type{Kind: kind, Length: rapid.IntRange(0, 100).Draw(t, "length")}
		case datatype.Time, datatype.Timestamp, datatype.TimestampTZ:
			return datatype.Type{Kind: kind, Precision: rapid.SampledFrom([]int{0, 9}).Draw(t, "precision")}
		case datatype.JSON:
			return datatype.Type{Kind: kind, Shape: rapid.SampledFrom([]datatype.Shape{datatype.AnyShape, datatype.ObjectShape, datatype.ArrayShape}).Draw(t, "shape")}
		case datatype.List:
			return datatype.ListOf(typeGenerator(depth-1).Draw(t, "elem"))
		case datatype.Struct:
			return datatype.StructOf(fieldsGenerator(depth-1).Draw(t, "fields")...)
		default:
			return datatype.Of(kind)
		}
	})
}

func fieldsGenerator(depth int) *rapid.Generator[[]datatype.Field] {
	field := rapid.Custom(func(t *rapid.T) datatype.Field {
		return datatype.Field{
			Name:     rapid.StringMatching(`[a-zä]{1,8}`).Draw(t, "name"),
			Type:     typeGenerator(depth).Draw(t, "type"),
			Required: rapid.Bool().Draw(t, "required"),
		}
	})
	return rapid.SliceOfNDistinct(field, 1, 6, func(f datatype.Field) string { return f.Name })
}

func TestEverySchemaSurvivesArrowAndJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := datatype.Schema{Fields: fieldsGenerator(2).Draw(t, "fields")}
		if err := want.Validate(); err != nil {
			t.Fatalf("a generated schema is invalid: %v", err)
		}
		got, err := datatype.FromArrow(want.Arrow())
		kept := datatype.StructOf(want.Fields...).WithoutShapes()
		if err != nil || !datatype.StructOf(got.Fields...).Equal(kept) {
			t.Fatalf("through Arrow: %v, %v\nwant %v", got, err, want)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back datatype.Schema
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(want) {
			t.Fatalf("through JSON: %v, %v\nwant %v", back, err, want)
		}
	})
}

func TestTypesOfOtherMakersBecomeTheNarrowestThatHoldThem(t *testing.T) {
	t.Parallel()
	for want, from := range map[string]arrow.DataType{
		"int16":        arrow.PrimitiveTypes.Uint8,
		"int64":        arrow.PrimitiveTypes.Uint32,
		"float32":      arrow.FixedWidthTypes.Float16,
		"string":       arrow.BinaryTypes.LargeString,
		"date":         arrow.FixedWidthTypes.Date64,
		"time":         arrow.FixedWidthTypes.Time32ms,
		"timestamp(9)": &arrow.TimestampType{Unit: arrow.Nanosecond},
		"timestamptz":  &arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Paris"},
		"bool":         &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.FixedWidthTypes.Boolean},
		"list<int32>":  arrow.LargeListOf(arrow.PrimitiveTypes.Uint16),
	} {
		s, err := datatype.FromArrow(arrow.NewSchema([]arrow.Field{{Name: "x", Type: from, Nullable: true}}, nil))
		if err != nil || s.Fields[0].Type.String() != want {
			t.Errorf("%s: %v, %v; want %s", from, s, err, want)
		}
	}
	named := arrow.Field{Name: "x", Type: &arrow.FixedSizeBinaryType{ByteWidth: 16}, Metadata: arrow.MetadataFrom(map[string]string{"ARROW:extension:name": "arrow.uuid"})}
	if f, err := datatype.FieldFromArrow(named); err != nil || f.Type.Kind != datatype.UUID {
		t.Errorf("arrow.uuid: %v, %v", f, err)
	}
	for _, from := range []arrow.DataType{
		arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), arrow.FixedWidthTypes.Duration_s,
		&arrow.Decimal256Type{Precision: 70, Scale: 3},
	} {
		if s, err := datatype.FromArrow(arrow.NewSchema([]arrow.Field{{Name: "x", Type: from}}, nil)); err == nil {
			t.Errorf("%s became %v", from, s)
		}
	}
}

func TestCompareTellsTheFourFitsApart(t *testing.T) {
	t.Parallel()
	of := datatype.Of
	object, list := datatype.Type{Kind: datatype.JSON, Shape: datatype.ObjectShape}, datatype.Type{Kind: datatype.JSON, Shape: datatype.ArrayShape}
	for _, c := range []struct {
		from, to datatype.Type
		want     datatype.Fit
	}{
		{of(datatype.Int64), of(datatype.Int64), datatype.Exact},
		{of(datatype.Int16), of(datatype.Int64), datatype.Widened},
		{of(datatype.Int64), of(datatype.Int32), datatype.Narrowed},
		{of(datatype.Int64), of(datatype.Uint64), datatype.Narrowed},
		{of(datatype.Int32), of(datatype.Float64), datatype.Widened},
		{of(datatype.Int32), of(datatype.Float32), datatype.Narrowed},
		{of(datatype.Int64), datatype.DecimalOf(21, 2), datatype.Widened},
		{of(datatype.Int64), datatype.DecimalOf(20, 2), datatype.Narrowed},
		{datatype.DecimalOf(9, 0), of(datatype.Int32), datatype.Widened},
		{datatype.DecimalOf(10, 0), of(datatype.Int32), datatype.Narrowed},
		{datatype.DecimalOf(10, 2), datatype.DecimalOf(12, 3), datatype.Widened},
		{datatype.DecimalOf(10, 2), datatype.DecimalOf(10, 3), datatype.Narrowed},
		{datatype.DecimalOf(10, 2), datatype.DecimalOf(10, 1), datatype.Narrowed},
		{of(datatype.String), of(datatype.Bytes), datatype.Narrowed},
		{of(datatype.String), datatype.Type{Kind: datatype.String, Length: 3}, datatype.Narrowed},
		{of(datatype.Int64), of(datatype.String), datatype.Widened},
		{of(datatype.Bool), of(datatype.Int16), datatype.Refused},
		{of(datatype.Bytes), of(datatype.String), datatype.Refused},
		{of(datatype.Date), of(datatype.Timestamp), datatype.Widened},
		{datatype.Type{Kind: datatype.Timestamp, Precision: 9}, of(datatype.Timestamp), datatype.Narrowed},
		{datatype.ListOf(of(datatype.Int32)), datatype.ListOf(of(datatype.Int64)), datatype.Widened},
		{datatype.ListOf(of(datatype.Int32)), of(datatype.Int64), datatype.Refused},
		{of(datatype.JSON), object, datatype.Narrowed},
		{object, of(datatype.JSON), datatype.Widened},
		{object, list, datatype.Refused},
		{datatype.ListOf(of(datatype.Int32)), list, datatype.Widened},
		{datatype.ListOf(of(datatype.Int32)), object, datatype.Refused},
		{list, datatype.StructOf(datatype.Field{Name: "a", Type: object}), datatype.Refused},
	} {
		got, reason := datatype.Compare(c.from, c.to)
		if got != c.want || reason == "" {
			t.Errorf("%s to %s: %s (%s), want %s", c.from, c.to, got, reason, c.want)
		}
	}
}

func TestTheReportNamesMissingColumnsAndLeavesHiddenOnesOut(t *testing.T) {
	t.Parallel()
	to := datatype.Schema{Fields: []datatype.Field{
		{Name: "a", Type: datatype.Of(datatype.Int32)},
		{Name: "b", Type: datatype.Of(datatype.Int32), Required: true},
		{Name: "c", Type: datatype.Of(datatype.Int32)},
		{Name: datatype.FileColumn, Type: datatype.Of(datatype.String)},
	}}
	got := make(map[string]datatype.Fit)
	for _, line := range datatype.Report(datatype.Text("a", "x"), to) {
		got[line.Column] = line.Fit
	}
	want := map[string]datatype.Fit{"a": datatype.Narrowed, "b": datatype.Refused, "c": datatype.Widened}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestContradictoryTypesAreInvalid(t *testing.T) {
	t.Parallel()
	for _, bad := range []datatype.Type{
		{},
		{Kind: "int8"},
		datatype.DecimalOf(39, 0), datatype.DecimalOf(3, 4),
		{Kind: datatype.Int32, Length: 3},
		{Kind: datatype.String, Shape: datatype.ObjectShape},
		{Kind: datatype.JSON, Shape: "list"},
		{Kind: datatype.Timestamp, Precision: 3},
		{Kind: datatype.List},
		{Kind: datatype.Struct},
		datatype.StructOf(datatype.Field{Name: "a", Type: datatype.Of(datatype.Bool)}, datatype.Field{Name: "a", Type: datatype.Of(datatype.Bool)}),
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestADecimalKeepsItsScaleAsText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		digits           string
		precision, scale int32
		want             string
	}{
		{"750", 9, 2, "7.50"},
		{"-5", 9, 2, "-0.05"},
		{"0", 9, 2, "0.00"},
		{"1", 20, 10, "0.0000000001"},
		{"12345678901234567890123456789012345678", 38, 18, "12345678901234567890.123456789012345678"},
		{"99999999999999999999999999999999999999", 38, 0, "99999999999999999999999999999999999999"},
		{"99999999999999999999999999999999999999000", 50, 3, "99999999999999999999999999999999999999.000"},
	} {
		whole, _ := new(big.Int).SetString(c.digits, 10)
		var b array.Builder
		if c.precision > 38 {
			b = array.NewDecimal256Builder(memory.DefaultAllocator, &arrow.Decimal256Type{Precision: c.precision, Scale: c.scale})
			b.(*array.Decimal256Builder).Append(decimal256.FromBigInt(whole))
		} else {
			b = array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: c.precision, Scale: c.scale})
			b.(*array.Decimal128Builder).Append(decimal128.FromBigInt(whole))
		}
		if got := datatype.ValueText(b.NewArray(), 0); got != c.want {
			t.Errorf("%s of scale %d is %s, want %s", c.digits, c.scale, got, c.want)
		}
	}
}
