// Package project holds a project as values: pipelines, tasks, tables, stores
// and settings, each with the place where it was written.
//
// It guarantees that a value round-trips through JSON unchanged, because the
// resolved plan travels in bundles to workers, which never parse project files.
// It must not read files, interpolate text or know how a store works.
package project

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
)

// Project is one checked version of a project folder, for one environment.
type Project struct {
	Name        string       `json:"name"`
	Environment string       `json:"environment"` // "base" for the laptop's
	Timezone    string       `json:"timezone"`    // IANA name
	Secrets     []Secret     `json:"secrets,omitempty"`
	Stores      []Store      `json:"stores"`
	Alerts      Alerts       `json:"alerts"`
	Calendars   []Calendar   `json:"calendars,omitempty"`
	Pools       []Pool       `json:"pools,omitempty"`
	Pipelines   []Pipeline   `json:"pipelines"`
	Sets        []FeatureSet `json:"feature_sets,omitempty"`
}

// Secret is a named reference to a secret: env:NAME or file:PATH. The value is never part of a project.
type Secret struct {
	Name  string        `json:"name"`
	Ref   string        `json:"ref"`
	Place problem.Place `json:"place"`
}

// Store is a named place where data lives.
type Store struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`     // duckdb, files, postgres
	Settings map[string]string `json:"settings"` // as written, secrets as {secret.x}
	External []string          `json:"external,omitempty"`
	Limit    int               `json:"limit,omitempty"` // attempts that may use it at once; 0: any number
	Place    problem.Place     `json:"place"`
}

// IsExternal reports whether somebody outside of the project writes a table of the store.
func (s *Store) IsExternal(t Table) bool {
	return slices.ContainsFunc(s.External, func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(t.Schema+"."+t.Name))
		return ok && err == nil
	})
}

// Alerts says who is told about incidents.
type Alerts struct {
	Channels  []Channel  `json:"channels,omitempty"`
	Routes    []Route    `json:"routes,omitempty"`
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
}

// Heartbeat is an outside address that hears from the server every so often.
type Heartbeat struct {
	URL   string        `json:"url"`
	Every time.Duration `json:"every"`
}

// Channel is one way to reach somebody.
type Channel struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`
	Settings map[string]string `json:"settings"`
	Else     string            `json:"else,omitempty"` // the channel that is told where this one fails
	Place    problem.Place     `json:"place"`
}

// Route sends incidents that match When to channels; the first match wins.
type Route struct {
	Name   string        `json:"name,omitempty"`
	When   string        `json:"when,omitempty"` // CEL; empty matches everything
	To     []string      `json:"to"`
	Repeat time.Duration `json:"repeat,omitempty"`
	Place  problem.Place `json:"place"`
}

// Pipeline is a folder of tasks with one schedule.
type Pipeline struct {
	Name     string        `json:"name"`
	About    string        `json:"about,omitempty"` // what it is for
	Owner    string        `json:"owner,omitempty"`
	Runbook  string        `json:"runbook,omitempty"` // what to do when it breaks
	Schedule Schedule      `json:"schedule"`
	Missed   Missed        `json:"missed"`
	Overlap  Overlap       `json:"overlap"`
	Deadline time.Duration `json:"deadline,omitempty"` // after due; 0 is none
	Limit    int           `json:"limit,omitempty"`    // attempts of all its runs at once; 0: any number
	Params   []Param       `json:"params,omitempty"`
	Tasks    []Task        `json:"tasks"`
	Place    problem.Place `json:"place"`
}

// Pipeline finds a pipeline by its name.
func (p *Project) Pipeline(name string) (*Pipeline, bool) {
	for i := range p.Pipelines {
		if p.Pipelines[i].Name == name {
			return &p.Pipelines[i], true
		}
	}
	return nil, false
}

// PipelineNames lists the pipelines.
func (p *Project) PipelineNames() []string {
	out := make([]string, 0, len(p.Pipelines))
	for _, pl := range p.Pipelines {
		out = append(out, pl.Name)
	}
	return out
}

// TaskNames lists the tasks of a pipeline.
func (p *Pipeline) TaskNames() []string {
	out := make([]string, 0, len(p.Tasks))
	for _, t := range p.Tasks {
		out = append(out, t.Name)
	}
	return out
}

