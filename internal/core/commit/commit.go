// Package commit holds what a publish is made of, as values: the publish key,
// the manifest that goes in, the receipt that proves it, and the evidence that
// must add up (PROTOCOLS §3).
//
// It guarantees that values round-trip through JSON, since receipts lie in the
// target's own store for years. It must not know any store.
package commit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Key identifies one wanted publication. Retries and losses keep it; only a
// wanted rerun raises the generation.
type Key struct {
	Installation string `json:"installation"`
	Environment  string `json:"environment"`
	Run          string `json:"run"`
	Task         string `json:"task"` // pipeline/task
	Index        int    `json:"index"`
	Generation   int    `json:"generation"`
}

// String is the key as one text, usable as a primary key in any store.
func (k Key) String() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d/%d", k.Installation, k.Environment, k.Run, k.Task, k.Index, k.Generation)
}

// Origin is the key without its generation: what a wanted rerun repeats.
func (k Key) Origin() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", k.Installation, k.Environment, k.Run, k.Task, k.Index)
}

// Window is the half-open UTC interval of data that a run is for. The zero
// window is no window at all.
type Window = calendar.Window

// Evidence counts the rows of one table in one load.
//
//	read   = staged + quarantined + dropped
//	staged = inserted + updated + unchanged + superseded
type Evidence struct {
	Read        int64      `json:"read"`
	Staged      int64      `json:"staged"`
	Quarantined int64      `json:"quarantined"`
	Dropped     int64      `json:"dropped"`
	Inserted    int64      `json:"inserted"`
	Updated     int64      `json:"updated"`
	Unchanged   int64      `json:"unchanged"`
	Superseded  int64      `json:"superseded"` // equal keys in one load, or older than the row that is there
	Deleted     int64      `json:"deleted"`    // rows that were there and are no more
	Coerced     int64      `json:"coerced,omitempty"`
	Warned      int64      `json:"warned,omitempty"`
	Rules       []RuleHits `json:"rules,omitempty"` // sorted by rule
	Sources     []string   `json:"sources,omitempty"`
}

// RuleHits counts the rows that one rule caught, with the first of them.
type RuleHits struct {
	Rule    string `json:"rule"`
	Verdict string `json:"verdict"` // reject, quarantine, coerce, warn
	Rows    int64  `json:"rows"`
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"` // of the first row
	File    string `json:"file,omitempty"`
	Line    int64  `json:"line,omitempty"`
}

// AddHits adds hits to a list that is sorted by rule, without changing the list that was given.
func AddHits(rules []RuleHits, hits RuleHits) []RuleHits {
	out := make([]RuleHits, 0, len(rules)+1)
	placed := false
	for _, r := range rules {
		if r.Rule == hits.Rule && r.Verdict == hits.Verdict {
			r.Rows += hits.Rows
			placed = true
		}
		if r.Rule > hits.Rule && !placed {
			out, placed = append(out, hits), true
		}
		out = append(out, r)
	}
	if !placed {
		out = append(out, hits)
	}
	return out
}

// Check reports an error of kind internal unless the evidence adds up.
func (e Evidence) Check() error {
	if e.Read != e.Staged+e.Quarantined+e.Dropped {
		return fault.New(fault.Internal, "evidence does not add up: read %d, but staged %d + quarantined %d + dropped %d",
			e.Read, e.Staged, e.Quarantined, e.Dropped)
	}
	if e.Staged != e.Inserted+e.Updated+e.Unchanged+e.Superseded {
		return fault.New(fault.Internal, "evidence does not add up: staged %d, but inserted %d + updated %d + unchanged %d + superseded %d",
			e.Staged, e.Inserted, e.Updated, e.Unchanged, e.Superseded)
	}
	return nil
}

// TableCommit is what one commit did to one table.
type TableCommit struct {
	Table     project.Table `json:"table"`
	Mode      project.Mode  `json:"mode"`
	Seq       int64         `json:"seq"` // the table's commit number
	Window    Window        `json:"window,omitzero"`
	Simulated bool          `json:"simulated,omitempty"`
	Contract  string        `json:"contract,omitempty"` // id@version
	Evidence  Evidence      `json:"evidence"`
}

// Completion is what an attempt says of itself beside its rows.
type Completion struct {
	Values  map[string]json.RawMessage `json:"values,omitempty"` // small values for later tasks, ≤ 64 KiB together
	Metrics map[string]float64         `json:"metrics,omitempty"`
	Checks  []CheckResult              `json:"checks,omitempty"`
	Models  []Model                    `json:"models,omitempty"`
	Read    map[project.Table]int64    `json:"read,omitempty"` // the vector table → _seq that it read
	Cursor  json.RawMessage            `json:"cursor,omitempty"`
}

// CheckResult is the verdict of one check.
type CheckResult struct {
	Name     string `json:"name"`
	Severity string `json:"severity"` // error, warning
	Passed   bool   `json:"passed"`
	Observed string `json:"observed"`
	Expected string `json:"expected"`
}

// Model is a model version that an attempt wants recorded.
type Model struct {
	Name        string                     `json:"name"`
	Artifact    string                     `json:"artifact"` // file name in the attempt's artifacts
	Digest      string                     `json:"digest"`   // sha256 of the artifact
	Framework   string                     `json:"framework,omitempty"`
	Pin         string                     `json:"pin,omitempty"`
	Params      map[string]json.RawMessage `json:"params,omitempty"`
	Metrics     map[string]float64         `json:"metrics,omitempty"`
	Importances []Importance               `json:"importances,omitempty"`
	CodeDigest  string                     `json:"code_digest,omitempty"`
	EnvDigest   string                     `json:"env_digest,omitempty"`
	Features    []string                   `json:"features,omitempty"`
	Promote     map[string]string          `json:"promote,omitempty"` // alias → CEL over the metrics
}

// Importance is how much one feature moves a model's predictions.
type Importance struct {
	Feature string  `json:"feature"`
	MeanAbs float64 `json:"mean_abs"`
	Std     float64 `json:"std"`
	N       int64   `json:"n"`
	Method  string  `json:"method"`
}

// Manifest is what a load is asked to make visible, as one commit.
type Manifest struct {
	Tables     []TableCommit `json:"tables"` // Seq is given by the store
	Completion Completion    `json:"completion"`
}

// Line is what the manifest says of a table.
func (m Manifest) Line(t project.Table) (TableCommit, error) {
	for _, line := range m.Tables {
		if line.Table == t {
			return line, nil
		}
	}
	return TableCommit{}, fault.New(fault.Internal, "the manifest says nothing of table %s", t)
}

// Receipt is the row in the target's store that proves a commit and holds the whole completion.
type Receipt struct {
	Key         Key           `json:"key"`
	Fence       int64         `json:"fence"`
	CommittedAt time.Time     `json:"committed_at"` // the store's clock
	Tables      []TableCommit `json:"tables"`
	Completion  Completion    `json:"completion"`
}
