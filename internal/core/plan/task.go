package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/graph"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Task is one whose next run does something else than its last.
type Task struct {
	Name   string   `json:"task"` // pipeline/task
	Change Change   `json:"change"`
	Keys   []string `json:"keys,omitempty"` // what changed
	From   []string `json:"from,omitempty"` // of one that is fed: the changed tasks before it
	Writes []string `json:"writes,omitempty"`
	// Covered is what the tables cover by the code before. Nothing makes it anew by itself.
	Covered calendar.Window `json:"covered,omitzero"`
	Zone    *time.Location  `json:"-"` // of its pipeline's schedule
}

// otherRows reports whether what changed may make other rows: how often a task is
// tried again, say, does not.
func (t Task) otherRows() bool {
	makes := []string{"kind", "reads", "writes", "models", "params", "digest", "move", "sql", "python", "command"}
	return t.Change != Changed || slices.ContainsFunc(t.Keys, func(k string) bool { return slices.Contains(makes, k) })
}

// tasks compares the tasks of two versions. One that merely moved within its file,
// or whose neighbours changed, is not changed.
func tasks(old, next *project.Project) (out []Task) {
	before, after := byName(old), byName(next)
	changed := map[string]Task{}
	for name, t := range after {
		was, there := before[name]
		if !there {
			changed[name] = Task{Name: name, Change: Added, Writes: writes(t)}
		} else if differ := keys(content(was), content(t)); len(differ) > 0 {
			changed[name] = Task{Name: name, Change: Changed, Keys: differ, Writes: writes(t)}
		}
	}
	arrows := graph.Of(next)
	fed := map[string]Task{}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if !changed[name].otherRows() {
			continue
		}
		for _, reached := range arrows.Descendants(name) {
			if _, own := changed[reached]; !own {
				fed[reached] = Task{Name: reached, Change: Fed, From: append(fed[reached].From, name), Writes: writes(after[reached])}
			}
		}
	}
	for name, t := range before {
		if _, there := after[name]; !there {
			changed[name] = Task{Name: name, Change: Removed, Writes: writes(t)}
		}
	}
	maps.Copy(changed, fed)
	for name, t := range changed {
		pipeline, _, _ := strings.Cut(name, "/")
		if pl, there := next.Pipeline(pipeline); there {
			t.Zone = zone(pl)
			changed[name] = t
		}
	}
	return slices.SortedFunc(maps.Values(changed), func(a, b Task) int { return strings.Compare(a.Name, b.Name) })
}

func byName(p *project.Project) map[string]project.Task {
	out := map[string]project.Task{}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			out[pl.Name+"/"+t.Name] = t
		}
	}
	return out
}

func writes(t project.Task) (out []string) {
	for _, w := range t.Writes {
		out = append(out, w.Table.String())
	}
	return out
}

// content is a task without the places where it was written.
func content(t project.Task) project.Task {
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
	return t
}

// Cover notes what the tables of changed and fed tasks hold already.
func (p Plan) Cover(covered map[string]calendar.Window) {
	for i := range p.Tasks {
		t := &p.Tasks[i]
		for _, w := range t.Writes {
			if c, ok := covered[w]; ok && t.Change != Removed && t.otherRows() {
				t.Covered = c
			}
		}
	}
}
