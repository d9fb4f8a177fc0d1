package kernel

import (
	"fmt"
	"math/big"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/value"
)

// Value returns row i of a column of type t as the Go value that core/value
// names for it, nil for null.
func Value(in arrow.Array, i int, t datatype.Type) any {
	if in.IsNull(i) {
		return nil
	}
	if read := integers(in); read != nil {
		return read(i)
	}
	switch a := in.(type) {
	case *array.String:
		return a.Value(i)
	case *array.LargeString:
		return a.Value(i)
	case *array.StringView:
		return a.Value(i)
	case *array.Dictionary:
		return Value(a.Dictionary(), a.GetValueIndex(i), t)
	case *array.Boolean:
		return a.Value(i)
	case *array.Uint64:
		return a.Value(i)
	case *array.Float16:
		return a.Value(i).Float32()
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Decimal32:
		return rational(big.NewInt(int64(a.Value(i))), a.DataType())
	case *array.Decimal64:
		return rational(big.NewInt(int64(a.Value(i))), a.DataType())
	case *array.Decimal128:
		return rational(a.Value(i).BigInt(), a.DataType())
	case *array.Decimal256:
		return rational(a.Value(i).BigInt(), a.DataType())
	case array.ExtensionArray:
		return Value(a.Storage(), i, t)
	case *array.List, *array.LargeList, *array.FixedSizeList, *array.ListView, *array.LargeListView, *array.Struct:
		return nested(in, i, t)
	}
	if b, ok := binary(in, i); ok {
		if t.Kind == datatype.UUID && len(b) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
		return b
	}
	return temporal(in, i, t)
}

func rational(units *big.Int, t arrow.DataType) *big.Rat {
	scale := t.(arrow.DecimalType).GetScale()
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		return new(big.Rat).SetInt(units.Mul(units, power))
	}
	return new(big.Rat).SetFrac(units, power)
}

func binary(in arrow.Array, i int) ([]byte, bool) {
	switch a := in.(type) {
	case *array.Binary:
		return a.Value(i), true
	case *array.LargeBinary:
		return a.Value(i), true
	case *array.BinaryView:
		return a.Value(i), true
	case *array.FixedSizeBinary:
		return a.Value(i), true
	}
	return nil, false
}

func temporal(in arrow.Array, i int, t datatype.Type) any {
	switch a := in.(type) {
	case *array.Date32:
		return value.Day(a.Value(i))
	case *array.Date64:
		return value.Day(floorDiv(int64(a.Value(i)), 86_400_000))
	case *array.Time32:
		return value.Clock(time.Duration(a.Value(i)) * a.DataType().(*arrow.Time32Type).Unit.Multiplier())
	case *array.Time64:
		return value.Clock(time.Duration(a.Value(i)) * a.DataType().(*arrow.Time64Type).Unit.Multiplier())
	case *array.Timestamp:
		at := instant(int64(a.Value(i)), a.DataType().(*arrow.TimestampType).Unit)
		if t.Kind == datatype.Timestamp {
			return value.Wall{Time: at}
		}
		return at
	}
	return nil
}

