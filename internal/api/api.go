// Package api holds the nouns of the HTTP API and a client for them.
//
// The command line, and later the UI, know Tidemill only through these types.
// They are interface: fields are added, never renamed. Times are RFC 3339 UTC.
package api

import (
	"encoding/json"
	"time"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
)

// Error is the body of every answer that is not 2xx.
type Error struct {
	Error string     `json:"error"`
	Kind  fault.Kind `json:"kind"`
}

// Status is a server's word about itself.
type Status struct {
	Project      string    `json:"project"`
	Timezone     string    `json:"timezone,omitempty"` // of the project: windows are shown in it
	Environment  string    `json:"environment"`
	Folder       string    `json:"folder"`
	Bundle       string    `json:"bundle"`
	Installation string    `json:"installation"`
	Version      string    `json:"version"`
	PID          int       `json:"pid"`
	Since        time.Time `json:"since"`
	Alone        bool      `json:"alone,omitempty"` // it is there for one command, and ends after it
	Worker       bool      `json:"worker"`          // it keeps a home worker
	WorkerPID    int       `json:"worker_pid,omitempty"`
	WorkerReady  bool      `json:"worker_ready"`       // it has introduced itself
	Problems     int       `json:"problems"`           // errors of the project as it lies there
	Stale        []string  `json:"stale,omitempty"`    // pipelines that run on their last good version
	Incidents    int       `json:"incidents"`          // open ones
	Trouble      string    `json:"trouble,omitempty"`  // why the ledger cannot be written now
	Stopping     bool      `json:"stopping,omitempty"` // ends when what runs has ended
}

// RunRequest asks for a run.
type RunRequest struct {
	Pipeline string          `json:"pipeline"`
	Window   string          `json:"window,omitempty"` // a local date, or START/END; empty: the newest complete one
	Tasks    []string        `json:"tasks,omitempty"`  // these alone
	From     string          `json:"from,omitempty"`   // this one and what follows
	Params   json.RawMessage `json:"params,omitempty"`
	By       string          `json:"by,omitempty"`
}

// Run is a run; Tasks only where one run was asked for.
type Run struct {
	ID        string          `json:"id"`
	Pipeline  string          `json:"pipeline"`
	Kind      string          `json:"kind"`
	State     run.State       `json:"state"`
	Window    commit.Window   `json:"window"`
	Due       time.Time       `json:"due,omitzero"`
	Created   time.Time       `json:"created"`
	Began     time.Time       `json:"began,omitzero"`
	Ended     time.Time       `json:"ended,omitzero"`
	By        string          `json:"by,omitempty"`
	CancelBy  string          `json:"cancelled_by,omitempty"`
	Backfill  string          `json:"backfill,omitempty"`
	Bundle    string          `json:"bundle"`
	Params    json.RawMessage `json:"params,omitempty"`
	OpenTasks int             `json:"open_tasks"`
	BadTasks  int             `json:"bad_tasks"`
	Tasks     []Task          `json:"tasks,omitempty"`

	Runs map[run.State]int `json:"runs,omitempty"` // where this stands for a backfill: how many of its runs are in which state

	Why string `json:"why,omitempty"` // one sentence, where it waits or ended badly
}

