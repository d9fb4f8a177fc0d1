package run

import (
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Event is something that happened to a task. The set is closed.
//
//sumtype:decl
type Event interface{ name() string }

// The events. Those with an Epoch come from an attempt and count only under its own claim.
type (
	// Started gives a waiting task of a run whose turn has come its chance to become ready.
	Started struct{}
	// UpstreamEnded tells that a task which this one waits for has ended.
	UpstreamEnded struct {
		Task  string
		State TaskState
	}
	// Covered tells that a table of another pipeline now covers the run's window.
	Covered struct{ Table project.Table }
	// Claimed gives the task to a worker session.
	Claimed struct {
		Session string
		Epoch   int64
	}
	// Acknowledged tells that the worker has begun the attempt.
	Acknowledged struct{ Epoch int64 }
	// Returned takes back a claim that was never acknowledged; no loss.
	Returned struct{ Epoch int64 }
	// AttemptSucceeded tells that the process exited 0, the session closed and the outputs are committed.
	AttemptSucceeded struct {
		Epoch  int64
		Tables []commit.TableCommit
	}
	// AttemptFailed tells that the attempt ended, and that nothing of it is or will be published.
	AttemptFailed struct {
		Epoch    int64
		Kind     fault.Kind
		Reason   string
		ExitCode *int // of its process; nil: it had none
	}
	// Deferred tells that what the attempt needs is not there yet; costs no retry.
	Deferred struct {
		Epoch  int64
		Until  time.Time
		Reason string
	}
	// Lost tells that the session which held the task is gone.
	Lost struct {
		Epoch   int64
		Reason  string
		Crashed bool // the worker died of its own, by a fault signal or a panic
	}
	// Elapsed tells that the back-off is over.
	Elapsed struct{}
	// CancelRequested asks the task to end.
	CancelRequested struct{ By string }
	// Closed tells that the publish key is closed in its store; Tables is what was found committed, if anything.
	Closed struct {
		Epoch     int64
		Committed bool
		Tables    []commit.TableCommit
	}
	// Accepted is a person's word that the task needs no run.
	Accepted struct{ By, Note string }
	// SkipRequested is a person's wish that the task be left out.
	SkipRequested struct{ By, Note string }
	// Rerun starts the task again as a new generation that waits for Waiting upstreams.
	Rerun struct {
		By       string
		Waiting  int
		Upstream map[string]TaskState
	}
)

func (Started) name() string          { return "started" }
func (UpstreamEnded) name() string    { return "upstream_ended" }
func (Covered) name() string          { return "covered" }
func (Claimed) name() string          { return "claimed" }
func (Acknowledged) name() string     { return "acknowledged" }
func (Returned) name() string         { return "returned" }
func (AttemptSucceeded) name() string { return "attempt_succeeded" }
func (AttemptFailed) name() string    { return "attempt_failed" }
func (Deferred) name() string         { return "deferred" }
func (Lost) name() string             { return "lost" }
func (Elapsed) name() string          { return "elapsed" }
func (CancelRequested) name() string  { return "cancel_requested" }
func (Closed) name() string           { return "closed" }
func (Accepted) name() string         { return "accepted" }
func (SkipRequested) name() string    { return "skip_requested" }
func (Rerun) name() string            { return "rerun" }

// Name is the event's name in the history.
func Name(ev Event) string { return ev.name() }

// Effect is what must follow a committed state. The set is closed.
//
//sumtype:decl
type Effect interface{ effect() }

// The effects.
type (
	// Offer says that the task can be claimed from At on.
	Offer struct{ At time.Time }
	// Stop says that the session shall stop the attempt.
	Stop struct {
		Session string
		Epoch   int64
	}
	// Ended says that the task ended; its dependants must hear of it.
	Ended struct{ State TaskState }
	// Published says that the tables cover more than before.
	Published struct{ Tables []commit.TableCommit }
	// RunEnded says that the last open task of the run ended.
	RunEnded struct{ State State }
	// Tell says that somebody may have to hear of it.
	Tell struct {
		Kind   string // task_failed, worker_lost
		Fault  fault.Kind
		Reason string
	}
)

func (Offer) effect()     {}
func (Stop) effect()      {}
func (Ended) effect()     {}
func (Published) effect() {}
func (RunEnded) effect()  {}
func (Tell) effect()      {}
