package run

import (
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// ErrStale means that the event belongs to an attempt that no longer holds the
// task: a lost race, dropped quietly.
var ErrStale = errors.New("the attempt no longer holds the task")

// ErrIllegal means that the event has no meaning in the state.
var ErrIllegal = errors.New("event not possible in this state")

// State is the state of a run.
type State string

// The states of a run.
const (
	Queued    State = "queued" // its turn has not come: overlap, or a backfill's concurrency
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Terminal reports whether the run has ended.
func (s State) Terminal() bool { return s == Succeeded || s == Failed || s == Cancelled }

// TaskState is the state of a task in a run.
type TaskState string

// The states of a task.
const (
	TaskWaiting        TaskState = "waiting" // for upstreams, or for windows of other pipelines' tables
	TaskReady          TaskState = "ready"
	TaskClaimed        TaskState = "claimed"
	TaskRunning        TaskState = "running"
	TaskBackoff        TaskState = "backoff"
	TaskCancelling     TaskState = "cancelling" // its worker was told to stop it
	TaskClosing        TaskState = "closing"    // its publish key is being closed in the store
	TaskSucceeded      TaskState = "succeeded"
	TaskFailed         TaskState = "failed"
	TaskUpstreamFailed TaskState = "upstream_failed"
	TaskSkipped        TaskState = "skipped"
	TaskCancelled      TaskState = "cancelled"
	TaskAccepted       TaskState = "accepted" // a person took responsibility; never succeeded
)

// Terminal reports whether the task has ended.
func (s TaskState) Terminal() bool {
	switch s {
	case TaskSucceeded, TaskFailed, TaskUpstreamFailed, TaskSkipped, TaskCancelled, TaskAccepted:
		return true
	default: // the others go on
	}
	return false
}

// Good reports whether tasks that follow may run.
func (s TaskState) Good() bool { return s == TaskSucceeded || s == TaskAccepted }

// Bad reports whether the end counts as a failure of the run.
func (s TaskState) Bad() bool { return s == TaskFailed || s == TaskUpstreamFailed }

// Held reports whether a worker session holds the task.
func (s TaskState) Held() bool {
	return s == TaskClaimed || s == TaskRunning || s == TaskCancelling
}

// Header is what the tasks of a run share.
type Header struct {
	Environment string
	ID          string
	Pipeline    string
	Owner       string // of the pipeline, for incidents
	Bundle      string
	Window      commit.Window
	State       State
	Open        int    // tasks that have not ended
	Bad         int    // tasks that ended badly
	Cancelled   int    // tasks that ended cancelled
	CancelBy    string // who asked to cancel the run; empty: nobody
}

// Task is one task of a run, with its current attempt.
type Task struct {
	Name       string
	Index      int
	State      TaskState
	Generation int
	Attempt    int    // number of the newest start
	Epoch      int64  // of the newest claim; also the attempt's fence
	Session    string // the worker session that holds it, else empty
	Failures   int    // failures in this generation: what retries are counted against
	Losses     int    // losses in a row
	Suspect    bool   // was running when its worker crashed: runs alone
	Unclosed   bool   // an earlier attempt may still be publishing: close the key before the task ends
	Waiting    int    // upstreams and windows that have not come yet
	Upstream   map[string]TaskState
	When       string // CEL; empty: all upstreams good
	RetryIf    string // CEL over a failure; empty: every kind that a retry may mend
	Retries    int
	Priority   int  // the higher the earlier among what is ready
	Limited    bool // its attempts hold something of which there is only so much
	Backoff    time.Duration
	ReadyAt    time.Time // when backoff ends, or since when it is ready
	Reason     string    // why it waits or how it ended, one sentence
	Kind       fault.Kind
	Ending     TaskState // in cancelling and closing: the state it ends in unless a receipt is found
}

// Snapshot is what Apply sees: a task and its run's header.
type Snapshot struct {
	Run  Header
	Task Task
}
