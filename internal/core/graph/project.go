package graph

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Of returns the arrows of a project. Nodes are pipeline/task; an arrow between
// pipelines is there where a task waits for the other pipeline's table.
func Of(p *project.Project) *Graph {
	g := &Graph{}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			name := pl.Name + "/" + t.Name
			g.Node(name)
			for _, up := range t.Upstream {
				g.Arrow(pl.Name+"/"+up, name)
			}
			for _, r := range t.Reads {
				if r.Wait && r.Producer != "" && r.Producer != name {
					g.Arrow(r.Producer, name)
				}
			}
		}
	}
	return g
}

// Changes is what differs between two versions of a project, as pipeline/task names, sorted.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
}

// Empty reports whether nothing changed.
func (c Changes) Empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// Diff compares the tasks of two versions. A task that merely moved within its
// file, or whose neighbours changed, is not changed.
func Diff(old, next *project.Project) Changes {
	before, after := tasks(old), tasks(next)
	var c Changes
	for _, name := range slices.Sorted(maps.Keys(after)) {
		was, ok := before[name]
		switch {
		case !ok:
			c.Added = append(c.Added, name)
		case !bytes.Equal(was, after[name]):
			c.Changed = append(c.Changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			c.Removed = append(c.Removed, name)
		}
	}
	return c
}

func tasks(p *project.Project) map[string][]byte {
	out := map[string][]byte{}
	if p == nil {
		return out
	}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			out[pl.Name+"/"+t.Name] = content(t)
		}
	}
	return out
}

// content is a task without the places where it was written.
func content(t project.Task) []byte {
	t.Place, t.Origins = problem.Place{}, nil
	t.Reads, t.Writes, t.Params = slices.Clone(t.Reads), slices.Clone(t.Writes), slices.Clone(t.Params)
	for i := range t.Reads {
		t.Reads[i].Place = problem.Place{}
	}
	for i := range t.Writes {
		t.Writes[i].Place = problem.Place{}
	}
	for i := range t.Params {
		t.Params[i].Place = problem.Place{}
	}
	if t.Move != nil {
		m := *t.Move
		m.Place = problem.Place{}
		t.Move = &m
	}
	if t.Check != nil {
		c := *t.Check
		c.Rules = slices.Clone(c.Rules)
		for i := range c.Rules {
			c.Rules[i].Place = problem.Place{}
		}
		t.Check = &c
	}
	if t.Kind != project.KindPython {
		t.Digest = "" // the rest says all that the file means; comments do not
	}
	b, err := json.Marshal(t)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
