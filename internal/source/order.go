package source

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/core/graph"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/condition"
)

// order draws the arrows between tasks and refuses cycles.
func (v *version) order() {
	g := &graph.Graph{}
	why := map[[2]string]problem.Place{} // arrow → where it was drawn
	arrow := func(from, to string, at problem.Place) {
		if from == to {
			return
		}
		g.Arrow(from, to)
		if _, ok := why[[2]string{from, to}]; !ok {
			why[[2]string{from, to}] = at
		}
	}
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			g.Node(t.id)
			v.arrowsOf(t, arrow)
		}
	}
	for _, p := range v.pipelines {
		v.holdBack(p, g, arrow)
	}
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			for _, before := range g.Before(t.id) {
				if pipeline, name, _ := strings.Cut(before, "/"); pipeline == p.name {
					t.out.Upstream = append(t.out.Upstream, name)
				}
			}
		}
	}
	for _, cycle := range g.Cycles() {
		v.cycle(cycle, why)
	}
}

// arrowsOf draws the arrows that lead to a task.
func (v *version) arrowsOf(t *task, arrow func(from, to string, at problem.Place)) {
	for _, r := range t.reads {
		pipeline, _, _ := strings.Cut(r.Producer, "/")
		if r.Producer != "" && (r.Wait || pipeline == t.pipeline.name && !r.loose) {
			arrow(r.Producer, t.id, r.Place)
		}
	}
	if t.unread {
		return
	}
	common := &t.parsed.Task.Common
	if len(common.After) == 0 && !common.When.Given {
		return
	}
	names := map[string]bool{}
	for _, other := range t.pipeline.tasks {
		names[other.out.Name] = true
	}
	known := slices.Sorted(maps.Keys(names))
	for _, a := range common.After {
		switch {
		case !a.Given:
		case !names[a.V]:
			t.fail(v, problem.UnknownTask, a.Place, suggest(a.V, known, "after: names tasks of the same pipeline"), "the pipeline %s has no task %q", t.pipeline.name, a.V)
		case a.V == t.out.Name:
			t.fail(v, problem.Cycle, a.Place, "remove it", "the task waits for itself")
		default:
			arrow(t.pipeline.name+"/"+a.V, t.id, a.Place)
		}
	}
	if !common.When.Given {
		return
	}
	for _, m := range condition.TaskNames(common.When.V) {
		at := common.When.Node.At(m.Offset)
		switch {
		case !names[m.Name]:
			t.fail(v, problem.UnknownTask, at, suggest(m.Name, known, "when: sees tasks of the same pipeline"), "the pipeline %s has no task %q", t.pipeline.name, m.Name)
		case m.Name == t.out.Name:
			t.fail(v, problem.Cycle, at, "remove it", "the task waits for itself")
		default:
			arrow(t.pipeline.name+"/"+m.Name, t.id, at)
		}
	}
}

// holdBack lets a check run before the other readers of its table: a failing one
// holds them back. What the check itself waits for cannot wait for it.
func (v *version) holdBack(p *pipeline, g *graph.Graph, arrow func(from, to string, at problem.Place)) {
	for _, c := range p.tasks {
		if c.out.Check == nil || c.out.Check.Table.IsZero() {
			continue
		}
		key := tableKey(c.out.Check.Table)
		writer, _ := v.producer(c.out.Check.Table)
		for _, t := range p.tasks {
			if t == c || t == writer || t.out.Check != nil && tableKey(t.out.Check.Table) == key {
				continue
			}
			for _, r := range t.reads {
				if !r.loose && tableKey(r.Table) == key && !g.Reaches(t.id, c.id) {
					arrow(c.id, t.id, r.Place)
					break
				}
			}
		}
	}
}

func (v *version) cycle(cycle []string, why map[[2]string]problem.Place) {
	var owners []string
	for _, id := range cycle {
		pipeline, _, _ := strings.Cut(id, "/")
		if !slices.Contains(owners, pipeline) {
			owners = append(owners, pipeline)
		}
	}
	at := why[[2]string{cycle[len(cycle)-2], cycle[len(cycle)-1]}]
	p := problem.New(problem.Cycle, at, "take one of the arrows out, for example with wait: none", "tasks wait for each other: %s", strings.Join(cycle, " → "))
	for i := range len(cycle) - 1 {
		p.Related = append(p.Related, problem.Note{
			Place: why[[2]string{cycle[i], cycle[i+1]}], Message: cycle[i+1] + " waits for " + cycle[i] + " here",
		})
	}
	v.fail(owners, p)
}

// warnings says what is allowed and yet likely wrong.
func (v *version) warnings() {
	v.unbound()
	warned := map[string]bool{}
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			for _, r := range t.reads {
				v.noContract(t, r, warned)
			}
			for _, w := range t.out.Writes {
				v.tooEarly(t, w)
			}
			v.skewed(t)
		}
	}
}

// unbound warns of a contract that judges nothing.
func (v *version) unbound() {
	var written []string
	for _, p := range v.pipelines {
		for _, t := range p.tasks {
			for _, w := range t.out.Writes {
				written = append(written, w.Table.String())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.contracts)) {
		b := v.contracts[name]
		if b.table == nil {
			continue
		}
		t, err := project.ParseTable(b.table.Name)
		if err != nil || v.external(t) {
			continue
		}
		if writer, known := v.producer(t); writer == nil && !known {
			v.fail(nil, problem.New(problem.Unbound, b.place, suggest(b.table.Name, written, "write the table's name as physicalName, or name it under external: of its store"),
				"the contract is for %s, which no task writes", b.table.Name))
		}
	}
}

// noContract warns of a table that another pipeline reads and no contract describes.
func (v *version) noContract(t *task, r read, warned map[string]bool) {
	pipeline, _, _ := strings.Cut(r.Producer, "/")
	if r.Table.IsZero() || r.Producer == "" || pipeline == t.pipeline.name || r.Feature || warned[tableKey(r.Table)] {
		return
	}
	writer, _ := v.producer(r.Table)
	written := slices.ContainsFunc(writer.out.Writes, func(w project.Write) bool {
		return tableKey(w.Table) == tableKey(r.Table) && w.Mode != project.ModeView
	})
	if _, ok := v.contract(r.Table); ok || !written {
		return
	}
	warned[tableKey(r.Table)] = true
	v.fail(nil, problem.New(problem.NoContract, r.Place, "write a contract for it", "%s is written by %s and has no contract", r.Table, r.Producer))
}