func instant(n int64, unit arrow.TimeUnit) time.Time {
	perSecond := int64(time.Second / unit.Multiplier())
	seconds := floorDiv(n, perSecond)
	return time.Unix(seconds, (n-seconds*perSecond)*int64(unit.Multiplier())).UTC()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func nested(in arrow.Array, i int, t datatype.Type) any {
	if a, ok := in.(array.ListLike); ok {
		start, end := a.ValueOffsets(i)
		items := make([]any, 0, end-start)
		elem := datatype.Type{}
		if t.Elem != nil {
			elem = *t.Elem
		}
		for j := start; j < end; j++ {
			items = append(items, Value(a.ListValues(), int(j), elem))
		}
		return items
	}
	a := in.(*array.Struct)
	members := make(map[string]any, a.NumField())
	for j, f := range a.DataType().(*arrow.StructType).Fields() {
		member := datatype.Type{}
		if k := (datatype.Schema{Fields: t.Fields}).Index(f.Name); k >= 0 {
			member = t.Fields[k].Type
		}
		members[f.Name] = Value(a.Field(j), i, member)
	}
	return members
}

// appendFrom appends row i of an array of the builder's own type.
func appendFrom(b array.Builder, in arrow.Array, i int) error {
	field, err := datatype.FieldFromArrow(arrow.Field{Name: "x", Type: in.DataType()})
	if err != nil {
		return err
	}
	return appendValue(b, Value(in, i, field.Type))
}

// appendValue appends a value to a builder of the Arrow type that carries it.
func appendValue(b array.Builder, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return put(b.Append, v)
	case *array.Int16Builder:
		return put(func(n int64) { b.Append(int16(n)) }, v)
	case *array.Int32Builder:
		return put(func(n int64) { b.Append(int32(n)) }, v)
	case *array.Int64Builder:
		return put(b.Append, v)
	case *array.Uint64Builder:
		return put(b.Append, v)
	case *array.Float32Builder:
		return put(b.Append, v)
	case *array.Float64Builder:
		return put(b.Append, v)
	case *array.Decimal128Builder:
		return put(func(r *big.Rat) { b.Append(units(r, b.Type().(*arrow.Decimal128Type).Scale)) }, v)
	case *array.StringBuilder:
		b.Append(value.Text(v)) // unbounded decimals are carried as text
		return nil
	case *array.BinaryBuilder:
		return put(b.Append, v)
	case *array.Date32Builder:
		return put(func(d value.Day) { b.Append(arrow.Date32(d)) }, v)
	case *array.Time64Builder:
		unit := b.Type().(*arrow.Time64Type).Unit.Multiplier()
		return put(func(c value.Clock) { b.Append(arrow.Time64(time.Duration(c) / unit)) }, v)
	case *array.TimestampBuilder:
		unit := b.Type().(*arrow.TimestampType).Unit
		if wall, ok := v.(value.Wall); ok {
			v = wall.Time
		}
		return put(func(t time.Time) { b.Append(stamp(t, unit)) }, v)
	case *array.ListBuilder:
		return appendList(b, v)
	case *array.StructBuilder:
		return appendStruct(b, v)
	}
	return fault.New(fault.Internal, "no way to build a column of %s", b.Type())
}

func put[T any](add func(T), v any) error {
	typed, ok := v.(T)
	if !ok {
		return fault.New(fault.Internal, "a %T came where a column takes another type", v)
	}
	add(typed)
	return nil
}

func units(r *big.Rat, scale int32) decimal128.Num {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	n := new(big.Int).Mul(r.Num(), power)
	return decimal128.FromBigInt(n.Quo(n, r.Denom()))
}

func stamp(t time.Time, unit arrow.TimeUnit) arrow.Timestamp {
	if unit == arrow.Nanosecond {
		return arrow.Timestamp(t.UnixNano())
	}
	return arrow.Timestamp(t.UnixMicro())
}

func appendList(b *array.ListBuilder, v any) error {
	items, ok := v.([]any)
	if !ok {
		return fault.New(fault.Internal, "a %T came where a list belongs", v)
	}
	b.Append(true)
	for _, item := range items {
		if err := appendValue(b.ValueBuilder(), item); err != nil {
			return err
		}
	}
	return nil
}

func appendStruct(b *array.StructBuilder, v any) error {
	members, ok := v.(map[string]any)
	if !ok {
		return fault.New(fault.Internal, "a %T came where a struct belongs", v)
	}
	b.Append(true)
	for i, f := range b.Type().(*arrow.StructType).Fields() {
		if err := appendValue(b.FieldBuilder(i), members[f.Name]); err != nil {
			return err
		}
	}
	return nil
}
