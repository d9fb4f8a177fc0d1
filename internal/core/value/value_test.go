package value_test

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestTextIsReadExactlyOrRefused(t *testing.T) {
	t.Parallel()
	of := datatype.Of
	for _, c := range []struct {
		to   datatype.Type
		text string
		want string // as Text writes it; "!" and the flaw where it is refused
	}{
		{of(datatype.Bool), "YES", "true"},
		{of(datatype.Bool), "0", "false"},
		{of(datatype.Bool), "2", "!is not true or false"},
		{of(datatype.Int32), "+5", "5"},
		{of(datatype.Int32), "-0", "0"},
		{of(datatype.Int32), "517.0", "517"},
		{of(datatype.Int32), "00012", "12"},
		{of(datatype.Int32), " 12", "!is not a number"},
		{of(datatype.Int32), "1e3", "!is not a number"},
		{of(datatype.Int32), "", "!is not a number"},
		{of(datatype.Int32), "١٢", "!is not a number"},
		{of(datatype.Int32), ".", "!is not a number"},
		{of(datatype.Int32), "1.5", "!is not a whole number"},
		{of(datatype.Int32), "2147483648", "!is out of the range of the type"},
		{of(datatype.Int32), "-2147483648", "-2147483648"},
		{of(datatype.Int64), "9223372036854775807", "9223372036854775807"},
		{of(datatype.Int64), "-9223372036854775808", "-9223372036854775808"},
		{of(datatype.Int64), "9223372036854775808", "!is out of the range of the type"},
		{of(datatype.Int64), "99999999999999999999999", "!is out of the range of the type"},
		{of(datatype.Uint64), "18446744073709551615", "18446744073709551615"},
		{of(datatype.Uint64), "-1", "!is out of the range of the type"},
		{of(datatype.Uint64), "-0", "0"},
		{datatype.DecimalOf(5, 2), "-.5", "-0.5"},
		{datatype.DecimalOf(5, 2), "12.", "12"},
		{datatype.DecimalOf(5, 2), "1.100000", "1.1"},
		{datatype.DecimalOf(5, 2), "2.675", "!has more digits after the point than the type keeps"},
		{datatype.DecimalOf(5, 2), "1000", "!is out of the range of the type"},
		{datatype.DecimalOf(5, 2), "000999.99", "999.99"},
		{datatype.DecimalOf(38, 0), strings.Repeat("9", 38), strings.Repeat("9", 38)},
		{datatype.DecimalOf(38, 38), "0." + strings.Repeat("9", 38), "0." + strings.Repeat("9", 38)},
		{datatype.DecimalOf(38, 0), "1" + strings.Repeat("0", 38), "!is out of the range of the type"},
		{of(datatype.Float64), "1e3", "1000"},
		{of(datatype.Float64), "-Inf", "-Infinity"},
		{of(datatype.Float64), "nan", "NaN"},
		{of(datatype.Float64), "0x1p4", "!is not a number"},
		{of(datatype.Float64), "1_000", "!is not a number"},
		{of(datatype.Float64), "1e999", "!is out of the range of the type"},
		{of(datatype.Float64), "1e", "!is not a number"},
		{of(datatype.Float64), "-0", "-0"},
		{of(datatype.Float32), "0.1", "0.1"},
		{of(datatype.Float32), "1e39", "!is out of the range of the type"},
		{of(datatype.Float64), "5e-324", "5e-324"},
		{of(datatype.Date), "2012-02-29", "2012-02-29"},
		{of(datatype.Date), "2013-02-30", "!is a day that does not exist"},
		{of(datatype.Date), "0000-01-01", "!is a day that does not exist"},
		{of(datatype.Date), "2013-1-1", "!is not a date (YYYY-MM-DD)"},
		{of(datatype.Date), "9999-12-31", "9999-12-31"},
		{of(datatype.Date), "0001-01-01", "0001-01-01"},
		{of(datatype.Time), "23:59", "23:59:00"},
		{of(datatype.Time), "24:00", "!is not a time of day (HH:MM:SS)"},
		{of(datatype.Time), "01:02:03.4560000000", "01:02:03.456"},
		{of(datatype.Time), "01:02:03.", "!is not a time of day (HH:MM:SS)"},
		{of(datatype.Time), "01:02:60", "!is not a time of day (HH:MM:SS)"},
		{of(datatype.Time), "01:02:03.0000001", "!has more digits after the point than the type keeps"},
		{of(datatype.Timestamp), "2013-01-01 05:00", "2013-01-01T05:00:00"},
		{of(datatype.Timestamp), "2013-01-01T05:00Z", "!has a time zone, and the field has none"},
		{of(datatype.TimestampTZ), "2013-01-01T05:00:00+05:30", "2012-12-31T23:30:00Z"},
		{of(datatype.TimestampTZ), "2013-01-01 05:00:00-05", "2013-01-01T10:00:00Z"},
		{of(datatype.TimestampTZ), "2013-01-01T05:00:00", "!has no time zone, and the contract names no default"},
		{of(datatype.TimestampTZ), "2013-01-01T05:00:00 UTC", "!is not a timestamp (YYYY-MM-DDTHH:MM:SS)"},
		{of(datatype.TimestampTZ), "0001-01-01T00:00:00+01", "!is out of the range of the type"},
		{of(datatype.TimestampTZ), "9999-12-31T23:59:59-01", "!is out of the range of the type"},
		{of(datatype.TimestampTZ), "2013-01-01T05:00:00+16", "!is not a timestamp (YYYY-MM-DDTHH:MM:SS)"},
		{datatype.Type{Kind: datatype.TimestampTZ, Precision: 9}, "2013-01-01T05:00:00.123456789Z", "2013-01-01T05:00:00.123456789Z"},
		{datatype.Type{Kind: datatype.TimestampTZ, Precision: 9}, "1600-01-01T05:00:00Z", "!is out of the range of the type"},
		{of(datatype.UUID), "0F0E0D0C-0b0a-0908-0706-050403020100", "0f0e0d0c-0b0a-0908-0706-050403020100"},
		{of(datatype.UUID), "0f0e0d0c0b0a09080706050403020100", "!is not a UUID"},
		{of(datatype.JSON), `{"a": [1]}`, `{"a": [1]}`},
		{of(datatype.JSON), "{", "!is not a JSON document"},
		{of(datatype.JSON), `"\ud83d\ude00 \\ud800"`, `"\ud83d\ude00 \\ud800"`},
		{of(datatype.JSON), `"\ud83d"`, "!is not a JSON document"},
		{of(datatype.JSON), `"\ud83d\u0041"`, "!is not a JSON document"},
		{of(datatype.JSON), `"\ude00"`, "!is not a JSON document"},
		{of(datatype.JSON), `"\u0000"`, "!contains the character NUL"},
		{of(datatype.Bytes), `\x00fF`, `\x00ff`},
		{of(datatype.Bytes), "00ff", `!is not \x with hexadecimal digits`},
		{of(datatype.String), "", ""},
		{of(datatype.String), "a\x00", "!contains the character NUL"},
		{of(datatype.String), "\xff", "!is not UTF-8 text"},
		{datatype.Type{Kind: datatype.String, Length: 2}, "äß", "äß"},
		{datatype.Type{Kind: datatype.String, Length: 2}, "abc", "!has more characters than the type keeps"},
		{datatype.ListOf(of(datatype.Int32)), "[1, null, 2.0]", "[1,null,2]"},
		{datatype.ListOf(of(datatype.Int32)), "[1.5]", "!is not a list of such values"},
		{datatype.ListOf(of(datatype.Int32)), "12", "!is not a list of such values"},
		{datatype.ListOf(of(datatype.Int32)), "null", "!is not a list of such values"},
		{datatype.ListOf(datatype.ListOf(of(datatype.String))), `["a"]`, "!is not a list of such values"},
		{datatype.ListOf(of(datatype.JSON)), `["a", true, 1.50, {"b": "<"}]`, `["\"a\"","true","1.50","{\"b\":\"\u003c\"}"]`},
		{datatype.ListOf(of(datatype.Bool)), `[true, "no"]`, "[true,false]"},
		{datatype.StructOf(datatype.Field{Name: "a", Type: of(datatype.Date)}, datatype.Field{Name: "b", Type: of(datatype.Int16)}), `{"a": "x"}`, "!is not a struct of such members"},
		{datatype.StructOf(datatype.Field{Name: "a", Type: of(datatype.Int16)}), `{"a": 1, "z": 2}`, "!is not a struct of such members"},
	} {
		caster, err := value.NewCaster(c.to, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		v, f := caster.Text(c.text)
		got := value.Text(v)
		if f != value.Sound {
			got = "!" + f.String()
		}
		if got != c.want {
			t.Errorf("%q as %s: %s, want %s", c.text, c.to, got, c.want)
		}
	}
}

func TestEveryIntegerAndDecimalIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		if got, f := value.ParseInteger(strconv.FormatInt(n, 10), math.MinInt64, math.MaxInt64); f != value.Sound || got != n {
			t.Fatalf("%d became %d, %s", n, got, f)
		}
		p := rapid.IntRange(1, 38).Draw(t, "precision")
		s := rapid.IntRange(0, p).Draw(t, "scale")
		digits := rapid.StringMatching(`-?[0-9]{1,40}`).Draw(t, "digits")
		want, _ := new(big.Int).SetString(digits, 10)
		text := new(big.Rat).SetFrac(want, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(s)), nil)).FloatString(s)
		got, f := value.ParseDecimal(text, p, s)
		fits := len(new(big.Int).Abs(want).String()) <= p
		if fits != (f == value.Sound) || fits && got.BigInt().Cmp(want) != 0 {
			t.Fatalf("%s as decimal(%d,%d): %v, %s; want %v", text, p, s, got.BigInt(), f, want)
		}
	})
}

