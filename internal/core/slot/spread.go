package slot

import (
	"hash/fnv"
	"time"
)

// Spread says how long after due the slots of a pipeline start, so that pipelines
// which come due at the same instant do not start at the same instant. It follows
// from the name alone: the same on every server and every day. It is a number of
// whole seconds, less than the bound.
//
// Due times and windows stay what they are. A slot is expected until it starts,
// and judged then: by missed:, by overlap:, and by a pause.
func Spread(pipeline string, bound time.Duration) time.Duration {
	seconds := uint64(max(bound, 0) / time.Second)
	if seconds == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(pipeline)) // never fails
	mixed := h.Sum64()
	// Names that differ in their last letter alone differ little in FNV's high bits.
	mixed ^= mixed >> 32
	return time.Duration(mixed%seconds) * time.Second
}
