package contract_test

import (
	"errors"
	"math"
	"testing"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/pattern"
)

func TestARowCheckJudgesTheValueAfterTheCast(t *testing.T) {
	t.Parallel()
	integer := datatype.Of(datatype.Int32)
	for _, c := range []struct {
		name  string
		check contract.Check
		value any
		fails bool
	}{
		{"a null is not out of range", contract.Check{Kind: contract.KindRange, Type: integer, Max: &contract.Bound{Value: "2359"}}, nil, false},
		{"text is cast", contract.Check{Kind: contract.KindRange, Type: integer, Max: &contract.Bound{Value: "2359"}}, "2400", true},
		{"the end belongs to the range", contract.Check{Kind: contract.KindRange, Type: integer, Max: &contract.Bound{Value: "2359"}}, "2359", false},
		{"unless it is exclusive", contract.Check{Kind: contract.KindRange, Type: integer, Max: &contract.Bound{Value: "2359", Exclusive: true}}, int64(2359), true},
		{"a bound may be finer than the type", contract.Check{Kind: contract.KindRange, Type: integer, Min: &contract.Bound{Value: "0.5"}}, int64(0), true},
		{"only type fails what is no number", contract.Check{Kind: contract.KindRange, Type: integer, Max: &contract.Bound{Value: "1"}}, "x", false},
		{"type does", contract.Check{Kind: contract.KindType, Type: integer}, "x", true},
		{"NaN is in no range", contract.Check{Kind: contract.KindRange, Type: datatype.Of(datatype.Float64), Min: &contract.Bound{Value: "0"}}, math.NaN(), true},
		{"bounds of floats are floats", contract.Check{Kind: contract.KindRange, Type: datatype.Of(datatype.Float64), Max: &contract.Bound{Value: "0.1"}}, "0.1", false},
		{"a date has a range", contract.Check{Kind: contract.KindRange, Type: datatype.Of(datatype.Date), Min: &contract.Bound{Value: "2013-01-01"}}, "2012-12-31", true},
		{"a null is missing", contract.Check{Kind: contract.KindRequired, Type: integer}, nil, true},
		{"an empty text is not", contract.Check{Kind: contract.KindRequired, Type: datatype.Of(datatype.String)}, "", false},
		{"multiples are exact", contract.Check{Kind: contract.KindMultiple, Type: datatype.Of(datatype.Float64), MultipleOf: "0.1"}, "0.3", false},
		{"and so is what is none", contract.Check{Kind: contract.KindMultiple, Type: datatype.DecimalOf(4, 2), MultipleOf: "0.05"}, "0.11", true},
		{"length counts characters", contract.Check{Kind: contract.KindLength, Type: datatype.Of(datatype.String), MaxLength: new(int64(2))}, "äß", false},
		{"an enum compares values", contract.Check{Kind: contract.KindEnum, Type: integer, Values: []string{"1", "2"}}, "+1.0", false},
		{"and no others", contract.Check{Kind: contract.KindEnum, Type: integer, Values: []string{"1", "2"}}, "3", true},
		{"an empty enum admits nothing", contract.Check{Kind: contract.KindEnum, Type: integer}, "3", true},
		{"forbidden values fail", contract.Check{Kind: contract.KindForbidden, Type: datatype.Of(datatype.String), Values: []string{"n/a"}}, "n/a", true},
		{"null only where it says so", contract.Check{Kind: contract.KindForbidden, Type: datatype.Of(datatype.String), Nulls: true}, nil, true},
		{"a stage check says nothing of a value", contract.Check{Kind: contract.KindUnique, Type: integer}, "x", false},
		{"a check that cannot be prepared fails", contract.Check{Kind: contract.KindPattern, Type: datatype.Of(datatype.String), Pattern: &pattern.Pattern{Text: "(?=a)"}}, "a", true},
	} {
		c.check.OnFail = contract.Quarantine
		got := c.check.Judge(c.value)
		if got.Failed() != c.fails || c.fails && (got.Verdict != contract.Quarantine || got.Reason == "") {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestAPatternBeyondRE2IsAskedOutside(t *testing.T) {
	t.Parallel()
	check := contract.Check{Kind: contract.KindPattern, OnFail: contract.Warn, Type: datatype.Of(datatype.String), Pattern: &pattern.Pattern{Text: "(?=a)"}}
	j, err := contract.NewJudge(check, contract.Outside{Pattern: func(string) (pattern.Matcher, error) {
		return func(text string) (bool, error) {
			if text == "slow" {
				return false, errors.New("took too long")
			}
			return text == "a", nil
		}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if f := j.Judge("a"); f.Failed() {
		t.Errorf("%+v", f)
	}
	if f := j.Judge("slow"); !f.Failed() {
		t.Error("a match that cannot be told passes")
	}
}

func TestCountsAreHeldAgainstTheirCondition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		check    contract.Check
		measured any
		rows     int64
		fails    bool
	}{
		{contract.Check{Kind: contract.KindRowCount, Operator: contract.MustBeGreaterThan, Operands: []string{"500"}}, int64(500), 500, true},
		{contract.Check{Kind: contract.KindRowCount, Operator: contract.MustBeGreaterOrEqualTo, Operands: []string{"500"}}, int64(500), 500, false},
		{contract.Check{Kind: contract.KindNullValues, Operator: contract.MustBeLessThan, Operands: []string{"5"}, Percent: true}, int64(5), 100, true},
		{contract.Check{Kind: contract.KindNullValues, Operator: contract.MustBeLessThan, Operands: []string{"5"}, Percent: true}, int64(0), 0, false},
		{contract.Check{Kind: contract.KindSQL, Operator: contract.MustBeBetween, Operands: []string{"1", "3"}}, 3.0, 0, false},
		{contract.Check{Kind: contract.KindSQL, Operator: contract.MustNotBeBetween, Operands: []string{"1", "3"}}, "1e0", 0, true},
		{contract.Check{Kind: contract.KindSQL, Operator: contract.MustBe, Operands: []string{"1"}}, true, 0, false},
		{contract.Check{Kind: contract.KindSQL, Operator: contract.MustNotBe, Operands: []string{"1"}}, nil, 0, true},
		{contract.Check{Kind: contract.KindKey}, int64(1), 9, true},
		{contract.Check{Kind: contract.KindUnique}, int64(0), 9, false},
	} {
		c.check.OnFail = contract.Reject
		if f := c.check.Met(c.measured, c.rows); f.Failed() != c.fails || c.fails && f.Reason == "" {
			t.Errorf("%s %s %v of %v: %+v", c.check.Kind, c.check.Operator, c.check.Operands, c.measured, f)
		}
	}
}
