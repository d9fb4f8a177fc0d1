package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// observation is what a rule's query yields: a bool, a text, an exact number
// (*big.Rat), or nil for NULL, NaN and anything but one row, which satisfies no rule.
type observation struct {
	value any
	said  string
}

// single reads the one value that a rule's query yields.
func single(_ datatype.Schema, batches store.Batches, err error) (observation, error) {
	if err != nil {
		return observation{}, err
	}
	var out observation
	rows := 0
	for batch, err := range batches {
		if err != nil {
			return out, err
		}
		if batch.NumCols() != 1 {
			return out, fault.New(fault.Invalid, "the query yields %d columns; a rule needs one value", batch.NumCols())
		}
		if rows += int(batch.NumRows()); batch.NumRows() > 0 {
			out = observed(batch.Column(0), 0)
		}
	}
	if rows != 1 {
		return observation{said: fmt.Sprintf("%d rows, of which a rule needs one", rows)}, nil
	}
	return out, nil
}

func observed(column arrow.Array, row int) observation {
	if column.IsNull(row) {
		return observation{said: "NULL"}
	}
	said := datatype.ValueText(column, row)
	switch c := column.(type) {
	case *array.Boolean:
		return observation{c.Value(row), said}
	case *array.String:
		return observation{c.Value(row), said}
	}
	if number, ok := new(big.Rat).SetString(said); ok {
		return observation{number, said}
	}
	if arrow.IsFloating(column.DataType().ID()) {
		return observation{said: said} // NaN, or an infinity
	}
	return observation{said, said}
}

// holds compares an observed value by an ODCS operator; numbers exactly. NULL
// satisfies none.
func holds(operator string, observed any, wanted json.RawMessage) (bool, error) {
	want, err := wantedValue(wanted)
	if err != nil {
		return false, fault.New(fault.Invalid, "value of %s: %w", operator, err)
	}
	if observed == nil {
		return false, nil
	}
	number, isNumber := observed.(*big.Rat)
	if operator == "mustBe" || operator == "mustNotBe" {
		same := observed == want
		if exact, ok := want.(*big.Rat); ok && isNumber {
			same = number.Cmp(exact) == 0
		}
		return same == (operator == "mustBe"), nil
	}
	if !isNumber {
		return false, fault.New(fault.Invalid, "%s compares numbers, and the query yields %v", operator, observed)
	}
	bounds, err := numbers(want)
	if err != nil {
		return false, fault.New(fault.Invalid, "value of %s: %w", operator, err)
	}
	order := number.Cmp(bounds[0])
	switch operator {
	case "mustBeGreaterThan":
		return order > 0, nil
	case "mustBeGreaterOrEqualTo":
		return order >= 0, nil
	case "mustBeLessThan":
		return order < 0, nil
	case "mustBeLessOrEqualTo":
		return order <= 0, nil
	case "mustBeBetween", "mustNotBeBetween":
		if len(bounds) != 2 {
			return false, fault.New(fault.Invalid, "%s takes two numbers", operator)
		}
		within := order >= 0 && number.Cmp(bounds[1]) <= 0
		return within == (operator == "mustBeBetween"), nil
	}
	return false, fault.New(fault.Invalid, "no operator %q", operator)
}

// wantedValue reads the value of a rule; its numbers are exact.
func wantedValue(raw json.RawMessage) (any, error) {
	var v any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	exact := func(v any) any {
		if n, ok := v.(json.Number); ok {
			if number, ok := new(big.Rat).SetString(n.String()); ok {
				return number
			}
		}
		return v
	}
	if list, ok := v.([]any); ok {
		for i := range list {
			list[i] = exact(list[i])
		}
	}
	return exact(v), nil
}

func numbers(v any) ([]*big.Rat, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []*big.Rat
	for _, one := range list {
		n, ok := one.(*big.Rat)
		if !ok {
			return nil, fault.New(fault.Invalid, "%v is no number", one)
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "a number is missing")
	}
	return out, nil
}
