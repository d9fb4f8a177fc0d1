package kernel

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/value"
)

// castFast casts typed columns that have a fast form: the same type, whole
// numbers among each other and to floats, timestamps of other units.
func (c *Caster) castFast(mem memory.Allocator, in arrow.Array, failed *Bits) (arrow.Array, bool) {
	if c.unchanged(in) {
		in.Retain()
		return in, true
	}
	if c.to.IsInteger() || c.to.Kind == datatype.Float64 {
		if read := integers(in); read != nil {
			return c.castIntegers(mem, in, read, failed), true
		}
	}
	if c.to.Kind == datatype.Decimal && c.to.Precision > 0 {
		if read := integers(in); read != nil {
			return c.integersToDecimals(mem, in, read, failed), true
		}
		if decimals, ok := in.(*array.Decimal128); ok {
			return c.castDecimals(mem, decimals, failed), true
		}
	}
	if decimals, ok := in.(*array.Decimal128); ok && c.to.Kind == datatype.Float64 {
		return c.decimalsToFloats(mem, decimals, failed)
	}
	stamps, ok := in.(*array.Timestamp)
	if ok && c.from.Kind == c.to.Kind && c.to.Precision == 0 {
		return c.castStamps(mem, stamps, failed), true
	}
	return nil, false
}

// unchanged reports whether every value stays what it is. Dates and timestamps
// are looked at: Arrow holds years beyond 9999.
func (c *Caster) unchanged(in arrow.Array) bool {
	if !arrow.TypeEqual(in.DataType(), c.to.Arrow()) || !c.from.Equal(c.to) {
		return false
	}
	switch a := in.(type) {
	case *array.Date32:
		for _, d := range a.Date32Values() {
			if d < firstDay || d >= endDay {
				return false
			}
		}
	case *array.Timestamp:
		for _, t := range a.TimestampValues() {
			if c.to.Precision == 0 && (t < firstMicro || t >= endMicro) {
				return false
			}
		}
	case *array.Time64:
		for _, t := range a.Time64Values() {
			if t < 0 || int64(t) >= microsPerDay*(1+999*int64(c.to.Precision/9)) {
				return false
			}
		}
	}
	return !c.to.IsNested() && !c.to.IsText()
}

const (
	firstDay     = -719162 // 0001-01-01
	endDay       = 2932897 // 10000-01-01
	microsPerDay = 24 * 60 * 60 * 1000 * 1000
	firstMicro   = firstDay * microsPerDay
	endMicro     = endDay * microsPerDay
)

// integers returns how to read row i of a column of whole numbers of at most 64
// bits with sign; nil for other columns.
func integers(in arrow.Array) func(i int) int64 {
	switch a := in.(type) {
	case *array.Int8:
		return readInteger(a.Int8Values())
	case *array.Int16:
		return readInteger(a.Int16Values())
	case *array.Int32:
		return readInteger(a.Int32Values())
	case *array.Int64:
		return readInteger(a.Int64Values())
	case *array.Uint8:
		return readInteger(a.Uint8Values())
	case *array.Uint16:
		return readInteger(a.Uint16Values())
	case *array.Uint32:
		return readInteger(a.Uint32Values())
	}
	return nil
}

func readInteger[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](values []T) func(int) int64 {
	return func(i int) int64 { return int64(values[i]) }
}

func (c *Caster) castIntegers(mem memory.Allocator, in arrow.Array, read func(int) int64, failed *Bits) arrow.Array {
	switch c.to.Kind {
	case datatype.Int16:
		return narrow(mem, array.NewInt16Builder(mem), in, read, failed, -1<<15, 1<<15-1)
	case datatype.Int32:
		return narrow(mem, array.NewInt32Builder(mem), in, read, failed, -1<<31, 1<<31-1)
	case datatype.Uint64:
		return narrow(mem, array.NewUint64Builder(mem), in, read, failed, 0, 1<<63-1)
	case datatype.Float64:
		b := array.NewFloat64Builder(mem)
		defer b.Release()
		b.Reserve(in.Len())
		for i := range in.Len() {
			n := read(i)
			f := float64(n)
			// 2^63 is no int64, and the conversion back of it is not defined. Beyond
			// 2^53 the shortest text may still be the same number.
			if (f >= 1<<63 || int64(f) != n) && in.IsValid(i) {
				if _, flaw := c.scalar.Value(n); flaw != value.Sound {
					failed.Set(i)
				}
			}
			b.UnsafeAppend(f)
		}
		return combineNulls(mem, b.NewArray(), in, failed)
	default:
		return narrow(mem, array.NewInt64Builder(mem), in, read, failed, -1<<63, 1<<63-1)
	}
}

func narrow[T int16 | int32 | int64 | uint64](mem memory.Allocator, b builder[T], in arrow.Array, read func(int) int64, failed *Bits, least, most int64) arrow.Array {
	defer b.Release()
	b.Reserve(in.Len())
	for i := range in.Len() {
		n := read(i)
		if (n < least || n > most) && in.IsValid(i) {
			failed.Set(i)
		}
		b.UnsafeAppend(T(n))
	}
	return combineNulls(mem, b.NewArray(), in, failed)
}

// castStamps brings timestamps of any unit to microseconds.
func (c *Caster) castStamps(mem memory.Allocator, in *array.Timestamp, failed *Bits) arrow.Array {
	multiply, divide := int64(1), int64(1)
	switch in.DataType().(*arrow.TimestampType).Unit {
	case arrow.Second:
		multiply = 1_000_000
	case arrow.Millisecond:
		multiply = 1000
	case arrow.Nanosecond:
		divide = 1000
	case arrow.Microsecond:
	}
	b := array.NewTimestampBuilder(mem, c.to.Arrow().(*arrow.TimestampType))
	defer b.Release()
	b.Reserve(in.Len())
	for i, t := range in.TimestampValues() {
		n := int64(t)
		sound := n%divide == 0 && n/divide >= firstMicro/multiply && n/divide < endMicro/multiply
		if !sound && in.IsValid(i) {
			failed.Set(i)
		}
		b.UnsafeAppend(arrow.Timestamp(n / divide * multiply))
	}
	return combineNulls(mem, b.NewArray(), in, failed)
}