func TestDatesAreCountedAsPackageTimeCountsThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.Int64Range(-719162, 2932896).Draw(t, "day")
		text := time.Unix(day*86400, 0).UTC().Format(time.DateOnly)
		if got, f := value.ParseDate(text); f != value.Sound || int64(got) != day {
			t.Fatalf("%s became %d, %s; want %d", text, got, f, day)
		}
	})
}

func TestAWallClockIsTheInstantThatShowsIt(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe"), zone(t, "Pacific/Apia"), zone(t, "Europe/Dublin")}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		wall := rapid.Int64Range(0, 2e9).Draw(t, "wall")
		instant, f := value.ToInstant(wall, z)
		var shows []int64
		for offset := int64(-15 * 3600); offset <= 15*3600; offset += 900 {
			if w, _ := value.ToWall(wall-offset, z); w == wall {
				shows = append(shows, wall-offset)
			}
		}
		want := map[int]value.Flaw{0: value.SkippedHour, 1: value.Sound, 2: value.RepeatedHour}[len(shows)]
		if f != want {
			t.Fatalf("%d in %s: %s, want %s (%v)", wall, z, f, want, shows)
		}
		if len(shows) == 2 && instant != min(shows[0], shows[1]) || len(shows) == 1 && instant != shows[0] {
			t.Fatalf("%d in %s: %d, want one of %v", wall, z, instant, shows)
		}
	})
	for text, want := range map[string]value.Flaw{
		"2013-03-10T02:30:00": value.SkippedHour, "2013-11-03T01:30:00": value.RepeatedHour, "2013-03-10T03:00:00": value.Sound,
	} {
		if _, f := value.ParseInstant(text, zones[0], time.Microsecond); f != want {
			t.Errorf("%s: %s, want %s", text, f, want)
		}
	}
	if instant, _ := value.ToInstant(1362882600, zones[0]); instant != 1362898800 { // 02:30 in the gap
		t.Errorf("the first instant after the gap: %d", instant)
	}
}

