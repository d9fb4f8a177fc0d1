package kernel

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/value"
)

// builder is the part of Arrow's builders of fixed width that the loops use.
type builder[T any] interface {
	array.Builder
	UnsafeAppend(T)
	UnsafeAppendBoolToBitmap(bool)
}

// castTexts parses each text. The parser allocates nothing.
func castTexts[T any](b builder[T], in texts, failed *Bits, parse func(string) (T, value.Flaw)) arrow.Array {
	defer b.Release()
	n := in.Len()
	b.Reserve(n)
	var zero T
	for i := range n {
		if in.IsNull(i) {
			b.UnsafeAppend(zero)
			continue
		}
		v, flaw := parse(in.Value(i))
		if flaw != value.Sound {
			failed.Set(i)
		}
		b.UnsafeAppend(v)
	}
	return b.NewArray()
}

// castText casts a text column; false where the target has no fast form.
func (c *Caster) castText(mem memory.Allocator, in arrow.Array, t texts, failed *Bits) (arrow.Array, bool) {
	unit := time.Microsecond
	if c.to.Precision == 9 {
		unit = time.Nanosecond
	}
	var out arrow.Array
	switch c.to.Kind {
	case datatype.String:
		return c.checkTexts(mem, in, t, failed)
	case datatype.Int16:
		out = castTexts(array.NewInt16Builder(mem), t, failed, func(s string) (int16, value.Flaw) {
			n, f := value.ParseInteger(s, -1<<15, 1<<15-1)
			return int16(n), f
		})
	case datatype.Int32:
		out = castTexts(array.NewInt32Builder(mem), t, failed, func(s string) (int32, value.Flaw) {
			n, f := value.ParseInteger(s, -1<<31, 1<<31-1)
			return int32(n), f
		})
	case datatype.Int64:
		out = castTexts(array.NewInt64Builder(mem), t, failed, func(s string) (int64, value.Flaw) {
			return value.ParseInteger(s, -1<<63, 1<<63-1)
		})
	case datatype.Uint64:
		out = castTexts(array.NewUint64Builder(mem), t, failed, value.ParseUnsigned)
	case datatype.Float64:
		out = castTexts(array.NewFloat64Builder(mem), t, failed, func(s string) (float64, value.Flaw) { return value.ParseFloat(s, 64) })
	case datatype.Float32:
		out = castTexts(array.NewFloat32Builder(mem), t, failed, func(s string) (float32, value.Flaw) {
			v, f := value.ParseFloat(s, 32)
			return float32(v), f
		})
	case datatype.Bool:
		out = castTexts(array.NewBooleanBuilder(mem), t, failed, value.ParseBool)
	case datatype.Decimal:
		if c.to.Precision == 0 {
			return nil, false
		}
		dt := c.to.Arrow().(*arrow.Decimal128Type)
		out = castTexts(array.NewDecimal128Builder(mem, dt), t, failed, func(s string) (arrow128, value.Flaw) {
			return value.ParseDecimal(s, c.to.Precision, c.to.Scale)
		})
	case datatype.Date:
		out = castTexts(array.NewDate32Builder(mem), t, failed, func(s string) (arrow.Date32, value.Flaw) {
			d, f := value.ParseDate(s)
			return arrow.Date32(d), f
		})
	case datatype.Time:
		out = castTexts(array.NewTime64Builder(mem, c.to.Arrow().(*arrow.Time64Type)), t, failed, func(s string) (arrow.Time64, value.Flaw) {
			n, f := value.ParseClock(s, unit)
			return arrow.Time64(n), f
		})
	case datatype.Timestamp:
		out = castTexts(array.NewTimestampBuilder(mem, c.to.Arrow().(*arrow.TimestampType)), t, failed, func(s string) (arrow.Timestamp, value.Flaw) {
			n, f := value.ParseTimestamp(s, unit)
			return arrow.Timestamp(n), f
		})
	case datatype.TimestampTZ:
		out = castTexts(array.NewTimestampBuilder(mem, c.to.Arrow().(*arrow.TimestampType)), t, failed, func(s string) (arrow.Timestamp, value.Flaw) {
			n, f := value.ParseInstant(s, c.zone, unit)
			return arrow.Timestamp(n), f
		})
	case datatype.UUID, datatype.JSON:
		return c.checkDocuments(mem, in, t, failed)
	default:
		return nil, false
	}
	return nulled(mem, out, in, t, failed), true
}

// checkTexts keeps a string column as it is where every text is sound.
func (c *Caster) checkTexts(mem memory.Allocator, in arrow.Array, t texts, failed *Bits) (arrow.Array, bool) {
	plain, isPlain := in.(*array.String)
	if !isPlain || c.to.Length > 0 || !soundBuffer(plain) {
		for i := range t.Len() {
			if !t.IsNull(i) && value.CheckText(t.Value(i), c.to.Length) != value.Sound {
				failed.Set(i)
			}
		}
	}
	if isPlain {
		in.Retain()
		return nulled(mem, in, in, t, failed), true
	}
	b := array.NewStringBuilder(mem)
	defer b.Release()
	b.Reserve(t.Len())
	for i := range t.Len() {
		if t.IsNull(i) || failed.Has(i) {
			b.AppendNull()
			continue
		}
		b.Append(t.Value(i))
	}
	return b.NewArray(), true
}

// checkDocuments keeps a column of UUIDs or JSON documents as it is where every
// text is one in its kept form.
func (c *Caster) checkDocuments(mem memory.Allocator, in arrow.Array, t texts, failed *Bits) (arrow.Array, bool) {
	if _, plain := in.(*array.String); !plain {
		return nil, false
	}
	for i := range t.Len() {
		if t.IsNull(i) {
			continue
		}
		kept := true
		var flaw value.Flaw
		if c.to.Kind == datatype.UUID {
			kept, flaw = value.CheckUUID(t.Value(i))
		} else {
			flaw = value.CheckDocument(t.Value(i), c.to.Shape)
		}
		switch {
		case flaw != value.Sound:
			failed.Set(i)
		case !kept:
			failed.Reset(t.Len())
			return nil, false
		}
	}
	in.Retain()
	return nulled(mem, in, in, t, failed), true
}

// soundBuffer reports whether all texts of the column are UTF-8 without NUL, by
// looking at their bytes as a whole: they are if the whole is, and no text
// begins in the middle of a character. Bytes behind nulls may say no in vain.
func soundBuffer(a *array.String) bool {
	if a.Len() == 0 {
		return true
	}
	all := a.ValueBytes()
	if bytes.IndexByte(all, 0) >= 0 {
		return false
	}
	ascii := true
	for _, b := range all {
		if b >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return true
	}
	if !utf8.Valid(all) {
		return false
	}
	base := a.ValueOffset(0)
	for i := range a.Len() {
		if at := a.ValueOffset(i) - base; at < len(all) && !utf8.RuneStart(all[at]) {
			return false
		}
	}
	return true
}
