package kernel

import (
	"math"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Check judges columns that were cast to the check's type.
type Check struct {
	check   contract.Check
	outside contract.Outside
	judge   *contract.Judge
	fast    func(arrow.Array, *Bits) bool // false: not this column
}

// NewCheck prepares a row check, but for the type rule, whose verdict is the
// cast itself. Errors are of kind Invalid.
func NewCheck(c contract.Check, outside contract.Outside) (*Check, error) {
	if c.Scope() != contract.ScopeRow || c.Kind == contract.KindType {
		return nil, fault.New(fault.Internal, "a check of the kind %s has no form over columns", c.Kind)
	}
	judge, err := contract.NewJudge(c, outside)
	if err != nil {
		return nil, err
	}
	k := &Check{check: c, outside: outside, judge: judge}
	k.fast, err = k.prepare()
	return k, err
}

// Failures puts the rows that fail into the set, which it resets.
func (k *Check) Failures(in arrow.Array, failed *Bits) {
	failed.Reset(in.Len())
	if k.fast != nil && k.fast(in, failed) {
		return
	}
	for i := range in.Len() {
		if k.judge.Judge(Value(in, i, k.check.Type)).Failed() {
			failed.Set(i)
		}
	}
}

// Reason says why a row fails.
func (k *Check) Reason(in arrow.Array, i int) string {
	return k.judge.Judge(Value(in, i, k.check.Type)).Reason
}

// Judge judges one value as it was read.
func (k *Check) Judge(v any) contract.Finding { return k.judge.Judge(v) }

// prepare chooses the fast form; nil where there is none.
func (k *Check) prepare() (func(arrow.Array, *Bits) bool, error) {
	c := k.check
	switch c.Kind {
	case contract.KindRequired:
		return nulls, nil
	case contract.KindRange:
		if c.Min != nil || c.Max != nil {
			return k.prepareRange()
		}
	case contract.KindLength:
		if c.Type.Kind == datatype.String {
			return k.lengths, nil
		}
	case contract.KindPattern:
		if c.Pattern.RE2 != "" {
			m, err := newMatcher(c.Pattern.RE2)
			if err != nil {
				return nil, fault.New(fault.Invalid, "pattern %q: %w", c.Pattern.Text, err)
			}
			return textsFailing(func(text string) bool { return !m.match(text) }), nil
		}
	case contract.KindEnum, contract.KindForbidden:
		return k.prepareValues(), nil
	case contract.KindMultiple:
		if c.Type.IsInteger() && c.Type.Kind != datatype.Uint64 {
			step := value.Rat(c.MultipleOf).Num()
			if !step.IsInt64() {
				return integersFailing(func(n int64) bool { return n != 0 }), nil
			}
			by := step.Int64()
			return integersFailing(func(n int64) bool { return n%by != 0 }), nil
		}
	default:
	}
	return nil, nil
}

func nulls(in arrow.Array, failed *Bits) bool {
	if in.NullN() == 0 {
		return true
	}
	for i := range in.Len() {
		if in.IsNull(i) {
			failed.Set(i)
		}
	}
	return true
}

func textsFailing(fails func(string) bool) func(arrow.Array, *Bits) bool {
	return func(in arrow.Array, failed *Bits) bool {
		a, ok := in.(*array.String)
		if !ok {
			return false
		}
		for i := range a.Len() {
			if a.IsValid(i) && fails(a.Value(i)) {
				failed.Set(i)
			}
		}
		return true
	}
}

func integersFailing(fails func(int64) bool) func(arrow.Array, *Bits) bool {
	return func(in arrow.Array, failed *Bits) bool {
		read := integers(in)
		if read == nil {
			return false
		}
		for i := range in.Len() {
			if fails(read(i)) && in.IsValid(i) {
				failed.Set(i)
			}
		}
		return true
	}
}

// beyond puts the rows whose value is not from least to most into the set. NaN
// is in no range.
func beyond[T int16 | int32 | int64 | uint64 | float32 | float64 | arrow.Date32 | arrow.Time64 | arrow.Timestamp](in arrow.Array, values []T, failed *Bits, least, most T) bool {
	if in.NullN() == 0 {
		for i, v := range values {
			if !(v >= least && v <= most) {
				failed.Set(i)
			}
		}
		return true
	}
	for i, v := range values {
		if !(v >= least && v <= most) && in.IsValid(i) {
			failed.Set(i)
		}
	}
	return true
}

func (k *Check) prepareRange() (func(arrow.Array, *Bits) bool, error) {
	t := k.check.Type
	switch {
	case t.Kind == datatype.Int16, t.Kind == datatype.Int32, t.Kind == datatype.Int64:
		return k.integerRange(), nil
	case t.Kind == datatype.Decimal && t.Precision > 0:
		return k.decimalRange(), nil
	case t.IsFloat():
		return k.floatRange()
	case t.Kind == datatype.Date, t.Kind == datatype.Time, t.Kind == datatype.Timestamp, t.Kind == datatype.TimestampTZ:
		return k.timeRange()
	}
	return nil, nil
}

func everything(in arrow.Array, failed *Bits) bool {
	for i := range in.Len() {
		if in.IsValid(i) {
			failed.Set(i)
		}
	}
	return true
}

func (k *Check) integerRange() func(arrow.Array, *Bits) bool {
	low, high, none := k.check.Grid()
	if none {
		return everything
	}
	least, most := value.IntegerRange(k.check.Type.Kind)
	if low != nil {
		least = low.Int64()
	}
	if high != nil {
		most = high.Int64()
	}
	return func(in arrow.Array, failed *Bits) bool {
		switch a := in.(type) {
		case *array.Int16:
			return beyond(in, a.Int16Values(), failed, int16(least), int16(most))
		case *array.Int32:
			return beyond(in, a.Int32Values(), failed, int32(least), int32(most))
		case *array.Int64:
			return beyond(in, a.Int64Values(), failed, least, most)
		}
		return false
	}
}

func (k *Check) decimalRange() func(arrow.Array, *Bits) bool {
	low, high, none := k.check.Grid()
	if none {
		return everything
	}
	var least, most decimal128.Num
	if low != nil {
		least = decimal128.FromBigInt(low)
	}
	if high != nil {
		most = decimal128.FromBigInt(high)
	}
	return func(in arrow.Array, failed *Bits) bool {
		a, ok := in.(*array.Decimal128)
		if !ok {
			return false
		}
		for i, v := range a.Values() {
			if (low != nil && v.Less(least) || high != nil && v.Greater(most)) && a.IsValid(i) {
				failed.Set(i)
			}
		}
		return true
	}
}

// bound reads one end of the range; ok is false where there is none.
func (k *Check) bound(b *contract.Bound) (v any, ok bool, err error) {
	if b == nil {
		return nil, false, nil
	}
	zone, err := k.outside.Location(k.check.Zone)
	if err != nil {
		return nil, false, err
	}
	caster, err := value.NewCaster(k.check.Type, zone, "")
	if err != nil {
		return nil, false, err
	}
	v, flaw := caster.Text(b.Value)
	if flaw != value.Sound {
		return nil, false, fault.New(fault.Invalid, "%q %s", b.Value, flaw)
	}
	return v, true, nil
}

func (k *Check) floatRange() (func(arrow.Array, *Bits) bool, error) {
	least, most := math.Inf(-1), math.Inf(1)
	single := k.check.Type.Kind == datatype.Float32
	for _, end := range []struct {
		bound  *contract.Bound
		target *float64
		inward float64
	}{{k.check.Min, &least, math.Inf(1)}, {k.check.Max, &most, math.Inf(-1)}} {
		v, ok, err := k.bound(end.bound)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		switch v := v.(type) {
		case float64:
			*end.target = v
			if end.bound.Exclusive {
				*end.target = math.Nextafter(v, end.inward)
			}
		case float32:
			*end.target = float64(v)
			if end.bound.Exclusive {
				*end.target = float64(math.Nextafter32(v, float32(end.inward)))
			}
		}
		if end.bound.Exclusive && math.IsInf(*end.target, 0) && (*end.target > 0) == (end.inward > 0) {
			return nil, nil // nothing is beyond an infinity: rare enough for the reference
		}
	}
	return func(in arrow.Array, failed *Bits) bool {
		switch a := in.(type) {
		case *array.Float32:
			return single && beyond(in, a.Float32Values(), failed, float32(least), float32(most))
		case *array.Float64:
			return !single && beyond(in, a.Float64Values(), failed, least, most)
		}
		return false
	}, nil
}

// timeRange compares dates, times and timestamps by the numbers that carry them.
func (k *Check) timeRange() (func(arrow.Array, *Bits) bool, error) {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	for _, end := range []struct {
		bound  *contract.Bound
		target *int64
		inward int64
	}{{k.check.Min, &least, 1}, {k.check.Max, &most, -1}} {
		v, ok, err := k.bound(end.bound)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		b := array.NewBuilder(memory.DefaultAllocator, k.check.Type.Arrow())
		err = appendValue(b, v)
		carrier := b.NewArray()
		b.Release()
		if err != nil {
			return nil, err
		}
		*end.target = carried(carrier)
		carrier.Release()
		if end.bound.Exclusive {
			*end.target += end.inward
		}
	}
	return func(in arrow.Array, failed *Bits) bool {
		switch a := in.(type) {
		case *array.Date32:
			return beyond(in, a.Date32Values(), failed, arrow.Date32(max(least, math.MinInt32)), arrow.Date32(min(most, math.MaxInt32)))
		case *array.Time64:
			return beyond(in, a.Time64Values(), failed, arrow.Time64(least), arrow.Time64(most))
		case *array.Timestamp:
			return beyond(in, a.TimestampValues(), failed, arrow.Timestamp(least), arrow.Timestamp(most))
		}
		return false
	}, nil
}

func carried(in arrow.Array) int64 {
	switch a := in.(type) {
	case *array.Date32:
		return int64(a.Value(0))
	case *array.Time64:
		return int64(a.Value(0))
	case *array.Timestamp:
		return int64(a.Value(0))
	}
	return 0
}

// lengths counts characters, where the number of bytes does not tell already.
func (k *Check) lengths(in arrow.Array, failed *Bits) bool {
	a, ok := in.(*array.String)
	if !ok {
		return false
	}
	least, most := 0, math.MaxInt
	if k.check.MinLength != nil {
		least = int(*k.check.MinLength)
	}
	if k.check.MaxLength != nil {
		most = int(*k.check.MaxLength)
	}
	for i := range a.Len() {
		n := a.ValueLen(i)
		if n >= least*utf8.UTFMax && n <= most || a.IsNull(i) {
			continue
		}
		if n = utf8.RuneCountInString(a.Value(i)); n < least || n > most {
			failed.Set(i)
		}
	}
	return true
}

// prepareValues compares with a list of values.
func (k *Check) prepareValues() func(arrow.Array, *Bits) bool {
	c := k.check
	fails := c.Kind == contract.KindForbidden // whether a value of the list does
	var find func(arrow.Array, *Bits) bool
	switch {
	case c.Type.Kind == datatype.String:
		words := c.Values
		if len(words) <= 8 {
			find = textsFailing(func(text string) bool {
				if slices.Contains(words, text) {
					return fails
				}
				return !fails
			})
			break
		}
		set := make(map[string]bool, len(words))
		for _, w := range words {
			set[w] = true
		}
		find = textsFailing(func(text string) bool { return set[text] == fails })
	case c.Type.IsInteger() && c.Type.Kind != datatype.Uint64:
		set := make(map[int64]bool, len(c.Values))
		for _, text := range c.Values {
			n, _ := value.ParseInteger(text, math.MinInt64, math.MaxInt64) // NewJudge has read it
			set[n] = true
		}
		find = integersFailing(func(n int64) bool { return set[n] == fails })
	default:
		return nil
	}
	if !c.Nulls {
		return find
	}
	return func(in arrow.Array, failed *Bits) bool { return find(in, failed) && nulls(in, failed) }
}
