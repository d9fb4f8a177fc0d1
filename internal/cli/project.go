package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/cli/settings"
	"github.com/tidemill/tidemill/internal/cli/table"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/lineage/duckparse"
	"github.com/tidemill/tidemill/internal/source"
)

// read reads the project folder, without a server.
func (s *session) read() (*source.Result, error) {
	layout, err := s.layout()
	if err != nil {
		return nil, err
	}
	executable, err := executable()
	if err != nil {
		return nil, err
	}
	readers, err := app.OpenReaders(layout, executable)
	if err != nil {
		return nil, err
	}
	defer func() { _ = readers.Close() }()
	return source.Read(s.ctx, layout.Project, readers.Options(s.env))
}

// project reads the project and refuses one that is refused as a whole.
func (s *session) project() (*project.Project, error) {
	r, err := s.read()
	if err != nil {
		return nil, err
	}
	if r.Refused {
		return nil, errRefused
	}
	return &r.Project, nil
}

var errRefused = fault.New(fault.Invalid, "the project cannot be read; see: tidemill check")

func (s *session) pipeline(name string) (*project.Pipeline, error) {
	r, err := s.read()
	if err != nil {
		return nil, err
	}
	p := &r.Project
	if pl, ok := p.Pipeline(name); ok {
		return pl, nil
	}
	if errors := r.Problems.Of(name); len(errors) > 0 {
		return nil, fault.New(fault.Invalid, "the pipeline %s is broken: %s; see: tidemill check", name, errors.Summary())
	}
	if r.Refused {
		return nil, errRefused
	}
	return nil, fault.New(fault.NotFound, "the project has no pipeline %q%s", name, problem.Suggest(name, p.PipelineNames()))
}

type checkCommand struct {
	Warnings bool `default:"true" negatable:"" help:"Show warnings too."`
}

// Run reads the project and writes every problem, all in one pass.
func (c checkCommand) Run(s *session) error {
	begun := time.Now()
	r, err := s.read()
	if err != nil {
		return err
	}
	layout, err := s.layout()
	if err != nil {
		return err
	}
	r.Problems = append(r.Problems, app.LeftBehind(s.ctx, layout, s.env, r)...)
	list := r.Problems
	list.Sort()
	if !c.Warnings {
		list = list.Errors()
	}
	bad := len(list.Errors())
	switch s.output {
	case "json":
		if list == nil {
			list = problem.List{}
		}
		if err := s.give(output.Table{Values: list}); err != nil {
			return err
		}
	case "csv":
		t := output.Table{Columns: []string{"file", "line", "column", "severity", "code", "message", "remedy"}}
		for _, p := range list {
			t.Rows = append(t.Rows, []string{p.File, fmt.Sprint(p.Line), fmt.Sprint(p.Column), string(p.Severity), string(p.Code), p.Message, p.Remedy})
		}
		if err := s.give(t); err != nil {
			return err
		}
	default:
		if _, err := io.WriteString(s.Out, problem.Render(list, r.Files, s.Colour)); err != nil {
			return err
		}
	}
	tasks := 0
	for _, pl := range r.Project.Pipelines {
		tasks += len(pl.Tasks)
	}
	s.say("%d pipelines, %d tasks, %d contracts, %d feature sets in %s: %d errors, %d warnings",
		len(r.Project.Pipelines), tasks, len(r.Contracts), len(r.Project.Sets), output.Duration(time.Since(begun)), bad, len(r.Problems)-len(r.Problems.Errors()))
	if bad > 0 {
		return silent{fault.Refused}
	}
	return nil
}

type schemaCommand struct {
	Markdown bool `help:"As a reference for people."`
}

// Run writes the schema of the project files.
func (c schemaCommand) Run(s *session) error {
	text := source.Schema()
	if c.Markdown {
		text = source.Reference()
	}
	_, err := s.Out.Write(text)
	return err
}

type showCommand struct {
	What string `arg:"" help:"A run, a backfill, a pipeline, or PIPELINE/TASK."`
}

