package kernel

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// integersToDecimals scales whole numbers.
func (c *Caster) integersToDecimals(mem memory.Allocator, in arrow.Array, read func(int) int64, failed *Bits) arrow.Array {
	b := array.NewDecimal128Builder(mem, c.to.Arrow().(*arrow.Decimal128Type))
	defer b.Release()
	b.Reserve(in.Len())
	limit := decimal128.GetScaleMultiplier(c.to.Precision - c.to.Scale)
	unit := decimal128.GetScaleMultiplier(c.to.Scale)
	for i := range in.Len() {
		n := decimal128.FromI64(read(i))
		if n.Abs().GreaterEqual(limit) {
			if in.IsValid(i) {
				failed.Set(i)
			}
			n = decimal128.Num{}
		}
		b.UnsafeAppend(n.Mul(unit))
	}
	return combineNulls(mem, b.NewArray(), in, failed)
}

// castDecimals brings bounded decimals to another scale and precision.
func (c *Caster) castDecimals(mem memory.Allocator, in *array.Decimal128, failed *Bits) arrow.Array {
	from := in.DataType().(*arrow.Decimal128Type).Scale
	b := array.NewDecimal128Builder(mem, c.to.Arrow().(*arrow.Decimal128Type))
	defer b.Release()
	b.Reserve(in.Len())
	for i, n := range in.Values() {
		n, ok := rescale(n, from, int32(c.to.Scale), int32(c.to.Precision))
		if !ok && in.IsValid(i) {
			failed.Set(i)
		}
		b.UnsafeAppend(n)
	}
	return combineNulls(mem, b.NewArray(), in, failed)
}

// rescale keeps the number, or reports that the target cannot hold it. The digits
// are counted before the multiplication, which could run over.
func rescale(n decimal128.Num, from, to, precision int32) (decimal128.Num, bool) {
	before := precision - max(to-from, 0)
	if n == (decimal128.Num{}) {
		return n, true
	}
	if to >= from && (before <= 0 || !n.FitsInPrecision(before)) {
		return decimal128.Num{}, false
	}
	if to != from {
		var err error
		if n, err = n.Rescale(from, to); err != nil {
			return decimal128.Num{}, false
		}
	}
	return n, n.FitsInPrecision(precision)
}

// decimalsToFloats divides: up to 15 digits are the shortest text of the nearest
// number, and both they and the divisor are exact, so that the quotient is that
// number. One value with more digits sends the column to the reference.
func (c *Caster) decimalsToFloats(mem memory.Allocator, in *array.Decimal128, failed *Bits) (arrow.Array, bool) {
	scale := in.DataType().(*arrow.Decimal128Type).Scale
	if scale < 0 || scale > 22 {
		return nil, false
	}
	const most = 999_999_999_999_999
	unit := 1.0
	for range scale {
		unit *= 10
	}
	for i, n := range in.Values() {
		if high, low := n.HighBits(), int64(n.LowBits()); (high != low>>63 || low > most || low < -most) && in.IsValid(i) {
			return nil, false
		}
	}
	b := array.NewFloat64Builder(mem)
	defer b.Release()
	b.Reserve(in.Len())
	for _, n := range in.Values() {
		b.UnsafeAppend(float64(int64(n.LowBits())) / unit)
	}
	return combineNulls(mem, b.NewArray(), in, failed), true
}
