package sim

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/run"
)

// check holds the world against the invariants.
func (w *world) check() error {
	for due, runs := range w.slots {
		if runs > 1 {
			return fmt.Errorf("I1: %d runs for the slot %d", runs, due)
		}
	}
	if w.stuckErr != nil {
		return w.stuckErr
	}
	open, bad, cancelled := 0, 0, 0
	for _, name := range w.names() {
		t := w.tasks[name]
		if !t.State.Terminal() {
			open++
		}
		if t.State.Bad() {
			bad++
		}
		if t.State == run.TaskCancelled {
			cancelled++
		}
		if err := w.checkTask(name, t); err != nil {
			return err
		}
		w.history[name] = tail(w.history[name])
	}
	if open != w.header.Open || bad != w.header.Bad || cancelled != w.header.Cancelled {
		return fmt.Errorf("the header counts %d open, %d bad, %d cancelled; there are %d, %d, %d",
			w.header.Open, w.header.Bad, w.header.Cancelled, open, bad, cancelled)
	}
	if w.header.State.Terminal() != (open == 0) {
		return fmt.Errorf("the run is %s with %d open tasks", w.header.State, open)
	}
	return nil
}

func tail(states []run.Task) []run.Task {
	if len(states) > 1 {
		return states[len(states)-1:]
	}
	return states
}

func (w *world) checkTask(name string, t run.Task) error {
	states := w.history[name]
	for i := 1; i < len(states); i++ {
		if err := follows(name, states[i-1], states[i]); err != nil {
			return err
		}
	}
	if t.State.Held() != (t.Session != "") && t.State != run.TaskClosing {
		return fmt.Errorf("I2: %s is %s and its session is %q", name, t.State, t.Session)
	}
	key := fmt.Sprintf("%s/%d", name, t.Generation)
	k := w.keys[key]
	if t.State == run.TaskSucceeded && (k == nil || !k.committed) {
		return fmt.Errorf("I5: %s succeeded and nothing is published under %s", name, key)
	}
	for id, k := range w.keys {
		if k.times > 1 {
			return fmt.Errorf("I2: %s was published %d times", id, k.times)
		}
		if k.committed && k.by != k.fence {
			return fmt.Errorf("I2: %s was published under epoch %d while the fence was %d", id, k.by, k.fence)
		}
	}
	return nil
}

// follows checks two states of a task that come one after the other.
func follows(name string, was, is run.Task) error {
	switch {
	case is.Attempt != was.Attempt && is.Attempt != was.Attempt+1:
		return fmt.Errorf("I3: %s went from attempt %d to %d", name, was.Attempt, is.Attempt)
	case is.Epoch < was.Epoch:
		return fmt.Errorf("I2: %s went from epoch %d back to %d", name, was.Epoch, is.Epoch)
	case is.Generation == was.Generation && was.State.Terminal() && is.State != was.State && is.State != run.TaskAccepted && is.State != run.TaskSkipped:
		return fmt.Errorf("I4: %s was %s and became %s", name, was.State, is.State)
	case is.Generation == was.Generation && is.Losses > was.Losses && is.Failures != was.Failures:
		return fmt.Errorf("I3: a loss of %s cost a retry", name)
	case is.RetryIf != "" && is.State == run.TaskBackoff && strings.Contains(is.Reason, "exit code 4"):
		return fmt.Errorf("I3: %s is tried again though retry_if said no: %s", name, is.Reason)
	case is.Failures > is.Retries+1:
		return fmt.Errorf("I3: %s failed %d times with %d retries", name, is.Failures, is.Retries)
	}
	return nil
}
