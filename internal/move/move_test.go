package move_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/move"
	"github.com/tidemill/tidemill/internal/store"
)

// source yields n batches of 1,000 rows, each released as soon as it was taken.
func source(a memory.Allocator, n int, failAt int, err error) store.Batches {
	schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
	return func(yield func(arrow.RecordBatch, error) bool) {
		for i := range n {
			if i == failAt {
				if err == nil {
					panic("a bug in a source")
				}
				yield(nil, err)
				return
			}
			b := array.NewRecordBuilder(a, schema)
			for row := range 1000 {
				b.Field(0).(*array.Int64Builder).Append(int64(i*1000 + row))
			}
			batch := b.NewRecordBatch()
			b.Release()
			ok := yield(batch, nil)
			batch.Release()
			if !ok {
				return
			}
		}
	}
}

func TestEveryRowArrivesInOrderWithinTheBudget(t *testing.T) {
	t.Parallel()
	a := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer a.AssertSize(t, 0)
	next, most := int64(0), 0
	rows, err := move.Copy(t.Context(), source(a, 200, -1, nil), func(_ context.Context, b arrow.RecordBatch) error {
		most = max(most, a.CurrentAlloc())
		for i := range int(b.NumRows()) {
			if v := b.Column(0).(*array.Int64).Value(i); v != next {
				return errors.New("out of order")
			}
			next++
		}
		return nil
	}, 40_000, nil)
	if err != nil || rows != 200_000 || next != rows {
		t.Errorf("%d rows, %d seen, %v", rows, next, err)
	}
	if most > 40_000+2*16_384 { // the budget, and what the source is building
		t.Errorf("%d bytes at once", most)
	}
}

func TestTheFirstErrorEndsBothSidesAndNothingLeaks(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	nothing := func(context.Context, arrow.RecordBatch) error { return nil }
	for name, c := range map[string]struct {
		failAt int
		err    error
		sink   func(context.Context, arrow.RecordBatch) error
		want   func(error) bool
	}{
		"the source": {50, broken, nothing, func(err error) bool { return errors.Is(err, broken) }},
		"the sink":   {-1, nil, func(context.Context, arrow.RecordBatch) error { return broken }, func(err error) bool { return errors.Is(err, broken) }},
		"a panic": {50, nil, nothing, func(err error) bool {
			return fault.Is(err, fault.Internal) && strings.Contains(err.Error(), "a bug in a source")
		}},
	} {
		a := memory.NewCheckedAllocator(memory.DefaultAllocator)
		if _, err := move.Copy(t.Context(), source(a, 100, c.failAt, c.err), c.sink, 40_000, nil); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		a.AssertSize(t, 0)
	}
}

func TestAStoppedMoveSaysWhy(t *testing.T) {
	t.Parallel()
	a := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer a.AssertSize(t, 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := fault.New(fault.TimedOut, "ran longer than 1 s")
	_, err := move.Copy(ctx, source(a, 1000, -1, nil), func(context.Context, arrow.RecordBatch) error { cancel(why); return nil }, 40_000, nil)
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestABatchOverTheBudgetIsRefused(t *testing.T) {
	t.Parallel()
	a := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer a.AssertSize(t, 0)
	_, err := move.Copy(t.Context(), source(a, 3, -1, nil), func(context.Context, arrow.RecordBatch) error { return nil }, 100, nil)
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}
