package value_test

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/value"
)

func TestTypesAreGuessedByWhatLosesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ texts, want string }{
		{"", "string"},
		{"true|False|TRUE", "bool"},
		{"true|yes", "string"},
		{"t", "string"},
		{"1|0", "int64"},
		{"9223372036854775807|-9223372036854775808", "int64"},
		{"9223372036854775808", "string"}, // as a float it would be another number
		{"18014398509481984000", "float64"},
		{"007", "string"},
		{"90210|02134", "string"},
		{"-01", "string"},
		{"+49301234567", "string"},
		{"0|-0", "float64"},
		{"1|2.5|-3", "float64"},
		{"0.1|.5|1e3|2.50", "float64"},
		{"12.", "string"},
		{"1,000", "string"},
		{"1_000", "string"},
		{"0x10", "string"},
		{"1e400", "string"},
		{"0e-999999999|0.000", "float64"},
		{"1e-999999999", "string"}, // it would become zero
		{"9007199254740993|0.5", "string"},
		{"0.1234567890123456789", "string"},
		{"12345678901234567e-5|1", "float64"},
		{strings.Repeat("1", 500), "string"},
		{"NaN|1.5|-inf", "float64"},
		{"nan|inf", "string"},
		{"1|2|n/a", "string"},
		{"2026-02-28|0001-01-01", "date"},
		{"2026-02-30", "string"},
		{"26-01-01", "string"},
		{"20260101", "int64"},
		{"2026-01-01T10:00|2026-01-01 10:00:00.123456", "timestamp"},
		{"2026-01-01T10:00:00.1234567", "string"},
		{"2026-01-01T10:00Z|2026-01-01 10:00:00+02", "timestamptz"},
		{"2026-01-01T10:00Z|2026-01-01T10:00", "string"},
		{"2026-01-01|2026-01-01T10:00", "string"},
		{"10:30", "string"},
		{"2026-01-01|5", "string"},
		{" 1", "string"},
		{"-|.", "string"},
		{"{}", "string"},
	} {
		var g value.Guess
		for text := range strings.SplitSeq(test.texts, "|") {
			g.Text(text)
		}
		if got := g.Type().String(); got != test.want {
			t.Errorf("%q is guessed to be %s, want %s", test.texts, got, test.want)
		}
	}
	var none value.Guess
	if got := none.Type().String(); got != "string" {
		t.Errorf("no value at all is guessed to be %s, want string", got)
	}
}

func TestTextsInQuotesAreTimesOrText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ texts, want string }{
		{"1", "string"}, {"true", "string"}, {"2026-01-01", "date"}, {"2026-01-01T10:00Z", "timestamptz"}, {"2026-01-01T10:00", "timestamp"}, {"NaN", "string"},
	} {
		var g value.Guess
		g.Quoted(test.texts)
		if got := g.Type().String(); got != test.want {
			t.Errorf("%q in quotes is guessed to be %s, want %s", test.texts, got, test.want)
		}
	}
	var g value.Guess
	g.Document()
	if got := g.Type().String(); got != "json" {
		t.Errorf("a document is guessed to be %s, want json", got)
	}
	g.Text("1")
	if got := g.Type().String(); got != "string" {
		t.Errorf("a document beside a number is guessed to be %s, want string", got)
	}
}

// What a guess says, the casts keep: the value reads back as what was written, but for the ways of writing a number or a time.
func TestAGuessedTypeReadsEveryTextThatLedToIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.OneOf(
			rapid.StringMatching(`[-+]?[0-9]{0,20}(\.[0-9]{0,20})?(e-?[0-9]{1,3})?`),
			rapid.StringMatching(`[0-9]{4}-[0-1][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,7})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?`),
			rapid.SampledFrom([]string{"true", "FALSE", "NaN", "-Infinity", "", "x"}),
			rapid.String(),
		)
		texts := rapid.SliceOfN(some, 1, 4).Draw(t, "texts")
		var g value.Guess
		for _, text := range texts {
			g.Text(text)
		}
		for _, text := range texts {
			if g.Type().Kind == "string" {
				continue
			}
			v, err := value.Cast(text, g.Type())
			if err != nil {
				t.Fatalf("%q was guessed to be %s: %v", text, g.Type(), err)
			}
			if n, ok := v.(int64); ok && strconv.FormatInt(n, 10) != text {
				t.Fatalf("%q became %d", text, n)
			}
		}
	})
}
