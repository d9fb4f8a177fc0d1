package project

import (
	"encoding/json"
	"time"

	"github.com/tidemill/tidemill/internal/core/problem"
)

// Kind is a kind of task.
type Kind string

// The kinds of task.
const (
	KindMove    Kind = "move"
	KindSQL     Kind = "sql"
	KindPython  Kind = "python"
	KindCommand Kind = "command"
	KindCheck   Kind = "check"
)

// Mode is how a commit changes a table.
type Mode string

// The write modes.
const (
	ModeReplace       Mode = "replace"
	ModeAppend        Mode = "append"
	ModeReplaceWindow Mode = "replace_window"
	ModeMerge         Mode = "merge"
	ModeFeature       Mode = "feature"
	ModeView          Mode = "view"
)

// Task is a file of a pipeline.
type Task struct {
	Name     string            `json:"name"`
	Kind     Kind              `json:"kind"`
	File     string            `json:"file"`            // in the bundle
	About    string            `json:"about,omitempty"` // what it is for
	Place    problem.Place     `json:"place"`
	Reads    []Read            `json:"reads,omitempty"`
	Writes   []Write           `json:"writes,omitempty"`
	Models   []string          `json:"models,omitempty"`   // models that it writes
	Upstream []string          `json:"upstream,omitempty"` // tasks of the same pipeline, from tables, sets, models and after
	After    []string          `json:"after,omitempty"`    // as written
	When     string            `json:"when,omitempty"`     // CEL over upstream outcomes
	RetryIf  string            `json:"retry_if,omitempty"` // CEL over the failure: which are tried again
	Params   []Param           `json:"params,omitempty"`   // the pipeline's and its own
	Secrets  []string          `json:"secrets,omitempty"`
	Retries  int               `json:"retries"`
	Backoff  time.Duration     `json:"backoff"`
	Timeout  time.Duration     `json:"timeout,omitempty"` // 0 is none
	Priority int               `json:"priority,omitempty"`
	Pools    []Hold            `json:"pools,omitempty"` // what an attempt holds while it runs
	Previous bool              `json:"after_previous,omitempty"`
	Digest   string            `json:"digest,omitempty"` // sha256 of its file
	Move     *Move             `json:"move,omitempty"`
	SQL      *SQL              `json:"sql,omitempty"`
	Python   *Python           `json:"python,omitempty"`
	Command  *Command          `json:"command,omitempty"`
	Check    *Check            `json:"check,omitempty"`
	Origins  map[string]Origin `json:"origins,omitempty"` // setting → where its value comes from
}

// Origin is where a setting's value was decided.
type Origin struct {
	Level string        `json:"level"` // task, pipeline, project, default
	Place problem.Place `json:"place,omitzero"`
}

// Read is a table, feature set or model that a task reads.
type Read struct {
	Table    Table         `json:"table,omitzero"`
	Set      string        `json:"set,omitempty"`
	Model    string        `json:"model,omitempty"`
	Alias    string        `json:"alias,omitempty"`    // of the model; empty: the newest version
	Wait     bool          `json:"wait,omitempty"`     // the run waits until the table covers its window
	External bool          `json:"external,omitempty"` // nobody in the project writes it
	Producer string        `json:"producer,omitempty"` // pipeline/task that writes it
	Feature  bool          `json:"feature,omitempty"`  // read as of moments, through a feature set
	Place    problem.Place `json:"place,omitzero"`
}

// Write is a table that a task writes.
type Write struct {
	Table          Table         `json:"table"`
	Mode           Mode          `json:"mode"`
	Keys           []string      `json:"keys,omitempty"`
	EventTime      string        `json:"event_time,omitempty"`
	Version        string        `json:"version,omitempty"` // merge: an older row never overwrites a newer one
	KnownAt        string        `json:"known_at,omitempty"`
	AvailableAfter time.Duration `json:"available_after,omitempty"`
	Lookback       time.Duration `json:"lookback,omitempty"`
	AppendKeep     bool          `json:"append_keep,omitempty"` // a rerun does not remove what earlier generations appended
	Place          problem.Place `json:"place,omitzero"`
}

// Move copies rows between stores.
type Move struct {
	FromStore string        `json:"from_store"`
	From      string        `json:"from,omitempty"`      // path glob or table as written, with interpolation
	FromTable Table         `json:"from_table,omitzero"` // set where the source is a table
	Query     string        `json:"query,omitempty"`
	Format    Format        `json:"format,omitzero"`
	Missing   Missing       `json:"missing"`
	Place     problem.Place `json:"place,omitzero"`
}

// Missing says what a move does when its source is not there.
type Missing struct {
	Policy string        `json:"policy"`         // fail, empty, wait
	Wait   time.Duration `json:"wait,omitempty"` // after due
}

// Format describes files.
type Format struct {
	Kind        string    `json:"kind,omitempty"` // csv, json, parquet; empty: by the file's name
	CSV         CSVFormat `json:"csv,omitzero"`
	Compression string    `json:"compression,omitempty"` // none, gzip, zstd; empty: by the file's name
}

// SQL is a SELECT that runs in the store of its target.
type SQL struct {
	Text string `json:"text"`
}

// Python is a script with its environment.
type Python struct {
	Requires     string            `json:"requires,omitempty"` // requires-python
	Dependencies []string          `json:"dependencies,omitempty"`
	Driver       string            `json:"driver"` // uv, venv, system
	Lock         string            `json:"lock,omitempty"`
	Promote      map[string]string `json:"promote,omitempty"` // alias → CEL over metrics
}

// Command is a program with its arguments.
type Command struct {
	Args []string          `json:"args"` // interpolated, one argument each; never a shell's text
	Env  map[string]string `json:"env,omitempty"`
}

// Check judges a table after it was written.
type Check struct {
	Table Table  `json:"table"`
	Rules []Rule `json:"rules"`
}

// Rule is a query with what its single value must be.
type Rule struct {
	Name     string          `json:"name"`
	Query    string          `json:"query"`
	Operator string          `json:"operator"` // mustBe, mustNotBe, mustBeGreaterThan …
	Value    json.RawMessage `json:"value"`
	Severity string          `json:"severity,omitempty"` // error (default), warning
	Place    problem.Place   `json:"place,omitzero"`
}
