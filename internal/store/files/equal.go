package files

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
)

// keyed is a staged row by a digest of its key.
type keyed struct {
	digest [16]byte
	row    int64 // in the order of staging
	place  int64 // in the order of the source
}

// keysOf digests the keys of a batch's rows.
func keysOf(batch recordBatch, names []string) [][16]byte {
	columns := make([]arrow.Array, len(names))
	for i, name := range names {
		columns[i] = batch.Column(batch.Schema().FieldIndices(name)[0])
	}
	out := make([][16]byte, batch.NumRows())
	var text []byte
	for row := range out {
		text = text[:0]
		for _, c := range columns {
			if c.IsNull(row) {
				text = append(text, 0)
				continue
			}
			value := c.ValueStr(row)
			text = append(binary.AppendUvarint(append(text, 1), uint64(len(value))), value...)
		}
		sum := sha256.Sum256(text)
		out[row] = [16]byte(sum[:])
	}
	return out
}

// remember keeps the keys of rows that are about to be staged.
func (l *load) remember(batch, visible recordBatch) {
	if len(l.table.Keys) == 0 {
		return
	}
	var places *array.Int64
	if at := batch.Schema().FieldIndices(datatype.RowColumn); len(at) > 0 {
		places, _ = batch.Column(at[0]).(*array.Int64)
	}
	for i, digest := range keysOf(visible, l.table.Keys) {
		k := keyed{digest, l.staged + int64(i), l.staged + int64(i)}
		if places != nil && places.IsValid(i) {
			k.place = places.Value(i)
		}
		l.keys = append(l.keys, k)
	}
}

// equal returns the rows that another row of the load with the same key leaves
// without a place, in the order of staging: all of them, or all but the last.
func (l *load) equal() []int64 {
	slices.SortFunc(l.keys, func(a, b keyed) int {
		return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.place, b.place), cmp.Compare(a.row, b.row))
	})
	var rows []int64
	for i := 0; i < len(l.keys); {
		end := i + 1
		for end < len(l.keys) && l.keys[end].digest == l.keys[i].digest {
			end++
		}
		last := end - 1
		if !l.table.Stable && end-i > 1 {
			last = end
		}
		for _, k := range l.keys[i:last] {
			rows = append(rows, k.row)
		}
		i = end
	}
	slices.Sort(rows)
	return rows
}
