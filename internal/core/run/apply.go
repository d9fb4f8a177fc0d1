package run

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Limits of back-off. A loss backs off only from the third in a row on.
const (
	maxBackoff     = time.Hour
	lossBackoff    = 5 * time.Second
	maxLossBackoff = 5 * time.Minute
	lossesInRow    = 3
	closeAgain     = 30 * time.Second // after a store did not let its key be closed
)

// Apply returns the state after the event and what must follow once it is
// committed. On an error the state is unchanged: ErrStale for an attempt that
// no longer holds the task, ErrIllegal for an event without a meaning here.
func Apply(s Snapshot, ev Event, at time.Time) (Snapshot, []Effect, error) {
	next := s
	next.Task.Upstream = maps.Clone(s.Task.Upstream)
	var effects []Effect
	var err error
	switch e := ev.(type) {
	case Started:
		effects, err = next.started(at)
	case UpstreamEnded:
		effects, err = next.upstreamEnded(e, at)
	case Covered:
		effects, err = next.arrived(at)
	case Claimed:
		effects, err = next.claimed(e, at)
	case Acknowledged:
		effects, err = next.acknowledged(e)
	case Returned:
		effects, err = next.returned(e, at)
	case AttemptSucceeded:
		effects, err = next.succeeded(e)
	case AttemptFailed:
		effects, err = next.failed(e, at)
	case Deferred:
		effects, err = next.deferred(e, at)
	case Lost:
		effects, err = next.lost(e, at)
	case Elapsed:
		effects, err = next.elapsed(at)
	case CancelRequested:
		effects, err = next.cancel(e, at)
	case Closed:
		effects, err = next.closed(e)
	case Accepted:
		effects, err = next.setAside(TaskAccepted, "accepted by "+e.By, e.Note, at)
	case SkipRequested:
		effects, err = next.setAside(TaskSkipped, "skipped by "+e.By, e.Note, at)
	case Rerun:
		effects, err = next.rerun(e, at)
	}
	if err != nil {
		return s, nil, fmt.Errorf("%s in state %q: %w", ev.name(), s.Task.State, err)
	}
	return next, effects, nil
}

func (s *Snapshot) started(at time.Time) ([]Effect, error) {
	if s.Task.State != TaskWaiting {
		return nil, ErrIllegal
	}
	return s.decide(at)
}

func (s *Snapshot) upstreamEnded(e UpstreamEnded, at time.Time) ([]Effect, error) {
	if s.Task.State != TaskWaiting {
		return nil, ErrIllegal
	}
	if s.Task.Upstream == nil {
		s.Task.Upstream = map[string]TaskState{}
	}
	if known, ok := s.Task.Upstream[e.Task]; ok && known.Terminal() {
		return nil, ErrIllegal // heard already: counting it twice would start the task too early
	}
	s.Task.Upstream[e.Task] = e.State
	return s.arrived(at)
}

func (s *Snapshot) arrived(at time.Time) ([]Effect, error) {
	if s.Task.State != TaskWaiting || s.Task.Waiting <= 0 {
		return nil, ErrIllegal
	}
	s.Task.Waiting--
	return s.decide(at)
}

// decide makes a waiting task ready, or ends it, once nothing is missing.
func (s *Snapshot) decide(at time.Time) ([]Effect, error) {
	if s.Run.State != Running || s.Task.Waiting > 0 {
		return nil, nil
	}
	verdict, reason, err := Judge(s.Task.When, s.Task.Upstream)
	if err != nil {
		return s.end(TaskFailed, fault.Invalid, err.Error()), nil
	}
	if verdict != TaskReady {
		return s.end(verdict, "", reason), nil
	}
	return s.offer(at), nil
}

func (s *Snapshot) offer(at time.Time) []Effect {
	s.Task.State, s.Task.ReadyAt, s.Task.Reason, s.Task.Session = TaskReady, at, "", ""
	return []Effect{Offer{at}}
}

func (s *Snapshot) claimed(e Claimed, at time.Time) ([]Effect, error) {
	t := &s.Task
	free := t.State == TaskReady || t.State == TaskClosing && t.Session == ""
	if !free || e.Epoch <= t.Epoch || t.ReadyAt.After(at) {
		return nil, ErrIllegal
	}
	t.Epoch, t.Session = e.Epoch, e.Session
	if t.State == TaskReady {
		t.State = TaskClaimed
	}
	return nil, nil
}

func (s *Snapshot) acknowledged(e Acknowledged) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	switch s.Task.State {
	case TaskClaimed:
		s.Task.State = TaskRunning
		s.Task.Attempt++
		return nil, nil
	case TaskRunning, TaskClosing, TaskCancelling:
		return nil, nil // repeated by a worker that did not hear the answer
	default: // illegal in every other state
	}
	return nil, ErrIllegal
}