func TestValuesFitWhereTheyAreTheSameNumber(t *testing.T) {
	t.Parallel()
	of := datatype.Of
	ny := zone(t, "America/New_York")
	tenth, fifth := 0.1, 0.2
	sum := tenth + fifth
	noon := time.Date(2013, 6, 1, 16, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		to   datatype.Type
		from any
		want string
	}{
		{of(datatype.Int16), int64(40000), "!is out of the range of the type"},
		{of(datatype.Int16), 3.0, "3"},
		{of(datatype.Int16), 3.5, "!is not a whole number"},
		{of(datatype.Int64), math.NaN(), "!is a number that the type cannot hold exactly"},
		{of(datatype.Float64), math.Inf(1), "Infinity"},
		{datatype.DecimalOf(2, 1), 0.1, "0.1"},
		{datatype.DecimalOf(2, 1), sum, "!has more digits after the point than the type keeps"},
		{of(datatype.Float32), 0.1, "0.1"},
		{of(datatype.Float32), sum, "!is a number that the type cannot hold exactly"},
		{of(datatype.Float64), float32(0.1), "0.10000000149011612"},
		{of(datatype.Float64), int64(1<<53 + 1), "!is a number that the type cannot hold exactly"},
		{of(datatype.Float64), int64(1<<62 + 1<<20), "4611686018428436000"},
		{of(datatype.Float64), big.NewRat(1, 10), "0.1"},
		{of(datatype.String), big.NewRat(3, 2), "1.5"},
		{of(datatype.String), 1e21, "1e+21"},
		{of(datatype.String), true, "true"},
		{of(datatype.Bool), int64(1), "!has a type that cannot become the field's"},
		{of(datatype.Int16), true, "!has a type that cannot become the field's"},
		{of(datatype.Timestamp), value.Day(1), "1970-01-02T00:00:00"},
		{of(datatype.TimestampTZ), value.Day(1), "1970-01-02T05:00:00Z"},
		{of(datatype.Timestamp), noon, "2013-06-01T12:00:00"},
		{of(datatype.TimestampTZ), value.Wall{Time: noon}, "2013-06-01T20:00:00Z"},
		{of(datatype.Date), value.Wall{Time: noon}, "!is not a midnight, so it is not a date"},
		{of(datatype.Date), value.Wall{Time: noon.Truncate(24 * time.Hour)}, "2013-06-01"},
		{of(datatype.TimestampTZ), noon.Add(1), "!has more digits after the point than the type keeps"},
		{of(datatype.String), noon, "2013-06-01T16:00:00Z"},
		{of(datatype.Time), value.Clock(time.Hour), "01:00:00"},
		{of(datatype.Bytes), []byte{1}, `\x01`},
		{of(datatype.String), []byte{1}, "!has a type that cannot become the field's"},
		{of(datatype.JSON), []any{int64(1), "<"}, `[1,"<"]`},
		{datatype.ListOf(of(datatype.Int16)), []any{int64(1)}, "[1]"},
		{of(datatype.Int16), nil, ""},
	} {
		caster, err := value.NewCaster(c.to, ny, "")
		if err != nil {
			t.Fatal(err)
		}
		v, f := caster.Value(c.from)
		got := value.Text(v)
		if f != value.Sound {
			got = "!" + f.String()
		}
		if got != c.want {
			t.Errorf("%v (%T) as %s: %s, want %s", c.from, c.from, c.to, got, c.want)
		}
	}
}

