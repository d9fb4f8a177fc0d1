package kernel_test

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/pattern"
	"github.com/tidemill/tidemill/internal/core/value"
	"github.com/tidemill/tidemill/internal/kernel"
)

// column draws a column of a type with nulls, at an offset into its buffers.
func column(t *rapid.T, mem memory.Allocator) (arrow.Array, datatype.Type) {
	carriers := []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Uint32,
		arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Boolean,
		&arrow.Decimal128Type{Precision: 12, Scale: 3}, &arrow.Decimal128Type{Precision: 38, Scale: 0}, &arrow.Decimal128Type{Precision: 38, Scale: 30},
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView, arrow.BinaryTypes.Binary, arrow.FixedWidthTypes.Date32,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
		&arrow.Time64Type{Unit: arrow.Microsecond}, &arrow.Time64Type{Unit: arrow.Nanosecond}, arrow.FixedWidthTypes.Time32s,
		&arrow.TimestampType{Unit: arrow.Second}, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
		&arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "Europe/Paris"}, arrow.ListOf(arrow.PrimitiveTypes.Int32),
	}
	carrier := rapid.SampledFrom(carriers).Draw(t, "carrier")
	field, err := datatype.FieldFromArrow(arrow.Field{Name: "x", Type: carrier})
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewBuilder(mem, carrier)
	defer b.Release()
	n := rapid.IntRange(0, 70).Draw(t, "rows")
	for range n {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			b.AppendNull()
			continue
		}
		appendDrawn(t, b)
	}
	whole := b.NewArray()
	defer whole.Release()
	from := rapid.IntRange(0, n).Draw(t, "from")
	return array.NewSlice(whole, int64(from), int64(n)), field.Type
}