func (s *Snapshot) returned(e Returned, at time.Time) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	switch s.Task.State {
	case TaskClaimed:
		return s.offer(at), nil
	case TaskClosing:
		s.Task.Session = ""
		return []Effect{Offer{at}}, nil
	default: // illegal in every other state
	}
	return nil, ErrIllegal
}

func (s *Snapshot) succeeded(e AttemptSucceeded) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	if s.Task.State != TaskRunning && s.Task.State != TaskCancelling {
		return nil, ErrIllegal
	}
	s.Task.Losses, s.Task.Suspect, s.Task.Unclosed = 0, false, false
	return s.publish(e.Tables), nil
}

func (s *Snapshot) publish(tables []commit.TableCommit) []Effect {
	effects := s.end(TaskSucceeded, "", "")
	if len(tables) > 0 {
		effects = append([]Effect{Published{tables}}, effects...)
	}
	return effects
}

func (s *Snapshot) failed(e AttemptFailed, at time.Time) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	t := &s.Task
	if t.State == TaskClosing { // the key is still open: it has to be closed before the task may end
		t.Session, t.ReadyAt = "", at.Add(closeAgain)
		return []Effect{Offer{t.ReadyAt}}, nil
	}
	if t.State != TaskRunning && t.State != TaskCancelling {
		return nil, ErrIllegal
	}
	t.Losses, t.Suspect = 0, false
	t.Unclosed = t.Unclosed || e.Kind == fault.Unknown
	if t.State == TaskCancelling {
		return s.cancelled(at), nil
	}
	t.Failures++
	again := e.Kind.Retryable() && t.Failures <= t.Retries
	if again {
		var no string
		if again, no = mayRetry(t.RetryIf, e, t.Failures); !again {
			e.Reason += "; not tried again: " + no
		}
	}
	if !again {
		if t.Unclosed {
			t.Kind = e.Kind
			return s.close(TaskFailed, e.Reason, at), nil
		}
		return s.end(TaskFailed, e.Kind, e.Reason), nil
	}
	wait := backoff(t.Backoff, t.Failures, maxBackoff)
	wait += jitter(wait/4, s.Run.ID, t.Name, t.Attempt)
	s.rest(at.Add(wait), fmt.Sprintf("attempt %d of %d: %s", t.Failures, t.Retries+1, e.Reason))
	t.Kind = e.Kind
	return []Effect{Offer{t.ReadyAt}}, nil
}

func (s *Snapshot) deferred(e Deferred, at time.Time) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	switch s.Task.State {
	case TaskCancelling:
		return s.cancelled(at), nil
	case TaskRunning:
		s.Task.Losses, s.Task.Suspect = 0, false
		s.rest(e.Until, e.Reason)
		return []Effect{Offer{e.Until}}, nil
	default: // illegal in every other state
	}
	return nil, ErrIllegal
}

func (s *Snapshot) lost(e Lost, at time.Time) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	t := &s.Task
	switch {
	case t.State == TaskClaimed: // never started
		return s.offer(at), nil
	case t.State == TaskClosing:
		t.Session = ""
		return []Effect{Offer{at}}, nil
	case t.State == TaskCancelling:
		t.Unclosed = true
		return s.close(t.Ending, t.Reason, at), nil
	case t.State != TaskRunning:
		return nil, ErrIllegal
	}
	t.Losses++
	t.Unclosed = true
	if e.Crashed && t.Suspect {
		t.Kind = fault.Lost
		effects := s.close(TaskFailed, "crashed its worker twice: "+e.Reason, at)
		return append(effects, Tell{"worker_lost", fault.Lost, t.Reason}), nil
	}
	t.Suspect = t.Suspect || e.Crashed
	if t.Losses < lossesInRow {
		return s.offer(at), nil
	}
	s.rest(at.Add(backoff(lossBackoff, t.Losses-lossesInRow+1, maxLossBackoff)), fmt.Sprintf("lost %d times in a row: %s", t.Losses, e.Reason))
	effects := []Effect{Offer{t.ReadyAt}}
	if t.Losses == lossesInRow {
		effects = append(effects, Tell{"worker_lost", fault.Lost, e.Reason})
	}
	return effects, nil
}

func (s *Snapshot) elapsed(at time.Time) ([]Effect, error) {
	if s.Task.State != TaskBackoff || s.Task.ReadyAt.After(at) {
		return nil, ErrIllegal
	}
	return s.offer(at), nil
}

func (s *Snapshot) cancel(e CancelRequested, at time.Time) ([]Effect, error) {
	t := &s.Task
	reason := "cancelled by " + e.By
	switch {
	case t.State.Terminal(), t.State == TaskCancelling, t.State == TaskClosing:
		return nil, ErrIllegal
	case t.State == TaskRunning || t.State == TaskClaimed:
		t.State, t.Ending, t.Reason = TaskCancelling, TaskCancelled, reason
		return []Effect{Stop{t.Session, t.Epoch}}, nil
	case t.Unclosed: // an attempt that was lost may still be publishing
		return s.close(TaskCancelled, reason, at), nil
	}
	return s.end(TaskCancelled, fault.Cancelled, reason), nil
}

