// Package sim runs the core under faults, by seed.
//
// One goroutine, one random source per seed, the pure core, and a world that
// loses, doubles, delays and reorders messages, crashes workers, cuts them off
// while they go on working, and lets two servers act on stale reads. After each
// step the invariants I1 to I5 of the reliability model are checked; after the
// faults end, everything must come to its end (I10).
//
// The world's ledger and store keep to the rules that the real ones keep:
// guarded rows, one counter for epochs, a fence and a receipt per publish key.
// Faults{NoGuard} and Faults{NoFence} switch one of them off, to prove that the
// checks would see it.
package sim
