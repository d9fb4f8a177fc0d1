// Package alert holds the commands about telling people: a test that is real, and
// a look at who would hear.
package alert

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
	"github.com/tidemill/tidemill/internal/notify"
)

// Session is what the commands need of the one that they run in.
type Session interface {
	Context() context.Context
	Project() (*project.Project, error)
	// Judge writes data, and ends with the kind's exit code where they are bad.
	Judge(data output.Table, bad bool, kind fault.Kind) error
}

// Command is tidemill alert.
type Command struct {
	Test testCommand `cmd:"" help:"Send a real trigger and a real resolve, and show both answers."`
	Who  whoCommand  `cmd:"" help:"Say who would hear of which incidents of a pipeline or task."`
}

type testCommand struct {
	Route string `arg:"" optional:"" help:"The route, by its name or number, or a channel; without it every channel."`
}

// Run tests channels.
func (c testCommand) Run(s Session, client *api.Client) error {
	list, err := client.AlertTest(s.Context(), c.Route)
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"channel", "action", "answer", "error"}, Values: list}
	failed := false
	for _, a := range list {
		t.Rows = append(t.Rows, []string{a.Channel, a.Action, a.Answer, a.Error})
		failed = failed || a.Error != ""
	}
	return s.Judge(t, failed, fault.Unavailable)
}

type whoCommand struct {
	What string `arg:"" help:"PIPELINE or PIPELINE/TASK."`
}

// heard says who would hear of a kind of incident.
type heard struct {
	Kind     string            `json:"kind"`
	Severity string            `json:"severity"`
	Where    string            `json:"where"`
	Route    string            `json:"route,omitempty"` // its name, or its number from 1; empty: no route takes it
	When     string            `json:"when,omitempty"`
	To       []string          `json:"to"`
	Else     map[string]string `json:"else,omitempty"` // channel → the one that is told where it fails
	Repeat   string            `json:"repeat,omitempty"`
}

// Run lists the kinds with their channels.
func (c whoCommand) Run(s Session) error {
	p, err := s.Project()
	if err != nil {
		return err
	}
	name, task, one := strings.Cut(c.What, "/")
	pl, ok := p.Pipeline(name)
	if !ok {
		return fault.New(fault.NotFound, "the project has no pipeline %q%s", name, problem.Suggest(name, p.PipelineNames()))
	}
	var tasks []string
	for _, t := range pl.Tasks {
		tasks = append(tasks, t.Name)
	}
	if one {
		if !slices.Contains(tasks, task) {
			return fault.New(fault.NotFound, "the pipeline %s has no task %q%s", name, task, problem.Suggest(task, tasks))
		}
		tasks = []string{task}
	}
	var list []heard
	for _, k := range notify.Kinds {
		switch {
		case k.Task:
			list = append(list, together(p, pl, k, tasks, one)...)
		case !one:
			list = append(list, hear(p, pl, k, ""))
		}
	}
	t := output.Table{Columns: []string{"kind", "severity", "where", "route", "told", "again"}, Values: list}
	for _, h := range list {
		t.Rows = append(t.Rows, []string{h.Kind, h.Severity, h.Where, h.route(), h.told(), h.Repeat})
	}
	return s.Judge(t, false, fault.Internal)
}

// together says once what holds for all tasks of a pipeline.
func together(p *project.Project, pl *project.Pipeline, k notify.Kind, tasks []string, one bool) []heard {
	var out []heard
	same := true
	for _, t := range tasks {
		out = append(out, hear(p, pl, k, t))
		same = same && out[len(out)-1].Route == out[0].Route
	}
	if same && !one && len(out) > 1 {
		out[0].Where = pl.Name + "/*"
		return out[:1]
	}
	return out
}

// hear asks the routes as the server does.
func hear(p *project.Project, pl *project.Pipeline, k notify.Kind, task string) heard {
	i := ledger.Incident{Kind: k.Name, Severity: k.Severity, Pipeline: pl.Name, Task: task}
	if k.Owner {
		i.Owner = pl.Owner
	}
	h := heard{Kind: k.Name, Severity: k.Severity, Where: pl.Name, To: []string{}}
	if task != "" {
		h.Where += "/" + task
	}
	n := notify.RouteOf(p.Alerts.Routes, i)
	if n < 0 {
		return h
	}
	r := p.Alerts.Routes[n]
	h.Route, h.When, h.To = r.Name, r.When, r.To
	if h.Route == "" {
		h.Route = strconv.Itoa(n + 1)
	}
	if r.Repeat > 0 && len(r.To) > 0 {
		h.Repeat = calendar.FormatDuration(r.Repeat)
	}
	for _, c := range p.Alerts.Channels {
		if c.Else != "" {
			if h.Else == nil {
				h.Else = map[string]string{}
			}
			h.Else[c.Name] = c.Else
		}
	}
	return h
}

func (h heard) route() string {
	switch {
	case h.Route == "":
		return "none"
	case h.When == "":
		return h.Route
	}
	return h.Route + ": " + h.When
}

func (h heard) told() string {
	if len(h.To) == 0 {
		return "nobody"
	}
	var out []string
	for _, name := range h.To {
		chain := []string{name}
		for next := h.Else[name]; next != ""; next = h.Else[next] {
			chain = append(chain, next)
		}
		out = append(out, strings.Join(chain, ", else "))
	}
	return strings.Join(out, "; ")
}