// Task is a task of a run.
type Task struct {
	Name       string        `json:"name"`
	Index      int           `json:"index"`
	State      run.TaskState `json:"state"`
	Generation int           `json:"generation"`
	Attempt    int           `json:"attempt"`
	Failures   int           `json:"failures"`
	Losses     int           `json:"losses"`
	Retries    int           `json:"retries"`
	Upstream   []string      `json:"upstream,omitempty"`
	ReadyAt    time.Time     `json:"ready_at,omitzero"`
	Kind       fault.Kind    `json:"kind,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	Began      time.Time     `json:"began,omitzero"`
	Ended      time.Time     `json:"ended,omitzero"`
	Waits      []Wait        `json:"waits,omitempty"`
	Attempts   []Attempt     `json:"attempts,omitempty"`
}

// Wait is a part of time that a table must cover first.
type Wait struct {
	Table  string        `json:"table"`
	Window commit.Window `json:"window"`
}

// Attempt is one try of a task.
type Attempt struct {
	Attempt    int              `json:"attempt"`
	Generation int              `json:"generation"`
	State      string           `json:"state"`
	Kind       fault.Kind       `json:"kind,omitempty"`
	Reason     string           `json:"reason,omitempty"`
	Began      time.Time        `json:"began"`
	Ended      time.Time        `json:"ended,omitzero"`
	ExitCode   *int             `json:"exit_code,omitempty"`
	PeakBytes  int64            `json:"peak_bytes,omitempty"`
	Receipts   []commit.Receipt `json:"receipts,omitempty"`
}

// Pipeline is a pipeline of the live project.
type Pipeline struct {
	Name     string    `json:"name"`
	Owner    string    `json:"owner,omitempty"`
	Schedule string    `json:"schedule"`
	Tasks    []string  `json:"tasks"`
	Paused   bool      `json:"paused"`
	PausedBy string    `json:"paused_by,omitempty"`
	Note     string    `json:"note,omitempty"`
	Mark     time.Time `json:"mark,omitzero"`
	Next     time.Time `json:"next,omitzero"`
}

// Slot is one expected run.
type Slot struct {
	Due    time.Time     `json:"due"`
	First  time.Time     `json:"first,omitzero"`
	Window commit.Window `json:"window"`
	State  string        `json:"state"`
	Reason string        `json:"reason,omitempty"`
	Run    string        `json:"run,omitempty"`
}

// RerunRequest asks for tasks to run again.
type RerunRequest struct {
	Tasks     []string `json:"tasks,omitempty"` // empty: all that did not end well
	Following bool     `json:"following,omitempty"`
	Code      string   `json:"code,omitempty"` // now (default), then
	By        string   `json:"by,omitempty"`
}

// SetAsideRequest ends a task by a person's word.
type SetAsideRequest struct {
	Run      string `json:"run"`
	Task     string `json:"task"`
	Index    int    `json:"index,omitempty"`
	Accepted bool   `json:"accepted"`
	Note     string `json:"note,omitempty"`
	By       string `json:"by,omitempty"`
}

// PauseRequest pauses or resumes a pipeline.
type PauseRequest struct {
	Paused bool   `json:"paused"`
	Note   string `json:"note,omitempty"`
	By     string `json:"by,omitempty"`
}

// Why answers why something waits, or how it ended: one sentence, then all reasons.
type Why struct {
	What    string   `json:"what"`
	Summary string   `json:"summary"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// Reason is one thing that holds something back.
type Reason struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since,omitzero"`
	Next  string    `json:"next,omitempty"` // what to do, or when it goes on by itself
}

// Limit is something of which there is only so much: pool:NAME, store:NAME, or the
// attempts of a pipeline, pipeline:NAME.
type Limit struct {
	Name     string `json:"name"`
	Capacity int    `json:"capacity"`
	Used     int    `json:"used"`
	Waiting  int    `json:"waiting"` // tasks in its queue
}

// BackupRequest asks for a copy of the installation.
type BackupRequest struct {
	Path string `json:"path"` // absolute; nothing may be there
}

// BackupLine is one line of the answer: how far it is, and at the end what was
// written, or why it was not.
type BackupLine struct {
	Progress *backup.Progress `json:"progress,omitempty"`
	Manifest *backup.Manifest `json:"manifest,omitempty"`
	Error    *Error           `json:"error,omitempty"`
}

// Model is a model version.
type Model struct {
	commit.Model
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Run     string    `json:"run"`
	Task    string    `json:"task"`
	Aliases []string  `json:"aliases,omitempty"`

	Promotions []run.Promotion `json:"promotions,omitempty"` // what the conditions of its aliases saw when it was recorded
}

// PromoteRequest moves an alias.
type PromoteRequest struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
	Alias   string `json:"alias"`
	By      string `json:"by,omitempty"`
}

// AlertTest is the outcome of a test message over one channel.
type AlertTest struct {
	Channel string `json:"channel"`
	Action  string `json:"action"`
	Answer  string `json:"answer,omitempty"`
	Error   string `json:"error,omitempty"`
}

// ReplayRequest asks for quarantined rows to be sent again.
type ReplayRequest struct {
	Table string `json:"table"`
	Rule  string `json:"rule,omitempty"` // empty: of every rule
	By    string `json:"by,omitempty"`
}
