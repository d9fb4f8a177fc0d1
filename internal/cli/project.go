package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/output"
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
		return nil, fault.New(fault.Invalid, "the project cannot be read; see: tidemill check")
	}
	return &r.Project, nil
}

func (s *session) pipeline(name string) (*project.Pipeline, error) {
	p, err := s.project()
	if err != nil {
		return nil, err
	}
	var known []string
	for i := range p.Pipelines {
		if p.Pipelines[i].Name == name {
			return &p.Pipelines[i], nil
		}
		known = append(known, p.Pipelines[i].Name)
	}
	hint := ""
	if near := problem.Nearest(name, known); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return nil, fault.New(fault.NotFound, "the project has no pipeline %q%s", name, hint)
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
		if _, err := io.WriteString(s.Out, problem.Render(list, r.Files, s.Terminal)); err != nil {
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
	What string `arg:"" help:"A run, a pipeline, or PIPELINE/TASK."`
}

// Run shows a run, a pipeline or a task.
func (c showCommand) Run(s *session) error {
	if name, task, ok := strings.Cut(c.What, "/"); ok {
		return s.showTask(name, task)
	}
	if p, err := s.project(); err == nil {
		for i := range p.Pipelines {
			if p.Pipelines[i].Name == c.What {
				return s.showPipeline(&p.Pipelines[i])
			}
		}
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	r, err := client.Run(s.ctx, c.What)
	if err != nil {
		return err
	}
	if s.output == "table" {
		s.say("run %s of %s, %s, window %s, %s, by %s", r.ID, r.Pipeline, r.Kind, r.Window, r.State, r.By)
	}
	return s.give(taskTable(r))
}

// showTask prints every setting of a task with its origin.
func (s *session) showTask(pipeline, name string) error {
	pl, err := s.pipeline(pipeline)
	if err != nil {
		return err
	}
	t, ok := pl.Task(name)
	if !ok {
		return fault.New(fault.NotFound, "pipeline %s has no task %q", pipeline, name)
	}
	out := output.Table{Columns: []string{"setting", "value", "from"}, Values: t}
	b, err := json.Marshal(t)
	if err != nil {
		return fault.New(fault.Internal, "task %s: %w", name, err)
	}
	var settings map[string]any
	if err := json.Unmarshal(b, &settings); err != nil {
		return fault.New(fault.Internal, "task %s: %w", name, err)
	}
	for _, key := range sortedKeys(settings) {
		if key == "origins" || key == "place" {
			continue
		}
		from := t.Place.String()
		if o, ok := t.Origins[key]; ok {
			from = o.Level
			if at := o.Place.String(); at != "" {
				from += " " + at
			}
		}
		out.Rows = append(out.Rows, []string{key, settingText(key, settings[key]), from})
	}
	return s.give(out)
}

// settingText writes a value on one line; durations as people write them.
func settingText(key string, v any) string {
	if n, ok := v.(float64); ok && (key == "timeout" || key == "backoff") {
		return time.Duration(n).String()
	}
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (s *session) showPipeline(pl *project.Pipeline) error {
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
	t := output.Table{Columns: []string{"due", "window", "state", "reason", "run"}, Values: map[string]any{"pipeline": pl, "slots": slots, "published": covered}}
	for _, one := range slots {
		t.Rows = append(t.Rows, []string{local(one.Due), one.Window.Text(s.zone), one.State, one.Reason, one.Run})
	}
	if s.output == "table" {
		for _, task := range pl.Tasks {
			s.say("%s/%s (%s) after %s", pl.Name, task.Name, task.Kind, strings.Join(task.Upstream, ", "))
		}
		for _, name := range sortedKeys(covered) {
			for _, w := range covered[name] {
				s.say("%s covers %s", name, w.Window)
			}
		}
	}
	return s.give(t)
}

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
		return fault.New(fault.NotFound, "no contract binds %s", t)
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
