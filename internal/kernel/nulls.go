package kernel

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

type arrow128 = decimal128.Num

// nulled gives the array, which it takes over, the nulls of the column that it
// was made from and of the rows that failed.
func nulled(mem memory.Allocator, out, in arrow.Array, t texts, failed *Bits) arrow.Array {
	if _, dictionary := in.(*array.Dictionary); !dictionary {
		return combineNulls(mem, out, in, failed)
	}
	// A dictionary's word may be null without its index being so.
	empty := NewBits(t.Len())
	for i := range t.Len() {
		if t.IsNull(i) || failed.Has(i) {
			empty.Set(i)
		}
	}
	return combineNulls(mem, out, out, empty)
}

// combineNulls gives the array, which it takes over, the nulls of in and of the
// rows that failed. The values are shared.
func combineNulls(mem memory.Allocator, out, in arrow.Array, failed *Bits) arrow.Array {
	more := failed.Any()
	if !more && (in.NullN() == 0 || out == in) {
		return out
	}
	defer out.Release()
	data := out.Data()
	n, offset := data.Len(), data.Offset()
	validity := memory.NewResizableBuffer(mem)
	validity.Resize(int(bitutil.BytesForBits(int64(n + offset))))
	defer validity.Release()
	bitmap := validity.Bytes()
	clear(bitmap)
	if source := in.NullBitmapBytes(); len(source) > 0 && in.NullN() > 0 {
		bitutil.CopyBitmap(source, in.Data().Offset(), n, bitmap, offset)
	} else {
		bitutil.SetBitsTo(bitmap, int64(offset), int64(n), true)
	}
	if more {
		failed.Each(func(i int) { bitutil.ClearBit(bitmap, offset+i) })
	}
	nulls := n - bitutil.CountSetBits(bitmap, offset, n)
	buffers := make([]*memory.Buffer, len(data.Buffers()))
	copy(buffers, data.Buffers())
	buffers[0] = validity
	fresh := array.NewData(out.DataType(), n, buffers, data.Children(), nulls, offset)
	defer fresh.Release()
	return array.MakeFromData(fresh)
}

// Null returns the array with the rows of the set null besides. The array that
// goes in is borrowed, the one that comes out belongs to the caller.
func Null(mem memory.Allocator, in arrow.Array, rows *Bits) arrow.Array {
	in.Retain()
	return combineNulls(mem, in, in, rows)
}
