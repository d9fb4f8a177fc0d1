package task

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func TestRulesCompareNumbersExactlyAndTextsAsTexts(t *testing.T) {
	t.Parallel()
	integer := func(n int64) arrow.Array {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		b.Append(n)
		return b.NewArray()
	}
	float := func(f float64) arrow.Array {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.Append(f)
		return b.NewArray()
	}
	text := func(s string) arrow.Array {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		b.Append(s)
		return b.NewArray()
	}
	for _, c := range []struct {
		value    arrow.Array
		operator string
		wanted   string
		holds    bool
	}{
		{integer(9007199254740993), "mustBe", "9007199254740992", false},
		{integer(9007199254740993), "mustBe", "9007199254740993", true},
		{integer(9007199254740993), "mustBeGreaterThan", "9007199254740992", true},
		{integer(3), "mustBe", "3.0", true},
		{integer(3), "mustBeBetween", "[1, 3]", true},
		{integer(4), "mustNotBeBetween", "[1, 3]", true},
		{float(0.5), "mustBeLessThan", "0.5", false},
		{float(math.NaN()), "mustBeLessThan", "1", false},
		{float(math.Inf(1)), "mustNotBe", "1", false},
		{text("2013"), "mustBe", `"2013"`, true},
		{text("2013"), "mustBe", "2013", false},
		{text("x"), "mustNotBe", `"y"`, true},
	} {
		o := observed(c.value, 0)
		if got, err := holds(c.operator, o.value, json.RawMessage(c.wanted)); err != nil || got != c.holds {
			t.Errorf("%s %s %s: %v, %v", o.said, c.operator, c.wanted, got, err)
		}
	}
	if _, err := holds("mustBeLessThan", "x", json.RawMessage("1")); err == nil {
		t.Error("a text is compared as a number")
	}
}