// Written lists the tables that the project writes, views left out where kept is asked for:
// a view keeps no rows of its own.
func (p *Project) Written(kept bool) []string {
	var out []string
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			for _, w := range t.Writes {
				if !kept || w.Mode != ModeView {
					out = append(out, w.Table.String())
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Task returns the task of that name.
func (p *Pipeline) Task(name string) (*Task, bool) {
	for i := range p.Tasks {
		if p.Tasks[i].Name == name {
			return &p.Tasks[i], true
		}
	}
	return nil, false
}

// Schedule says when a pipeline is due. The zero value is `manual`.
type Schedule struct {
	Cron     string         `json:"cron,omitempty"`
	Every    time.Duration  `json:"every,omitempty"`
	Timezone string         `json:"timezone"`           // IANA name, never empty in a checked project
	Window   WindowUnit     `json:"window,omitempty"`   // empty: from the previous due time
	Shift    int            `json:"shift,omitempty"`    // whole units
	Start    time.Time      `json:"start,omitzero"`     // bounds the schedule
	End      time.Time      `json:"end,omitzero"`       // no slot is due after it
	Calendar string         `json:"calendar,omitempty"` // of business days; empty: every day is one
	Rule     calendar.Rule  `json:"rule,omitempty"`     // for due times on days off
	Days     *calendar.Days `json:"-"`                  // of Calendar, to compute with
	Spread   time.Duration  `json:"spread,omitempty"`   // bound of how long after due runs start; shorter than from one due time to the next
	Place    problem.Place  `json:"place,omitzero"`
}

// Scheduled reports whether the pipeline becomes due by itself.
func (s Schedule) Scheduled() bool { return s.Cron != "" || s.Every > 0 }

// WindowUnit aligns windows to local calendar units.
type WindowUnit string

// The units.
const (
	UnitHour  WindowUnit = "hour"
	UnitDay   WindowUnit = "day"
	UnitWeek  WindowUnit = "week"
	UnitMonth WindowUnit = "month"
)

// MissedPolicy says what becomes of slots that could not start when due.
type MissedPolicy string

// The policies.
const (
	MissedAll    MissedPolicy = "all"
	MissedLatest MissedPolicy = "latest"
	MissedMerge  MissedPolicy = "merge"
	MissedNone   MissedPolicy = "none"
)

// Missed is a policy with how far it looks back.
type Missed struct {
	Policy   MissedPolicy  `json:"policy"`
	LookBack time.Duration `json:"look_back"`
}

// Overlap says what happens when a run is due while another one of the pipeline goes on.
type Overlap string

// The policies.
const (
	OverlapQueue    Overlap = "queue"
	OverlapQueueAll Overlap = "queue_all" // the same
	OverlapSkip     Overlap = "skip"
	OverlapCancel   Overlap = "cancel"
	OverlapAllow    Overlap = "allow"
)

// Param is a declared parameter. Its default's JSON type is its type.
type Param struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"` // string, integer, number, boolean
	Default json.RawMessage `json:"default,omitempty"`
	Place   problem.Place   `json:"place,omitzero"`
}

// FeatureSet says which features are joined to which labels.
type FeatureSet struct {
	Name     string        `json:"name"`
	Params   []Param       `json:"params,omitempty"`
	Spine    string        `json:"spine"` // a SELECT
	Key      []string      `json:"key"`
	At       string        `json:"at"` // the spine's column: the instant asked about
	Label    *Label        `json:"label,omitempty"`
	Features []Feature     `json:"features"`
	Reads    []Table       `json:"reads,omitempty"` // of spine and label, found by parsing
	Place    problem.Place `json:"place"`
}

// Label is what a model learns to predict.
type Label struct {
	SQL     string `json:"sql"`
	Column  string `json:"column"`
	KnownAt string `json:"known_at"`
}

// Feature takes columns of a feature table, or an expression over the spine.
type Feature struct {
	Table   Table                      `json:"table,omitzero"`
	On      []string                   `json:"on,omitempty"`
	Take    []string                   `json:"take,omitempty"`
	TTL     time.Duration              `json:"ttl,omitempty"`
	Default map[string]json.RawMessage `json:"default,omitempty"`
	Expr    string                     `json:"expr,omitempty"`
	As      string                     `json:"as,omitempty"`
	Place   problem.Place              `json:"place,omitzero"`
}