func TestCoerceChangesOnlyWhatItsRulesName(t *testing.T) {
	t.Parallel()
	of := datatype.Of
	for _, c := range []struct {
		to   datatype.Type
		text string
		want string
	}{
		{of(datatype.Int16), " 12.5 ", "13"},
		{of(datatype.Int16), "-12.5", "-13"},
		{of(datatype.Int16), "1e3", "1000"},
		{of(datatype.Int16), "1e9", "!is out of the range of the type"},
		{of(datatype.Int16), "x", "!is not a number"},
		{of(datatype.Int16), "1e999999999", "!is not a number"},
		{datatype.DecimalOf(5, 2), "2.675", "2.68"},
		{datatype.DecimalOf(3, 2), "9.999", "!is out of the range of the type"},
		{of(datatype.Bool), " true", "true"},
		{of(datatype.Date), "2013-06-01T23:00:00-05:00", "2013-06-01"},
		{of(datatype.Date), "2013-02-30", "!is a day that does not exist"},
		{of(datatype.TimestampTZ), "2013-06-01", "2013-06-01T04:00:00Z"},
		{of(datatype.TimestampTZ), "2013-11-03T01:30:00", "2013-11-03T05:30:00Z"},
		{of(datatype.TimestampTZ), "2013-03-10T02:30:00", "2013-03-10T07:00:00Z"},
		{of(datatype.TimestampTZ), "2013-06-01T00:00:00.1234567Z", "2013-06-01T00:00:00.123456Z"},
		{of(datatype.Timestamp), "2013-06-01T16:00:00Z", "2013-06-01T12:00:00"},
		{datatype.Type{Kind: datatype.String, Length: 2}, "äöü", "äö"},
		{of(datatype.String), "a\x00", "!contains the character NUL"},
	} {
		caster, err := value.NewCaster(c.to, zone(t, "America/New_York"), "")
		if err != nil {
			t.Fatal(err)
		}
		v, f := caster.Lossy().Text(c.text)
		got := value.Text(v)
		if f != value.Sound {
			got = "!" + f.String()
		}
		if got != c.want {
			t.Errorf("%q as %s: %s, want %s", c.text, c.to, got, c.want)
		}
	}
}