func appendDrawn(t *rapid.T, b array.Builder) {
	small := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 300), rapid.Int64Range(-1e6, 1e6))
	stamp := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 2e15), rapid.Map(rapid.Int64Range(-800000, 3000000), func(d int64) int64 { return d * 86400e6 }))
	text := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,5}(\.[0-9]{1,3})?`), rapid.String(), rapid.SampledFrom([]string{"true", "2013-01-01", "2013-01-01T00:00:00Z", "[1]", "\xff", "a\x00"}))
	switch b := b.(type) {
	case *array.Int8Builder:
		b.Append(rapid.Int8().Draw(t, "v"))
	case *array.Uint8Builder:
		b.Append(rapid.Uint8().Draw(t, "v"))
	case *array.Int16Builder:
		b.Append(rapid.Int16().Draw(t, "v"))
	case *array.Int32Builder:
		b.Append(rapid.Int32().Draw(t, "v"))
	case *array.Uint32Builder:
		b.Append(rapid.Uint32().Draw(t, "v"))
	case *array.Int64Builder:
		b.Append(small.Draw(t, "v"))
	case *array.Uint64Builder:
		b.Append(uint64(small.Draw(t, "v")))
	case *array.Float32Builder:
		b.Append(rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{0.1, 1, 0.5, float32(math.NaN())})).Draw(t, "v"))
	case *array.Float64Builder:
		b.Append(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0.1, 1, 0.5, math.NaN(), math.Inf(-1), 1e15, math.Copysign(0, -1)})).Draw(t, "v"))
	case *array.BooleanBuilder:
		b.Append(rapid.Bool().Draw(t, "v"))
	case *array.Decimal128Builder:
		n := decimal128.FromI64(small.Draw(t, "v"))
		if p := b.Type().(*arrow.Decimal128Type).Precision; !n.FitsInPrecision(p) {
			n = decimal128.FromI64(7)
		} else if p == 38 && rapid.Bool().Draw(t, "large") {
			n = n.Mul(decimal128.GetScaleMultiplier(19))
		}
		b.Append(n)
	case *array.StringBuilder:
		b.Append(text.Draw(t, "v"))
	case *array.LargeStringBuilder:
		b.Append(text.Draw(t, "v"))
	case *array.StringViewBuilder:
		b.Append(text.Draw(t, "v"))
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(text.Draw(t, "v")); err != nil {
			t.Fatal(err)
		}
	case *array.BinaryBuilder:
		b.Append([]byte(text.Draw(t, "v")))
	case *array.Date32Builder:
		b.Append(arrow.Date32(rapid.Int32Range(-800000, 3000000).Draw(t, "v")))
	case *array.Time32Builder:
		b.Append(arrow.Time32(rapid.Int32Range(0, 86399).Draw(t, "v")))
	case *array.Time64Builder:
		b.Append(arrow.Time64(rapid.Int64Range(0, 86399999999).Draw(t, "v")))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(stamp.Draw(t, "v")))
	case *array.ListBuilder:
		b.Append(true)
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			b.ValueBuilder().(*array.Int32Builder).Append(rapid.Int32Range(-40000, 40000).Draw(t, "item"))
		}
	default:
		t.Fatalf("no values for %T", b)
	}
}

var targets = []datatype.Type{
	datatype.Of(datatype.Bool), datatype.Of(datatype.Int16), datatype.Of(datatype.Int32), datatype.Of(datatype.Int64), datatype.Of(datatype.Uint64),
	datatype.Of(datatype.Float32), datatype.Of(datatype.Float64), datatype.DecimalOf(12, 3), datatype.DecimalOf(5, 0), datatype.DecimalOf(38, 19), datatype.Of(datatype.Decimal),
	datatype.Of(datatype.String),
	{Kind: datatype.String, Length: 4},
	datatype.Of(datatype.Bytes), datatype.Of(datatype.UUID), datatype.Of(datatype.Date), datatype.Of(datatype.Time),
	{Kind: datatype.Time, Precision: 9},
	datatype.Of(datatype.Timestamp),
	{Kind: datatype.Timestamp, Precision: 9},
	datatype.Of(datatype.TimestampTZ),
	{Kind: datatype.TimestampTZ, Precision: 9},
	datatype.Of(datatype.JSON), datatype.ListOf(datatype.Of(datatype.Int16)),
}

// same reports whether two values are the same; NaN is itself here.
func same(a, b any) bool {
	return value.Text(a) == value.Text(b) && (a == nil) == (b == nil)
}

func TestColumnsAreCastAsTheReferenceCastsValues(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		in, from := column(t, mem)
		defer in.Release()
		lossy := rapid.Bool().Draw(t, "lossy")
		for _, to := range targets {
			c, err := kernel.NewCaster(from, to, zone, "", lossy)
			if err != nil {
				if fit, _ := datatype.Compare(from, to); fit != datatype.Refused {
					t.Fatalf("%s to %s: %v", from, to, err)
				}
				continue
			}
			scalar, err := value.NewCaster(to, zone, "")
			if err != nil {
				t.Fatal(err)
			}
			compareCast(t, mem, c, scalar, in, from, lossy)
		}
	})
}

func compareCast(t *rapid.T, mem memory.Allocator, c *kernel.Caster, scalar value.Caster, in arrow.Array, from datatype.Type, lossy bool) {
	var failed, changed kernel.Bits
	out, err := c.Cast(mem, in, &failed, &changed)
	if err != nil {
		t.Fatalf("%s to %s: %v", from, scalar.Type, err)
	}
	defer out.Release()
	if !arrow.TypeEqual(out.DataType(), scalar.Type.Arrow()) || out.Len() != in.Len() {
		t.Fatalf("%s to %s: %d rows of %s", from, scalar.Type, out.Len(), out.DataType())
	}
	nulls := 0
	for i := range in.Len() {
		given := kernel.Value(in, i, from)
		want, flaw := scalar.Value(given)
		sound := flaw == value.Sound
		if !sound && lossy {
			want, flaw = scalar.Lossy().Value(given)
		}
		if flaw != value.Sound {
			want = nil
		}
		got := kernel.Value(out, i, scalar.Type)
		if !same(got, want) || failed.Has(i) != (flaw != value.Sound) || changed.Has(i) != (!sound && flaw == value.Sound) {
			t.Fatalf("%q (%T) of %s to %s: %q, failed %v, changed %v; want %q, flaw %q", value.Text(given), given, in.DataType(), scalar.Type,
				value.Text(got), failed.Has(i), changed.Has(i), value.Text(want), flaw)
		}
		if got == nil {
			nulls++
		}
		if failed.Has(i) && !strings.Contains(c.Reason(in, i), " ") {
			t.Fatalf("no reason for row %d", i)
		}
	}
	if out.NullN() != nulls {
		t.Fatalf("%s to %s: the array counts %d nulls, and has %d", from, scalar.Type, out.NullN(), nulls)
	}
}

func TestChecksOverColumnsFindWhatTheJudgeFinds(t *testing.T) {
	t.Parallel()
	names, err := pattern.New(`^[a-z0-9äN.-]{1,3}\b`)
	if err != nil {
		t.Fatal(err)
	}
	bounds := []string{"0", "2", "-0.5", "100.25", "2013-01-01", "2013-01-01T00:00:00Z", "2013-01-01T00:00:00", "12:00", "99999999999999999999"}
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		in, from := column(t, mem)
		defer in.Release()
		to := rapid.SampledFrom(targets).Draw(t, "to")
		c, err := kernel.NewCaster(from, to, time.UTC, "", false)
		if err != nil {
			return
		}
		var failed, changed kernel.Bits
		cast, err := c.Cast(mem, in, &failed, &changed)
		if err != nil {
			t.Fatal(err)
		}
		defer cast.Release()
		bound := func(name string) *contract.Bound {
			if rapid.Bool().Draw(t, name+" given") {
				return nil
			}
			return &contract.Bound{Value: rapid.SampledFrom(bounds).Draw(t, name), Exclusive: rapid.Bool().Draw(t, name+" exclusive")}
		}
		check := contract.Check{Type: to, OnFail: contract.Warn, Zone: "UTC"}
		check.Kind = rapid.SampledFrom([]contract.Kind{
			contract.KindRequired, contract.KindRange, contract.KindMultiple, contract.KindLength, contract.KindPattern, contract.KindEnum, contract.KindForbidden,
		}).Draw(t, "kind")
		switch check.Kind {
		case contract.KindRange:
			check.Min, check.Max = bound("min"), bound("max")
		case contract.KindMultiple:
			check.MultipleOf = rapid.SampledFrom([]string{"2", "0.5", "1.5", "99999999999999999999"}).Draw(t, "step")
		case contract.KindLength:
			check.MinLength, check.MaxLength = new(int64(1)), new(int64(3))
		case contract.KindPattern:
			check.Pattern = &names
		case contract.KindEnum, contract.KindForbidden:
			check.Nulls = rapid.Bool().Draw(t, "nulls") && check.Kind == contract.KindForbidden
			check.Values = rapid.SliceOfN(rapid.SampledFrom([]string{"0", "1", "2", "a", "true", "2013-01-01", "100", "300", "4", "5", "6", "7"}), 0, 12).Draw(t, "values")
		default:
		}
		k, err := kernel.NewCheck(check, kernel.Outside())
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return // a bound or value that the type does not read
		}
		judge, err := contract.NewJudge(check, kernel.Outside())
		if err != nil {
			t.Fatal(err)
		}
		k.Failures(cast, &failed)
		for i := range cast.Len() {
			v := kernel.Value(cast, i, to)
			if want := judge.Judge(v); failed.Has(i) != want.Failed() || want.Failed() && k.Reason(cast, i) != want.Reason {
				t.Fatalf("%q of %s: %v, want %+v by %+v", value.Text(v), to, failed.Has(i), want, check)
			}
		}
	})
}

func TestBackReferencesAndLookAroundAreMatchedAsECMAMeansThem(t *testing.T) {
	t.Parallel()
	for text, cases := range map[string]map[string]bool{
		`^(?!D)[A-Z0-9]+$`:  {"N1": true, "D942DN": false, "N1\n": false},
		`^(.)\1$`:           {"aa": true, "ab": false, "ää": true, "\u2028\u2028": false},
		`(?<=a)b`:           {"ab": true, "b": false},
		`^\p{L}+$`:          {"äb": true, "1": false},
		`(?!x)\bä`:          {"aä": true, "ä": false},
		`^(?<y>a)(b)\1$`:    {"aba": true, "abb": false},
		`^(?<y>a)(b)\k<y>0`: {"aba0": true},
		`^[\S]$`:            {"x": true, "\u00a0": false},
		`^(?!x)\d\w$`:       {"1a": true, "١a": false, "1ä": false},
	} {
		p, err := pattern.New(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		match, err := kernel.Outside().Matcher(p)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for in, want := range cases {
			if got, err := match(in); err != nil || got != want {
				t.Errorf("%s (%s) on %q: %v, %v", text, p.Backtrack, in, got, err)
			}
		}
	}
}

func TestAMatchThatTakesTooLongHasNoAnswer(t *testing.T) {
	t.Parallel()
	slow, err := kernel.Backtracking(`^(a+)+(?!x)$`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow(strings.Repeat("a", 40) + "!"); err == nil {
		t.Error("a match without end came to one")
	}
	if _, err := kernel.Backtracking("(?<=a"); !fault.Is(err, fault.Invalid) {
		t.Errorf("no pattern: %v", err)
	}
}

func TestBothMatchersAgreeWhereBothCanSayThePattern(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"^N[0-9A-Z]{1,5}$", `^\d+$`, "^.$", `^\w+$`, `^\s*$`, "^[^]$", "^[]$", `\bN\B`, `ä\b`, `^[^\d\s]+$`, "(?<x>a|b)+?c", `\u00e4|\u{1F600}`, `^[\w.-]+$`, `\x41{2,3}`, `^\W\D\S$`, `[\]\\^-]`, `^[\b\cA\0]$`, `\.\/\$`, `^[\W]$`,
	} {
		p, err := pattern.New(text)
		if err != nil || p.RE2 == "" {
			t.Fatalf("%s: %+v, %v", text, p, err)
		}
		// A look-ahead that never holds sends the pattern to the other matcher.
		other, err := pattern.New("(?!)|(?:" + text + ")")
		if err != nil {
			t.Fatal(err)
		}
		match, err := kernel.Outside().Matcher(other)
		if err != nil {
			t.Fatalf("%s: %v", other.Backtrack, err)
		}
		re := regexp.MustCompile(p.RE2)
		for _, in := range []string{"", "N14228", "N1\n", "D942DN", "ä", "äb", "aä b", "😀", "\u00a0", "\ufeff", "\u2028", "\r", "\n", "12", "١٢", "bc", "a.b-c", "AAA", "].^-\\", "\b", "\x01", "\x00", "./$", "!xx", "! x", "_"} {
			if got, err := match(in); err != nil || got != re.MatchString(in) {
				t.Errorf("%s on %q: RE2 (%s) %v, backtracking (%s) %v, %v", text, in, p.RE2, re.MatchString(in), other.Backtrack, got, err)
			}
		}
	}
}

func FuzzPatternsOverColumnsMatchAsPackageRegexp(f *testing.F) {
	for _, p := range []string{"^N[0-9A-Z]{1,5}$", `\bN\B`, "^$", "(?:a|b)*c$", "^.*$", `a$|^b`, "x{2,}y?", `^\w+\b.?$`, "[^]", "a|", `\B`} {
		f.Add(p, "N14228")
		f.Add(p, "ab\nc N")
	}
	f.Fuzz(func(t *testing.T, text, subject string) {
		p, err := pattern.New(text)
		if err != nil || p.RE2 == "" || len(text) > 64 || strings.Count(text, "{") > 1 {
			return
		}
		check := contract.Check{Kind: contract.KindPattern, OnFail: contract.Warn, Type: datatype.Of(datatype.String), Pattern: &p}
		k, err := kernel.NewCheck(check, contract.Outside{})
		if err != nil {
			t.Fatal(err)
		}
		b := array.NewStringBuilder(memory.DefaultAllocator)
		subjects := []string{subject, "", "N14228", "D942DN", "a\nb", "abc ", "_", fmt.Sprint(len(subject))}
		b.AppendValues(subjects, nil)
		var failed kernel.Bits
		k.Failures(b.NewArray(), &failed)
		for i, s := range subjects {
			if want := regexp.MustCompile(p.RE2).MatchString(s); failed.Has(i) == want {
				t.Errorf("%s (%s) on %q: want %v", text, p.RE2, s, want)
			}
		}
	})
}
