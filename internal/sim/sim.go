package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/run"
)

// Steps is how long faults go on; Healing how long everything has to come to its end after them.
const (
	Steps   = 200
	Healing = 2000
)

// Run runs one seed and returns the first violation of an invariant, with the
// trace that led to it.
func Run(seed uint64, f Faults) error {
	w := newWorld(seed, f)
	w.connect()
	for range Steps {
		w.step()
		if err := w.check(); err != nil {
			return w.fail(seed, err)
		}
	}
	w.healed = true
	for n := 0; !w.over(); n++ {
		if n == Healing {
			return w.fail(seed, fmt.Errorf("I10: %d steps after the last fault the run is still %s", n, w.header.State))
		}
		w.heal()
		if err := w.check(); err != nil {
			return w.fail(seed, err)
		}
	}
	return nil
}

func (w *world) fail(seed uint64, err error) error {
	return fmt.Errorf("seed %d: %w\n%s\nreplay: go test ./internal/sim -run Seed -seed %d", seed, err, strings.Join(w.trace, "\n"), seed)
}

// step does one thing of all that can happen.
func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.random.IntN(5000)) * time.Millisecond)
	switch w.random.IntN(26) {
	case 24:
		if w.random.IntN(4) == 0 {
			w.cover()
		}
	case 25:
		if w.random.IntN(8) == 0 {
			w.giveUp()
		}
	case 0:
		w.connect()
	case 1, 2:
		if id := w.anySession(); id != "" {
			w.endSession(id, w.random.IntN(2) == 0)
		}
	case 3:
		if w.random.IntN(4) == 0 {
			w.cancelAll()
		}
	case 4:
		w.rerunOne()
	case 5:
		w.schedule()
	case 6:
		w.returnOne()
	case 7, 8, 9, 10:
		w.claim()
	case 11, 12, 13, 14, 15, 16:
		w.workOne()
	default:
		w.deliverOne()
	}
}

// heal does what goes on without faults: a worker that is there, grants that
// come back, sessions of dead workers that end.
func (w *world) heal() {
	w.now = w.now.Add(time.Second)
	w.cover()
	if w.anySession() == "" {
		w.connect()
	}
	// What the ledger thinks is held and no worker has, nor a message tells of, was lost.
	if len(w.mail) == 0 {
		for _, name := range w.names() {
			t := w.tasks[name]
			if t.Session != "" && !w.has(t.Epoch) {
				w.apply(name, run.Returned{Epoch: t.Epoch})
				w.apply(name, run.Lost{Epoch: t.Epoch, Reason: "its worker does not know of it"})
			}
		}
	}
	w.claim()
	w.workOne()
	w.deliverOne()
}

func (w *world) over() bool {
	return w.header.State.Terminal() && len(w.mail) == 0 && len(w.attempts) == 0
}

func (w *world) cancelAll() {
	for _, name := range w.names() {
		w.apply(name, run.CancelRequested{By: "ann"})
	}
}

// rerunOne runs an ended task again, alone.
func (w *world) rerunOne() {
	name := w.names()[w.random.IntN(len(w.tasks))]
	if w.tasks[name].State.Terminal() && w.reruns[name] < 3 {
		w.apply(name, run.Rerun{By: "ann"})
	}
}

// returnOne takes back a grant that was not acknowledged in time.
func (w *world) returnOne() {
	for _, name := range w.names() {
		if t := w.tasks[name]; t.State == run.TaskClaimed {
			w.apply(name, run.Returned{Epoch: t.Epoch})
			return
		}
	}
}