func TestAFormatIsTheOnlyWayToReadItsField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   datatype.Kind
		format string
		text   string
		want   string
	}{
		{datatype.Date, "dd.MM.yyyy", "01.06.2013", "2013-06-01"},
		{datatype.Date, "dd.MM.yyyy", "2013-06-01", "!is not written in the field's format"},
		{datatype.Date, "d/M/yyyy", "31/6/2013", "!is a day that does not exist"},
		{datatype.Date, "yyyyMMdd", "20130601", "2013-06-01"},
		{datatype.TimestampTZ, "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2013-06-01T12:00:00.250+02:00", "2013-06-01T10:00:00.25Z"},
		{datatype.Timestamp, "MM/dd/yyyy hh:mm a", "06/01/2013 12:05 AM", "2013-06-01T00:05:00"},
		{datatype.Timestamp, "MM/dd/yyyy hh:mm a", "06/01/2013 13:05 AM", "!is not written in the field's format"},
		{datatype.Time, "HHmm", "0517", "05:17:00"},
		{datatype.Time, "HHmm", "2400", "!is not written in the field's format"},
		{datatype.Time, "H'h'''", "7h'", "07:00:00"},
	} {
		caster, err := value.NewCaster(datatype.Of(c.kind), nil, c.format)
		if err != nil {
			t.Fatal(err)
		}
		v, f := caster.Text(c.text)
		got := value.Text(v)
		if f != value.Sound {
			got = "!" + f.String()
		}
		if got != c.want {
			t.Errorf("%q by %s: %s, want %s", c.text, c.format, got, c.want)
		}
	}
	for format, kind := range map[string]datatype.Kind{
		"yy-MM-dd": datatype.Date, "MMM dd yyyy": datatype.Date, "yyyy-MM": datatype.Date, "yyyy-MM-dd HH": datatype.Date, "hh:mm": datatype.Time,
		"yyyy-MM-dd'": datatype.Date, "[yyyy]-MM-dd": datatype.Date, "yyyy-MM-dd HH:ss": datatype.Timestamp, "yyyy-MM-dd HH:mmX": datatype.Timestamp, "x": datatype.Int16,
	} {
		if _, err := value.NewCaster(datatype.Of(kind), nil, format); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s is accepted for a %s: %v", format, kind, err)
		}
	}
}

func TestCastWithoutAZoneSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := value.Cast("2013-01-01T05:00:00", datatype.Of(datatype.TimestampTZ))
	want := `"2013-01-01T05:00:00" has no time zone, and the contract names no default`
	if !fault.Is(err, fault.Refused) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	got, err := value.Cast("12", datatype.Of(datatype.Int64))
	if diff := cmp.Diff(any(int64(12)), got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("2013-01-01T05:00:00.5+05:30", "dd.MM.yyyy")
	f.Add("-12.50e3", "HH'x'mm")
	f.Fuzz(func(t *testing.T, text, format string) {
		types := []datatype.Type{datatype.ListOf(datatype.Of(datatype.Int16)), datatype.StructOf(datatype.Field{Name: "a", Type: datatype.ListOf(datatype.Of(datatype.JSON))})}
		for _, k := range datatype.Kinds() {
			if k != datatype.List && k != datatype.Struct {
				types = append(types, datatype.Of(k))
			}
		}
		for _, to := range types {
			for _, form := range []string{"", format} {
				c, err := value.NewCaster(to, time.UTC, form)
				if err != nil {
					continue
				}
				v, flaw := c.Text(text)
				if flaw != value.Sound || form != "" || to.IsNested() {
					c.Lossy().Text(text)
					continue
				}
				again, flaw := c.Text(value.Text(v))
				if order, ok := value.Compare(v, again); flaw != value.Sound || ok && order != 0 {
					t.Errorf("%q became %v and then %v (%s) as %s", text, v, again, flaw, to)
				}
			}
		}
	})
}
