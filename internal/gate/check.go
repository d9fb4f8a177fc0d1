package gate

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/kernel"
)

// Result is what became of one batch. The caller releases both.
type Result struct {
	Good       arrow.RecordBatch // the rows that pass, in the table's schema; may have none
	Quarantine arrow.RecordBatch // the rows set aside, in QuarantineSchema; nil where there are none
}

// Release releases both batches.
func (r Result) Release() {
	if r.Good != nil {
		r.Good.Release()
	}
	if r.Quarantine != nil {
		r.Quarantine.Release()
	}
}

// Check judges a batch, which it borrows. A row that fails a rule with the
// verdict reject ends the load: the error is of kind Refused and names rule,
// field, value and place, and nothing of the batch comes out.
func (g *Gate) Check(batch arrow.RecordBatch) (Result, error) {
	if g.closed {
		return Result{}, fault.New(fault.Internal, "the gate is closed")
	}
	if err := g.fits(batch.Schema()); err != nil {
		return Result{}, err
	}
	n := int(batch.NumRows())
	columns := make([]arrow.Array, 0, len(g.columns)+1)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, c := range g.columns {
		out, err := c.judge(g, batch)
		if err != nil {
			return Result{}, err
		}
		columns = append(columns, out)
	}
	gone := g.remove(n)
	if g.window != nil {
		g.window.judge(columns[g.window.column], gone)
		g.takeOut(g.window.rule, gone)
	}
	if err := g.tally(batch, columns, gone); err != nil {
		return Result{}, err
	}
	if g.ordinal {
		columns = append(columns, ordinals(g, n))
	}
	return g.split(batch, columns, gone)
}

// fits refuses batches that are not of the source's columns.
func (g *Gate) fits(s *arrow.Schema) error {
	if s == g.scratch.seen {
		return nil
	}
	if s.NumFields() != len(g.batches.Fields) {
		return fault.New(fault.Internal, "a batch has %d columns where the source has %d", s.NumFields(), len(g.batches.Fields))
	}
	for i, f := range g.batches.Fields {
		if name := s.Field(i).Name; name != f.Name {
			return fault.New(fault.Internal, "column %d of a batch is %q where the source has %q", i, name, f.Name)
		}
	}
	g.scratch.seen = s
	if origin, _ := s.Metadata().GetValue(datatype.Origin); origin != g.scratch.origin {
		g.scratch.origin, g.scratch.before = origin, g.read
	}
	return nil
}

// remove returns the rows that leave the load by the rules of the columns.
func (g *Gate) remove(n int) *kernel.Bits {
	if g.scratch.removed == nil {
		g.scratch.removed = kernel.NewBits(n)
	}
	gone := g.scratch.removed
	gone.Reset(n)
	g.scratch.first = slices.Grow(g.scratch.first[:0], n)[:n]
	clear(g.scratch.first)
	for _, r := range g.rules {
		if g.window == nil || r != g.window.rule {
			g.takeOut(r, gone)
		}
	}
	return gone
}

// takeOut puts the rows that the rule removes into the set, and remembers which
// rule was the first to send a row to quarantine.
func (g *Gate) takeOut(r *rule, gone *kernel.Bits) {
	if r.verdict != contract.Quarantine && r.verdict != contract.Drop || !r.failed.Any() {
		return
	}
	if r.verdict == contract.Quarantine {
		r.failed.Each(func(i int) {
			if g.scratch.first[i] == 0 {
				g.scratch.first[i] = int32(r.index) + 1
			}
		})
	}
	gone.Add(&r.failed)
}

// tally counts what each rule found, keeps the first example, and ends the load
// at the first row that is rejected. Rules that only warn or coerce count the
// rows that pass on.
func (g *Gate) tally(batch arrow.RecordBatch, columns []arrow.Array, gone *kernel.Bits) error {
	for _, r := range g.rules {
		if !r.failed.Any() {
			continue
		}
		first := r.failed.First()
		found := r.failed.Count()
		if r.verdict == contract.Warn || r.verdict == contract.Coerce {
			if found = r.failed.CountWithout(gone); found == 0 {
				continue
			}
			for gone.Has(first) {
				first = r.failed.Next(first)
			}
		}
		r.count += int64(found)
		if r.example == nil {
			example := g.example(r, batch, columns, first)
			r.example = &example
		}
		if r.verdict == contract.Reject {
			return g.rejected(r, g.example(r, batch, columns, first))
		}
	}
	for _, c := range g.counts {
		c.add(columns[c.column], gone)
	}
	return nil
}

// ordinals numbers the rows of the batch.
func ordinals(g *Gate, n int) arrow.Array {
	b := array.NewInt64Builder(g.mem)
	defer b.Release()
	b.Reserve(n)
	for i := range n {
		b.UnsafeAppend(g.read + int64(i))
	}
	return b.NewArray()
}

// split makes the two batches, and counts the rows when both are there.
func (g *Gate) split(batch arrow.RecordBatch, columns []arrow.Array, gone *kernel.Bits) (Result, error) {
	n, removed := batch.NumRows(), int64(gone.Count())
	var r Result
	if removed == 0 {
		r.Good = array.NewRecordBatch(g.schema, columns, n)
	} else {
		var err error
		if r.Quarantine, err = g.quarantine(batch, columns); err != nil {
			return Result{}, err
		}
		if r.Good, err = g.without(columns, gone, n-removed); err != nil {
			r.Release()
			return Result{}, err
		}
	}
	g.read += n
	g.passed += n - removed
	if r.Quarantine != nil {
		g.quarantined += r.Quarantine.NumRows()
		removed -= r.Quarantine.NumRows()
	}
	g.dropped += removed
	return r, nil
}

// without makes the batch of the rows that stay.
func (g *Gate) without(columns []arrow.Array, gone *kernel.Bits, rows int64) (arrow.RecordBatch, error) {
	kept := make([]arrow.Array, 0, len(columns))
	defer func() {
		for _, c := range kept {
			c.Release()
		}
	}()
	for _, c := range columns {
		out, err := kernel.Without(g.mem, c, gone)
		if err != nil {
			return nil, err
		}
		kept = append(kept, out)
	}
	return array.NewRecordBatch(g.schema, kept, rows), nil
}
