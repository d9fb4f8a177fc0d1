// Package move carries batches from a source to a sink under a byte budget.
//
// Reading and sinking overlap; what lies between them never exceeds the budget,
// so that memory does not grow with the number of rows. The package knows no
// gate and no store: a sink is a function, and a batch is just Arrow.
package move

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// Budget is how many bytes may lie between source and sink unless told otherwise.
const Budget = 256 << 20

// ahead is how many batches may lie between source and sink. More of them would
// make nothing faster, and a garbage collected heap takes twice what it holds.
const ahead = 16

// Progress is told after every batch that was sunk: rows and bytes so far.
type Progress func(rows, bytes int64)

// Copy sends every batch to sink, in order, and returns the rows. The first
// error of either side ends both. Budget is in bytes; 0 means Budget. A single
// batch larger than the budget is an error of kind invalid: its source must cut
// smaller.
func Copy(ctx context.Context, batches store.Batches, sink func(context.Context, arrow.RecordBatch) error, budget int64, tell Progress) (rows int64, err error) {
	if budget == 0 {
		budget = Budget
	}
	asked := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := newQueue(budget)
	read := make(chan error, 1)
	go func() { read <- fill(ctx, batches, q) }()
	var bytes int64
	for {
		batch, size, ok := q.take(ctx)
		if !ok {
			break
		}
		err = sink(ctx, batch)
		rows += batch.NumRows()
		bytes += size
		batch.Release()
		q.free(size)
		if err != nil {
			cancel(err)
			break
		}
		if tell != nil {
			tell(rows, bytes)
		}
	}
	q.drain()
	readErr := <-read
	q.drain()
	switch {
	case err != nil:
		return rows, err
	case readErr != nil:
		return rows, readErr
	case asked.Err() != nil: // batches may have been left in the queue
		return rows, context.Cause(asked)
	}
	return rows, nil
}

// fill reads into the queue until the source ends. It closes the queue.
func fill(ctx context.Context, batches store.Batches, q *queue) (err error) {
	defer q.close()
	defer func() {
		if p := recover(); p != nil { // a fault in a source is that move's alone (I11)
			err = fault.New(fault.Internal, "the source panicked: %v", p)
		}
	}()
	for batch, err := range batches {
		if err != nil {
			return err
		}
		size := sizeOf(batch)
		if size > q.budget {
			return fault.New(fault.Invalid, "one batch of %d rows has %d bytes, more than the move's budget of %d", batch.NumRows(), size, q.budget)
		}
		batch.Retain()
		if err := q.put(ctx, batch, size); err != nil {
			batch.Release()
			return err
		}
	}
	return nil
}

// sizeOf is how many bytes a batch holds.
func sizeOf(batch arrow.RecordBatch) int64 {
	var n uint64
	for _, c := range batch.Columns() {
		n += c.Data().SizeInBytes()
	}
	return int64(n)
}

// queue holds batches whose sizes together stay within the budget.
type queue struct {
	budget  int64
	items   chan item
	space   chan struct{} // told when some was freed
	pending chan int64    // the bytes that lie in the queue or at the sink; one token
}

type item struct {
	batch arrow.RecordBatch
	size  int64
}

func newQueue(budget int64) *queue {
	q := &queue{budget: budget, items: make(chan item, ahead), space: make(chan struct{}, 1), pending: make(chan int64, 1)}
	q.pending <- 0
	return q
}

func (q *queue) put(ctx context.Context, b arrow.RecordBatch, size int64) error {
	for {
		used := <-q.pending
		if used+size <= q.budget && len(q.items) < cap(q.items) {
			q.pending <- used + size
			q.items <- item{b, size}
			return nil
		}
		q.pending <- used
		select {
		case <-q.space:
		case <-ctx.Done():
			return fmt.Errorf("read ahead: %w", context.Cause(ctx))
		}
	}
}

func (q *queue) take(ctx context.Context) (arrow.RecordBatch, int64, bool) {
	select {
	case i, ok := <-q.items:
		return i.batch, i.size, ok
	case <-ctx.Done():
		return nil, 0, false
	}
}

func (q *queue) free(size int64) {
	used := <-q.pending
	q.pending <- used - size
	select {
	case q.space <- struct{}{}:
	default:
	}
}

func (q *queue) close() { close(q.items) }

// drain releases what nobody will take.
func (q *queue) drain() {
	for {
		select {
		case i, ok := <-q.items:
			if !ok {
				return
			}
			i.batch.Release()
			q.free(i.size)
		default:
			return
		}
	}
}
