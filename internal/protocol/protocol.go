// Package protocol holds the messages between server and worker, versioned.
//
// They travel as JSON over HTTP: over a unix socket today, over TLS to other
// machines later, unchanged. Messages carry core values. Unknown fields are
// ignored, so that neighbouring versions understand each other.
//
//	POST /v1/session    Hello → Welcome          once, and again after either side was away
//	POST /v1/exchange   Exchange → Answer        claims, acknowledgements, ends; a long poll when idle
//	POST /v1/log        bytes, header LogHeader  appends to an attempt's log
//	GET  /v1/bundle/H   tar of the bundle H
//	PUT  /v1/artifact/… bytes                    an attempt's artifact; GET reads it
//	GET  /v1/model/…    Model                    a version of a model
package protocol

import (
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// Version is the version of these messages. A server refuses workers of another major number.
const Version = 1

// Times of PROTOCOLS §2.
const (
	LostAfter     = 60 * time.Second // silence that ends a session
	Unstarted     = 2 * time.Second  // a grant that nobody acknowledged is ready again
	Poll          = 20 * time.Second // how long an idle exchange is held
	KeepUnsent    = 5 * time.Minute  // how long a worker keeps ends that its server has not heard
	SilentWorker  = 5 * time.Second  // a worker that a starting server finds, and that does not answer, is killed
	MaxValueBytes = 64 << 10         // of a task's small values together
)

// Hello introduces a worker.
type Hello struct {
	Protocol int     `json:"protocol"`
	Session  string  `json:"session"`
	Worker   string  `json:"worker"`
	Version  string  `json:"version"`
	Slots    int     `json:"slots"`
	Door     string  `json:"door,omitempty"`  // where the worker answers queries
	Holds    []int64 `json:"holds,omitempty"` // epochs of the attempts that it has, or whose end it has not told yet
}

// Welcome answers Hello.
type Welcome struct {
	Installation string `json:"installation"`
	Known        bool   `json:"known"` // the session is open; false: it has ended, begin a new one
	Refused      string `json:"refused,omitempty"`
}

// Exchange is what a worker has to say. The server knows how much work it can
// take: its slots less what it was granted and has not ended.
type Exchange struct {
	Session string `json:"session"`
	Acks    []Ack  `json:"acks,omitempty"`
	Ends    []End  `json:"ends,omitempty"`
	Free    int    `json:"free"`           // slots without work
	Idle    bool   `json:"idle"`           // the worker holds no work at all
	Wait    bool   `json:"wait,omitempty"` // hold the answer until there is work
}

// Ack tells that an attempt begins.
type Ack struct {
	run.Ref
	Epoch int64 `json:"epoch"`
}

// End tells how an attempt ended.
type End struct {
	run.Ref
	Epoch   int64      `json:"epoch"`
	Outcome Outcome    `json:"outcome"`
	Kind    fault.Kind `json:"kind,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Until   time.Time  `json:"until,omitzero"` // of deferred
	Result  run.Result `json:"result,omitzero"`
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Deferred  Outcome = "deferred"
	Closed    Outcome = "closed" // of a closing grant
)

// Event is the end as the core understands it.
func (e End) Event() run.Event {
	switch e.Outcome {
	case Succeeded:
		return run.AttemptSucceeded{Epoch: e.Epoch, Tables: e.Result.Tables()}
	case Deferred:
		return run.Deferred{Epoch: e.Epoch, Until: e.Until, Reason: e.Reason}
	case Closed:
		return run.Closed{Epoch: e.Epoch, Committed: len(e.Result.Receipts) > 0, Tables: e.Result.Tables()}
	default: // a failure, below
	}
	return run.AttemptFailed{Epoch: e.Epoch, Kind: e.Kind, Reason: e.Reason, ExitCode: e.Result.ExitCode}
}

// Answer is what the server has to say.
type Answer struct {
	Known  bool        `json:"known"`            // false: the session has ended; drop everything
	Acked  []int64     `json:"acked,omitempty"`  // epochs that may begin
	Ended  []int64     `json:"ended,omitempty"`  // epochs whose end is recorded, or no longer matters
	Grants []run.Grant `json:"grants,omitempty"` // new work
	Stops  []int64     `json:"stops,omitempty"`  // epochs to stop
	Drain  bool        `json:"drain,omitempty"`  // finish and leave
}

// LogHeader names the attempt that a chunk of log belongs to, as request headers.
type LogHeader struct {
	run.Ref
	Attempt int
	Offset  int64 // of the chunk's first byte
}

// Model is a model version as a worker needs it.
type Model struct {
	commit.Model
	Version int    `json:"version"`
	Run     string `json:"run"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
}

// Door paths: the worker answers queries on its own socket.
const (
	DoorQuery    = "/v1/query"
	DoorSnapshot = "/v1/snapshot"
)