// cancelled ends a task whose worker has stopped it; first its publish key is
// closed, where an attempt before it, or its own COMMIT, may still be under way.
func (s *Snapshot) cancelled(at time.Time) []Effect {
	t := &s.Task
	if t.Unclosed {
		return s.close(t.Ending, t.Reason, at)
	}
	return s.end(t.Ending, fault.Cancelled, t.Reason)
}

func (s *Snapshot) close(ending TaskState, reason string, at time.Time) []Effect {
	t := &s.Task
	t.State, t.Ending, t.Reason, t.Session, t.ReadyAt = TaskClosing, ending, reason, "", at
	return []Effect{Offer{at}}
}

func (s *Snapshot) closed(e Closed) ([]Effect, error) {
	if err := s.holds(e.Epoch); err != nil {
		return nil, err
	}
	t := &s.Task
	if t.State != TaskClosing && t.State != TaskCancelling {
		return nil, ErrIllegal
	}
	t.Unclosed = false
	if e.Committed {
		return s.publish(e.Tables), nil
	}
	kind := t.Kind
	if t.Ending == TaskCancelled {
		kind = fault.Cancelled
	}
	return s.end(t.Ending, kind, t.Reason), nil
}

func (s *Snapshot) setAside(to TaskState, reason, note string, at time.Time) ([]Effect, error) {
	t := &s.Task
	if note != "" {
		reason += ": " + note
	}
	switch t.State {
	case TaskWaiting, TaskReady, TaskBackoff:
		if t.Unclosed {
			t.Kind = ""
			return s.close(to, reason, at), nil
		}
		return s.end(to, "", reason), nil
	case TaskFailed, TaskUpstreamFailed, TaskCancelled, TaskSkipped:
		s.reopen()
		return s.end(to, "", reason), nil
	default: // illegal in every other state
	}
	return nil, ErrIllegal
}

func (s *Snapshot) rerun(e Rerun, at time.Time) ([]Effect, error) {
	t := &s.Task
	if !t.State.Terminal() {
		return nil, ErrIllegal
	}
	s.reopen()
	t.State, t.Generation, t.Failures, t.Losses, t.Suspect = TaskWaiting, t.Generation+1, 0, 0, false
	t.Waiting, t.Upstream, t.Reason, t.Kind, t.Ending = e.Waiting, maps.Clone(e.Upstream), "", "", ""
	return s.decide(at)
}

// reopen takes an ended task back into the count of its run.
func (s *Snapshot) reopen() {
	s.Run.Open++
	if s.Task.State.Bad() {
		s.Run.Bad--
	}
	if s.Task.State == TaskCancelled {
		s.Run.Cancelled--
	}
	if s.Run.State.Terminal() {
		s.Run.State = Running
		s.Run.CancelBy = ""
	}
}

func (s *Snapshot) end(to TaskState, kind fault.Kind, reason string) []Effect {
	t := &s.Task
	t.State, t.Kind, t.Reason, t.Session, t.Ending = to, kind, reason, "", ""
	s.Run.Open--
	effects := []Effect{Ended{to}}
	if to == TaskFailed && kind.Alerts() {
		cause := "task_failed"
		if kind == fault.Lost {
			cause = "worker_lost" // as it was told when it was lost: one cause is one incident
		}
		effects = append(effects, Tell{cause, kind, reason})
	}
	if to.Bad() {
		s.Run.Bad++
	}
	if to == TaskCancelled {
		s.Run.Cancelled++
	}
	if s.Run.Open == 0 {
		s.Run.State = s.Run.outcome()
		effects = append(effects, RunEnded{s.Run.State})
	}
	return effects
}

func (h Header) outcome() State {
	switch {
	case h.Bad > 0:
		return Failed
	case h.Cancelled > 0:
		return Cancelled
	}
	return Succeeded
}

func (s *Snapshot) rest(until time.Time, reason string) {
	s.Task.State, s.Task.ReadyAt, s.Task.Reason, s.Task.Session = TaskBackoff, until, reason, ""
}

func (s *Snapshot) holds(epoch int64) error {
	if s.Task.Epoch != epoch || s.Task.Session == "" {
		return ErrStale
	}
	return nil
}

// backoff doubles from base for each failure, up to limit.
func backoff(base time.Duration, failures int, limit time.Duration) time.Duration {
	factor := math.Pow(2, float64(min(failures, 30)-1))
	return time.Duration(min(float64(base)*factor, float64(limit)))
}

// jitter spreads retries over a span; the same attempt always gets the same
// share, so that the core needs no randomness.
func jitter(span time.Duration, run, task string, attempt int) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%s/%d", run, task, attempt)
	return time.Duration(float64(span) * float64(h.Sum64()%1000) / 1000)
}

// Outcomes returns the upstream names of a task in order, for messages and expressions.
func Outcomes(upstream map[string]TaskState) []string {
	return slices.Sorted(maps.Keys(upstream))
}
