// Package kernel casts and checks whole columns of Arrow values.
//
// Its casts mean what core/value says and its checks what contract.Judge says,
// value by value; here they run over vectors, without an allocation per row
// where a column has a fast form, and through the scalar reference where it has
// none. Failures come back as bitmaps, so that the gate can count, combine and
// act on them without looking at rows that are sound.
//
// The package must not know contracts' verdicts, batches or files. Arrays that
// go in are borrowed, arrays that come out belong to the caller.
package kernel

import "math/bits"

// Bits is a set of rows of one column.
type Bits struct {
	words []uint64
	n     int
}

// NewBits returns the empty set of n rows.
func NewBits(n int) *Bits { return &Bits{words: make([]uint64, (n+63)/64), n: n} }

// Reset makes b the empty set of n rows, and keeps its memory.
func (b *Bits) Reset(n int) {
	words := (n + 63) / 64
	if cap(b.words) < words {
		b.words = make([]uint64, words)
	}
	b.words = b.words[:words]
	clear(b.words)
	b.n = n
}

// Len returns the number of rows, in the set or not.
func (b *Bits) Len() int { return b.n }

// Set puts row i into the set.
func (b *Bits) Set(i int) { b.words[i>>6] |= 1 << (i & 63) }

// Has reports whether row i is in the set.
func (b *Bits) Has(i int) bool { return b.words[i>>6]&(1<<(i&63)) != 0 }

// Any reports whether a row is in the set.
func (b *Bits) Any() bool {
	for _, w := range b.words {
		if w != 0 {
			return true
		}
	}
	return false
}

// Count returns the number of rows in the set.
func (b *Bits) Count() int {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Add puts the rows of o into the set.
func (b *Bits) Add(o *Bits) {
	for i, w := range o.words {
		b.words[i] |= w
	}
}

// CountWithout returns the number of rows in the set that are not in o.
func (b *Bits) CountWithout(o *Bits) int {
	n := 0
	for i, w := range b.words {
		n += bits.OnesCount64(w &^ o.words[i])
	}
	return n
}

// First returns the first row in the set, or -1.
func (b *Bits) First() int {
	for i, w := range b.words {
		if w != 0 {
			return i<<6 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// Each calls f with each row of the set, in order.
func (b *Bits) Each(f func(i int)) {
	for i, w := range b.words {
		for w != 0 {
			f(i<<6 + bits.TrailingZeros64(w))
			w &= w - 1
		}
	}
}

// Next returns the first row in the set after row i, or -1.
func (b *Bits) Next(i int) int {
	for i++; i < b.n; i++ {
		if b.Has(i) {
			return i
		}
	}
	return -1
}

// Remove takes the rows of o out of the set.
func (b *Bits) Remove(o *Bits) {
	for i, w := range o.words {
		b.words[i] &^= w
	}
}
