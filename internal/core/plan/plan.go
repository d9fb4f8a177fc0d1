// Package plan says what a changed project would move: schedules and what comes
// due, tasks and those that their rows reach, contracts and who reads the tables.
//
// It compares two versions as values, and knows nothing of what has run.
package plan

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Version is a project with its contracts.
type Version struct {
	Project   *project.Project
	Contracts []contract.Table
}

// Change says what becomes of a thing.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
	Fed     Change = "fed" // unchanged, but rows of a changed task reach it
)

// Plan is what differs between two versions. Everything is in the order of names.
type Plan struct {
	Pipelines []Pipeline `json:"pipelines,omitempty"`
	Tasks     []Task     `json:"tasks,omitempty"`
	Tables    []Table    `json:"tables,omitempty"`
}

// Empty reports whether nothing differs.
func (p Plan) Empty() bool { return len(p.Pipelines)+len(p.Tasks)+len(p.Tables) == 0 }

// Breaks reports whether a change of a contract breaks somebody who reads the table.
func (p Plan) Breaks() bool {
	return slices.ContainsFunc(p.Tables, func(t Table) bool {
		return len(t.Readers) > 0 && slices.ContainsFunc(t.Changes, func(c contract.Change) bool { return c.Impact.Consumers() })
	})
}

// Pipeline is one that came, went, or is due at other times.
type Pipeline struct {
	Name   string         `json:"pipeline"`
	Change Change         `json:"change"`
	Was    string         `json:"was,omitempty"` // schedule
	Is     string         `json:"is,omitempty"`
	Keys   []string       `json:"keys,omitempty"` // other settings that changed
	Due    []Due          `json:"due,omitempty"`  // the next of both schedules, where they differ
	Zone   *time.Location `json:"-"`              // of its schedule
}

// Due is a time at which a pipeline was or will be due.
type Due struct {
	At     time.Time       `json:"due"`
	Window calendar.Window `json:"window"`
	Change Change          `json:"change,omitempty"` // empty: before and after
}

// Table is one whose contract changed, came or went.
type Table struct {
	Name    string            `json:"table"`
	Change  Change            `json:"change"`
	Changes []contract.Change `json:"changes,omitempty"`
	Readers []string          `json:"readers,omitempty"` // tasks and feature sets of the next version
}

// Compare says what differs, and what comes due after now.
func Compare(old, next Version, now time.Time, count int) Plan {
	return Plan{pipelines(old.Project, next.Project, now, count), tasks(old.Project, next.Project), tables(old, next)}
}

func pipelines(old, next *project.Project, now time.Time, count int) (out []Pipeline) {
	for _, name := range names(old.PipelineNames(), next.PipelineNames()) {
		was, before := old.Pipeline(name)
		is, after := next.Pipeline(name)
		p := Pipeline{Name: name, Change: Changed, Was: written(was), Is: written(is)}
		switch {
		case !before:
			p.Change, p.Zone = Added, zone(is)
		case !after:
			p.Change, p.Zone = Removed, zone(was)
		default:
			p.Keys, p.Zone = keys(settings(*was), settings(*is)), zone(is)
			if p.Was == p.Is && len(p.Keys) == 0 {
				continue
			}
		}
		if p.Was != p.Is {
			p.Due = due(was, is, now, count)
		}
		out = append(out, p)
	}
	return out
}

func zone(p *project.Pipeline) *time.Location {
	table, err := p.Schedule.Timetable()
	if err != nil {
		return time.UTC
	}
	return table.Zone()
}

// written says a schedule in one line; nothing of a pipeline that is not there.
func written(p *project.Pipeline) string {
	if p == nil {
		return ""
	}
	table, err := p.Schedule.Timetable()
	if err != nil {
		return ""
	}
	return table.String()
}

// settings is a pipeline without its tasks, its schedule and its places.
func settings(p project.Pipeline) project.Pipeline {
	p.Name, p.Tasks, p.Place, p.Schedule = "", nil, problem.Place{}, project.Schedule{Spread: p.Schedule.Spread}
	p.Params = slices.Clone(p.Params)
	for i := range p.Params {
		p.Params[i].Place = problem.Place{}
	}
	return p
}

// due lists the next times of two schedules; one at which both are due for the same
// window is there once.
func due(was, is *project.Pipeline, now time.Time, count int) (out []Due) {
	next := func(p *project.Pipeline, change Change) (list []Due) {
		if p == nil {
			return nil
		}
		table, err := p.Schedule.Timetable()
		if err != nil {
			return nil
		}
		for o := range table.All(now) {
			if len(list) == count {
				break
			}
			list = append(list, Due{At: o.Due.UTC(), Window: o.Window, Change: change})
		}
		return list
	}
	before, after := next(was, Removed), next(is, Added)
	for _, d := range after {
		if i := slices.IndexFunc(before, func(b Due) bool { return b.At.Equal(d.At) && b.Window == d.Window }); i >= 0 {
			before[i].Change = ""
			continue
		}
		out = append(out, d)
	}
	out = append(out, before...)
	slices.SortStableFunc(out, func(a, b Due) int { return a.At.Compare(b.At) })
	return out
}

func tables(old, next Version) (out []Table) {
	index := func(v Version) map[string]contract.Table {
		m := map[string]contract.Table{}
		for _, c := range v.Contracts {
			m[c.Name] = c
		}
		return m
	}
	before, after := index(old), index(next)
	for _, name := range names(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after))) {
		was, had := before[name]
		is, has := after[name]
		t := Table{Name: name, Change: Changed}
		switch {
		case !had:
			t.Change = Added
		case !has:
			t.Change = Removed
		default:
			if t.Changes = contract.Diff(was, is); len(t.Changes) == 0 {
				continue
			}
		}
		t.Readers = readers(next.Project, name)
		out = append(out, t)
	}
	return out
}

// readers lists the tasks and feature sets that read a table.
func readers(p *project.Project, name string) (out []string) {
	table, err := project.ParseTable(name)
	if err != nil {
		return nil
	}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			if slices.ContainsFunc(t.Reads, func(r project.Read) bool { return r.Table == table }) {
				out = append(out, pl.Name+"/"+t.Name)
			}
		}
	}
	for _, s := range p.Sets {
		if slices.Contains(s.Reads, table) || slices.ContainsFunc(s.Features, func(f project.Feature) bool { return f.Table == table }) {
			out = append(out, "features:"+s.Name)
		}
	}
	return out
}

// names merges lists of names.
func names(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// keys lists the JSON members in which two values differ.
func keys(a, b any) (out []string) {
	members := func(v any) (m map[string]json.RawMessage) {
		if text, err := json.Marshal(v); err == nil {
			_ = json.Unmarshal(text, &m) // a struct is an object
		}
		return m
	}
	x, y := members(a), members(b)
	for _, k := range names(slices.Collect(maps.Keys(x)), slices.Collect(maps.Keys(y))) {
		if !bytes.Equal(x[k], y[k]) {
			out = append(out, k)
		}
	}
	return out
}
