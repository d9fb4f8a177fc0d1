package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/slot"
)

// backfill is a ledger with one backfill, two servers that write to it, and
// people who pause, resume and cancel it. What is in no row is lost with a server.
type backfill struct {
	random *rand.Rand
	faults Faults
	trace  []string

	direction   slot.Direction
	concurrency int
	paused      bool
	states      []string // per window, in order of time: queued, running, ended
	began       []int    // windows in the order in which they began
	violation   error

	late []func() // transactions whose reads are done and whose writes are not
}

// Backfill simulates the life of a backfill from one seed and returns the first
// violation: that something began while it was paused, that more ran at once than
// may, that a window began twice or out of turn, or that it does not come to an end.
func Backfill(seed uint64, f Faults) error {
	r := rand.New(rand.NewPCG(seed, 11))
	w := &backfill{random: r, faults: f, concurrency: 1 + r.IntN(4), direction: slot.OldestFirst}
	if r.IntN(2) == 0 {
		w.direction = slot.NewestFirst
	}
	for range 3 + r.IntN(20) {
		w.states = append(w.states, "queued")
	}
	w.startQueued()
	for range Steps {
		w.step()
		if w.violation != nil {
			return w.fail(seed)
		}
	}
	w.paused, w.late = false, nil
	w.startQueued()
	for range w.states { // every end lets the next ones begin: nothing else is needed
		for i, s := range w.states {
			if s == "running" {
				w.end(i)
			}
		}
	}
	if w.violation == nil && slices.ContainsFunc(w.states, func(s string) bool { return s != "ended" }) {
		w.violation = fmt.Errorf("I10: after the last fault the backfill does not end: %v", w.states)
	}
	if w.violation != nil {
		return w.fail(seed)
	}
	return nil
}

func (w *backfill) fail(seed uint64) error {
	return fmt.Errorf("seed %d: %w\n%s", seed, w.violation, strings.Join(w.trace, "\n"))
}

func (w *backfill) step() {
	switch w.random.IntN(12) {
	case 0:
		w.paused = true
		w.trace = append(w.trace, "paused")
	case 1, 2:
		w.paused = false
		w.trace = append(w.trace, "resumed")
		w.startQueued()
	case 3:
		if w.random.IntN(20) == 0 {
			w.cancel()
		}
	case 4: // a server is killed: its open transactions are as if they had never been
		w.late = nil
	case 5, 6, 7:
		if len(w.late) > 0 {
			i := w.random.IntN(len(w.late))
			do := w.late[i]
			w.late = slices.Delete(w.late, i, i+1)
			do()
		}
	default:
		i := w.random.IntN(len(w.states))
		if w.states[i] != "running" {
			return
		}
		if w.random.IntN(3) == 0 { // the other server's transaction is between its reads and its writes
			read := w.turns()
			w.late = append(w.late, func() {
				if w.states[i] == "running" {
					w.states[i] = "ended"
					w.start(read)
				}
			})
			return
		}
		w.end(i)
	}
}

// end is the end of a run, and in the same transaction the next one's begin.
func (w *backfill) end(window int) {
	w.states[window] = "ended"
	w.trace = append(w.trace, fmt.Sprintf("%d ended", window))
	w.startQueued()
}

// cancel ends the queued ones first: none of them is to begin in the meantime.
func (w *backfill) cancel() {
	w.trace = append(w.trace, "cancelled")
	for _, state := range []string{"queued", "running"} {
		for i, s := range w.states {
			if s == state {
				w.states[i] = "ended"
			}
		}
	}
}

func (w *backfill) turns() []int {
	running := 0
	var queued []int
	for i, s := range w.states {
		switch s {
		case "running":
			running++
		case "queued":
			queued = append(queued, i)
		}
	}
	if w.direction == slot.NewestFirst {
		slices.Reverse(queued)
	}
	return queued[:min(len(queued), slot.Turns(w.concurrency, running, w.paused))]
}

func (w *backfill) startQueued() { w.start(w.turns()) }

// start begins the windows whose turn it is. The row of the backfill is locked
// while a transaction decides, so that it decides by what is there.
func (w *backfill) start(decided []int) {
	if !w.faults.NoGuard {
		decided = w.turns()
	}
	for _, i := range decided {
		running := 0
		for _, s := range w.states {
			if s == "running" {
				running++
			}
		}
		last := -1
		if len(w.began) > 0 {
			last = w.began[len(w.began)-1]
		}
		switch {
		case w.paused:
			w.violation = fmt.Errorf("window %d begins while the backfill is paused", i)
		case running >= w.concurrency:
			w.violation = fmt.Errorf("window %d begins beside %d others, of %d at once", i, running, w.concurrency)
		case slices.Contains(w.began, i):
			w.violation = fmt.Errorf("window %d begins twice", i)
		case last >= 0 && (i < last) != (w.direction == slot.NewestFirst):
			w.violation = fmt.Errorf("window %d begins after %d, %s first", i, last, w.direction)
		}
		w.states[i] = "running"
		w.began = append(w.began, i)
		w.trace = append(w.trace, fmt.Sprintf("%d began", i))
	}
}