// Run shows a run, a pipeline or a task.
func (c showCommand) Run(s *session) error {
	if name, task, ok := strings.Cut(c.What, "/"); ok {
		return s.showTask(name, task)
	}
	var pipelines []string
	read, err := s.read()
	if err == nil {
		pipelines = read.Project.PipelineNames()
		if pl, ok := read.Project.Pipeline(c.What); ok {
			return s.showPipeline(pl, nil)
		}
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	if read != nil {
		if errors, kept := s.broken(read, c.What); len(errors) > 0 {
			return s.showPipeline(kept, errors)
		}
	}
	r, err := client.Run(s.ctx, c.What)
	if fault.Is(err, fault.NotFound) {
		if b, e := client.Backfill(s.ctx, c.What); e == nil {
			return s.showBackfill(b)
		}
	}
	if near := problem.Nearest(c.What, pipelines); fault.Is(err, fault.NotFound) && near != "" {
		return fault.New(fault.NotFound, "there is no run and no pipeline %q; did you mean %q?", c.What, near)
	}
	if err != nil {
		return err
	}
	if s.output == "table" {
		s.say("run %s of %s, %s, window %s, %s, by %s", r.ID, r.Pipeline, r.Kind, r.Window.Text(s.zone), r.State, r.By)
	}
	return s.give(table.Tasks(r))
}

// showTask prints every setting of a task with its origin, and how a contract spells it.
func (s *session) showTask(pipeline, name string) error {
	pl, err := s.pipeline(pipeline)
	if err != nil {
		return err
	}
	t, ok := pl.Task(name)
	if !ok {
		return fault.New(fault.NotFound, "the pipeline %s has no task %q%s", pipeline, name, problem.Suggest(name, pl.TaskNames()))
	}
	list, err := settings.Of(t)
	if err != nil {
		return err
	}
	out := output.Table{Columns: []string{"setting", "value", "from", "in a contract"}, Values: t}
	for _, one := range list {
		out.Rows = append(out.Rows, []string{one.Name, one.Value, one.From, one.Contract})
	}
	return s.give(out)
}

// broken returns the errors that disable a pipeline as its files lie there, with
// its last good version; nil where there is none.
func (s *session) broken(r *source.Result, name string) (problem.List, *project.Pipeline) {
	errors := r.Problems.Of(name)
	kept, err := s.client.Pipeline(s.ctx, name)
	if err != nil {
		return errors, nil
	}
	if len(errors) == 0 && r.Refused {
		errors = r.Problems.Of("")
	}
	return errors, &kept
}

// showPipeline shows a pipeline, or the last good version of one that is broken.
func (s *session) showPipeline(pl *project.Pipeline, broken problem.List) error {
	shown := map[string]any{"pipeline": pl}
	if len(broken) > 0 {
		shown["problems"] = broken
		s.say("the pipeline is broken: %s; see: tidemill check", broken.Summary())
	}
	if pl == nil {
		s.say("it has no good version and cannot run")
		if s.output == "table" {
			return nil
		}
		return s.give(output.Table{Columns: slotColumns, Values: shown})
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	slots, err := client.Slots(s.ctx, pl.Name, 10)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	covered, err := client.Published(s.ctx, pl.Name)
	if err != nil {
		return err
	}
	shown["slots"], shown["published"] = slots, covered
	if len(broken) > 0 {
		s.say("the last good version runs on meanwhile:")
	}
	t := output.Table{Columns: slotColumns, Values: shown}
	for _, one := range slots {
		t.Rows = append(t.Rows, []string{s.local(one.Due), one.Window.Text(s.zone), one.State, one.Reason, one.Run})
	}
	if s.output == "table" {
		for _, task := range pl.Tasks {
			after := ""
			if len(task.Upstream) > 0 {
				after = " after " + strings.Join(task.Upstream, ", ")
			}
			s.say("%s/%s (%s)%s", pl.Name, task.Name, task.Kind, after)
		}
		for _, name := range sortedKeys(covered) {
			for _, w := range covered[name] {
				s.say("%s covers %s", name, w.Window.Text(s.zone))
			}
		}
	}
	return s.give(t)
}

var slotColumns = []string{"due", "window", "state", "reason", "run"}

type contractCommand struct {
	Check contractCheckCommand `cmd:"" help:"Hold a table as it lies there against its contract."`
}

type contractCheckCommand struct {
	Table string `arg:"" help:"The table."`
}

// Run judges the rows that are there by every check that can be said in SQL.
func (c contractCheckCommand) Run(s *session) error {
	t, err := project.ParseTable(c.Table)
	if err != nil {
		return err
	}
	r, err := s.read()
	if err != nil {
		return err
	}
	agreed, ok := contractOf(r.Contracts, t)
	if !ok {
		var names []string
		for _, one := range r.Contracts {
			names = append(names, one.Name)
		}
		return fault.New(fault.NotFound, "no contract binds %s%s", t, problem.Suggest(t.String(), names))
	}
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	return s.judgeTable(t, agreed)
}

func contractOf(list []contract.Table, t project.Table) (*contract.Table, bool) {
	for i := range list {
		if named, err := project.ParseTable(list[i].Name); err == nil && named == t {
			return &list[i], true
		}
	}
	return nil, false
}

type duckparseCommand struct{}

// Run serves the SQL parser to the process that started it.
func (duckparseCommand) Run(s *session) error { return duckparse.Serve(s.In, s.Out) }
