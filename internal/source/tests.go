package source

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/dates"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
	"github.com/tidemill/tidemill/internal/source/tree"
)

// Test is a file of tests/: given these rows, a task is expected to write those.
type Test struct {
	File     string
	Pipeline string
	Task     string
	About    string
	Window   calendar.Window // zero: none
	Params   map[string]json.RawMessage
	Given    []Rows
	Expect   []json.RawMessage // each an object
	Place    problem.Place
}

// Rows are rows of one table, each an object.
type Rows struct {
	Table project.Table
	Rows  []json.RawMessage
}

// tests reads the tests. Their problems disable no pipeline.
func (v *version) tests() []Test {
	var out []Test
	for _, name := range v.names {
		p := v.files[name].parsed
		if p == nil || p.Role != file.RoleTest || p.Unread {
			continue
		}
		if t, ok := v.test(name, p); ok {
			out = append(out, t)
		}
	}
	return out
}

func (v *version) test(name string, p *file.Parsed) (Test, bool) {
	in := &p.Test
	out := Test{
		File: name, Pipeline: p.Pipeline, Task: p.Name, About: in.Description.V,
		Place: problem.Place{File: name, Line: 1, Column: 1},
	}
	sound := len(p.Problems.Errors()) == 0
	bad := func(code problem.Code, at problem.Place, remedy, format string, args ...any) {
		sound = false
		v.fail(nil, problem.New(code, at, remedy, format, args...))
	}
	t := v.find(p.Pipeline, p.Name)
	if t == nil {
		var known []string
		for _, one := range v.pipelines {
			for _, t := range one.tasks {
				known = append(known, t.id)
			}
		}
		id := p.Pipeline + "/" + p.Name
		bad(problem.UnknownTask, problem.Place{File: name}, suggest(id, known, "a test's path is tests/PIPELINE/TASK.yaml"), "there is no task %s", id)
		return out, false
	}
	v.testWindow(t, in, &out, bad)
	for _, one := range in.Params {
		if !slices.ContainsFunc(t.out.Params, func(p project.Param) bool { return p.Name == one.Key.V }) {
			var known []string
			for _, p := range t.out.Params {
				known = append(known, p.Name)
			}
			bad(problem.UnknownParam, one.Key.Place, suggest(one.Key.V, known, "declare it under params:"), "the task %s has no param %q", t.id, one.Key.V)
		}
		if out.Params == nil {
			out.Params = map[string]json.RawMessage{}
		}
		out.Params[one.Key.V] = one.Item.JSON()
	}
	for _, g := range in.Given {
		table, one := v.tableOf(g.Key.V, g.Key.Place)
		if one != nil {
			bad(one.Code, one.Place, one.Remedy, "%s", one.Message)
			continue
		}
		read := slices.ContainsFunc(t.reads, func(r read) bool { return tableKey(r.Table) == tableKey(table) })
		writes := slices.ContainsFunc(t.out.Writes, func(w project.Write) bool { return tableKey(w.Table) == tableKey(table) })
		if !read && !writes && !t.unread && !v.broken[t.pipeline.name] {
			var known []string
			for _, r := range t.reads {
				known = append(known, r.Table.String())
			}
			bad(problem.UnknownTable, g.Key.Place, suggest(g.Key.V, known, "remove it"), "the task %s does not read %s", t.id, table)
		}
		out.Given = append(out.Given, Rows{table, rows(g.Item, bad)})
	}
	if in.Expect != nil {
		out.Expect = rows(in.Expect, bad)
	}
	return out, sound
}

type adder func(code problem.Code, at problem.Place, remedy, format string, args ...any)

func (v *version) testWindow(t *task, in *file.Test, out *Test, bad adder) {
	if !in.Window.Given {
		return
	}
	table, err := t.pipeline.out.Schedule.Timetable()
	if err != nil {
		table = calendar.Timetable{Schedule: calendar.NewNone(time.UTC)}
	}
	window, err := table.NamedWindow(in.Window.V)
	if err != nil {
		p := dates.Blame(err, problem.BadTime, form.Text{Place: in.Window.Place, Node: in.Window.Node})
		bad(p.Code, p.Place, p.Remedy, "%s", p.Message)
		return
	}
	out.Window = window
}

// rows reads a list of mappings.
func rows(n *tree.Node, bad adder) []json.RawMessage {
	if !n.Is(tree.List) {
		bad(problem.WrongType, n.Place, "write a list of rows: - {column: value}", "rows are a list, not a %s", n.Kind)
		return nil
	}
	out := []json.RawMessage{}
	for _, item := range n.Items {
		if !item.Is(tree.Map) {
			bad(problem.WrongType, item.Place, "write {column: value}", "a row is a mapping, not a %s", item.Kind)
			continue
		}
		out = append(out, item.JSON())
	}
	return out
}

func (v *version) find(pipeline, name string) *task {
	for _, p := range v.pipelines {
		if p.name != pipeline {
			continue
		}
		for _, t := range p.tasks {
			if strings.EqualFold(t.parsed.Name, name) {
				return t
			}
		}
	}
	return nil
}
