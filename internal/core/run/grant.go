package run

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
)

// Ref names a task of a run.
type Ref struct {
	Environment string `json:"environment"`
	Run         string `json:"run"`
	Task        string `json:"task"`
	Index       int    `json:"index"`
}

// String is environment/run/task, with the index where it is not 0.
func (r Ref) String() string {
	if r.Index == 0 {
		return fmt.Sprintf("%s/%s/%s", r.Environment, r.Run, r.Task)
	}
	return fmt.Sprintf("%s/%s/%s[%d]", r.Environment, r.Run, r.Task, r.Index)
}

// Grant is a claim as the worker needs it.
type Grant struct {
	Ref
	Epoch      int64           `json:"epoch"` // also the fence
	Attempt    int             `json:"attempt"`
	Generation int             `json:"generation"`
	Closing    bool            `json:"closing,omitempty"` // close the publish key; run nothing
	Pipeline   string          `json:"pipeline"`
	Bundle     string          `json:"bundle"`
	Kind       string          `json:"kind"` // of the run
	Window     commit.Window   `json:"window"`
	Due        time.Time       `json:"due,omitzero"`
	Live       bool            `json:"live"`   // reads time as it happens; else simulated where nothing live is there
	Newest     bool            `json:"newest"` // no run of the pipeline has a later window
	Params     json.RawMessage `json:"params"`
	Suspect    bool            `json:"suspect,omitempty"` // was running when its worker crashed
	Values     []Value         `json:"values,omitempty"`  // set by tasks of the run that ended
}

// Value is a small value that a task of the run set.
type Value struct {
	Task  string          `json:"task"`
	Index int             `json:"index"`
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// Result is what an attempt leaves in the ledger beside its state.
type Result struct {
	ExitCode   *int              `json:"exit_code,omitempty"`
	PeakBytes  int64             `json:"peak_bytes,omitempty"`
	Frame      string            `json:"frame,omitempty"` // first line of the user's own code in a traceback
	Receipts   []commit.Receipt  `json:"receipts,omitempty"`
	Completion commit.Completion `json:"completion,omitzero"`
	Pins       []Pin             `json:"pins,omitempty"`
	Timings    map[string]int64  `json:"timings_us,omitempty"`
}

// Tables lists what the receipts committed.
func (r Result) Tables() []commit.TableCommit {
	var out []commit.TableCommit
	for _, receipt := range r.Receipts {
		out = append(out, receipt.Tables...)
	}
	return out
}

// Pin is a frozen training set; its body is core/feature's.
type Pin struct {
	ID   string          `json:"id"`
	Set  string          `json:"set"`
	Body json.RawMessage `json:"body"`
}
