package kernel

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Without returns the array without the rows of the set. Runs of rows that stay
// are copied as a whole: few rows leave a sound load. The array that goes in is
// borrowed, the one that comes out belongs to the caller.
func Without(mem memory.Allocator, in arrow.Array, rows *Bits) (arrow.Array, error) {
	var runs []arrow.Array
	defer func() {
		for _, r := range runs {
			r.Release()
		}
	}()
	start := 0
	keep := func(end int) {
		if end > start {
			runs = append(runs, array.NewSlice(in, int64(start), int64(end)))
		}
	}
	rows.Each(func(i int) {
		keep(i)
		start = i + 1
	})
	keep(in.Len())
	switch len(runs) {
	case 0:
		return array.NewSlice(in, 0, 0), nil
	case 1:
		runs[0].Retain()
		return runs[0], nil
	}
	return array.Concatenate(runs, mem)
}
