// Package datatype holds the types that Tidemill's tables are made of, and what
// happens to a value on its way from one type to another.
//
// It guarantees that every schema survives the way to Arrow and back unchanged,
// and that for any pair of types the answer is one of four: exact, widened,
// narrowed or refused. Nothing is lost in silence: narrowed means that each
// value is judged and one that does not fit is refused, never rounded.
//
// Text formats deliver every column as string, with the hidden columns
// FileColumn and LineColumn beside them; the gate turns text into values. The
// package must not touch values itself: casts live in core/contract (scalar)
// and kernel (vectors).
package datatype
