package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/answer"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/cli/story"
	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/door"
	"github.com/tidemill/tidemill/internal/training"
)

type featuresCommand struct {
	List    featuresListCommand    `cmd:"" default:"1" help:"List feature sets."`
	Leakage featuresLeakageCommand `cmd:"" help:"How many labels would have seen the future, and what the metric would have claimed."`
}

type featuresListCommand struct{}

// Run lists feature sets.
func (featuresListCommand) Run(s *session) error {
	p, err := s.project()
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"set", "key", "at", "label", "features"}, Values: p.Sets}
	for _, set := range p.Sets {
		c := feature.ColumnsOf(set, true)
		t.Rows = append(t.Rows, []string{set.Name, strings.Join(c.Key, ", "), c.At, c.Label, strings.Join(c.Features, ", ")})
	}
	return s.give(t)
}

type featuresLeakageCommand struct {
	Set     string `arg:"" help:"The feature set."`
	Task    string `help:"PIPELINE/TASK that trains on it, to compare metrics; found by itself where there is one."`
	Window  string `help:"The window to train for; the newest training run's without it."`
	KnownAt string `help:"Also: what loading at once would be worth, by this column of the feature tables."`
	Metrics bool   `default:"true" negatable:"" help:"Train under each knowledge and compare metrics."`
}

// leakage is what the command answers.
type leakage struct {
	training.Leakage
	Metrics []knowledge `json:"metrics,omitempty"`
}

// knowledge is a join with the metrics that a model trained on it claims.
type knowledge struct {
	Join    string             `json:"join"`
	Metrics map[string]float64 `json:"metrics"`
}

// Run counts what leaks, and trains under each knowledge.
func (c featuresLeakageCommand) Run(s *session) error {
	p, err := s.project()
	if err != nil {
		return err
	}
	var sets []string
	for _, set := range p.Sets {
		sets = append(sets, set.Name)
	}
	if !slices.Contains(sets, c.Set) {
		return fault.New(fault.NotFound, "the project has no feature set %q%s", c.Set, problem.Suggest(c.Set, sets))
	}
	if _, err := s.connect(needs{worker: true}); err != nil {
		return err
	}
	found, err := answer.Through[training.Leakage](s.ctx, s.client, "/v1/leakage", door.Set{Bundle: s.status.Bundle, Set: c.Set})
	if err != nil {
		return err
	}
	out := leakage{Leakage: found}
	if c.Metrics {
		if out.Metrics, err = c.train(s); err != nil {
			return err
		}
	}
	if s.output == "json" {
		return s.give(output.Table{Values: out})
	}
	return c.print(s, out)
}

// train runs the training script once per knowledge; nothing of it is kept.
func (c featuresLeakageCommand) train(s *session) ([]knowledge, error) {
	pipeline, task, err := c.trainer(s)
	if err != nil {
		return nil, err
	}
	grant := run.Grant{Ref: run.Ref{Environment: s.env, Run: "trial", Task: task}, Pipeline: pipeline, Bundle: s.status.Bundle, Attempt: 1}
	if grant.Window, err = c.window(s, pipeline); err != nil {
		return nil, err
	}
	joins := []struct {
		name string
		mode feature.Mode
	}{{"by event time (sees the future)", feature.Event}, {"by what was known (honest)", feature.Known}}
	if c.KnownAt != "" {
		joins = append(joins, struct {
			name string
			mode feature.Mode
		}{"as if known at " + c.KnownAt + " (honest, loaded at once)", feature.Column})
	}
	var out []knowledge
	bar := s.progress("training")
	defer bar.End()
	for i, j := range joins {
		bar.Show(i, len(joins), j.name)
		metrics, err := answer.Through[map[string]float64](s.ctx, s.client, "/v1/trial", door.Trial{Grant: grant, Mode: j.mode, KnownAt: c.KnownAt})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.name, err)
		}
		out = append(out, knowledge{j.name, metrics})
	}
	return out, nil
}

// trainer finds the task that trains on the set.
func (c featuresLeakageCommand) trainer(s *session) (pipeline, task string, err error) {
	if c.Task != "" {
		pipeline, task, ok := strings.Cut(c.Task, "/")
		if !ok {
			return "", "", fault.New(fault.Invalid, "task %q: write PIPELINE/TASK", c.Task)
		}
		return pipeline, task, nil
	}
	p, err := s.project()
	if err != nil {
		return "", "", err
	}
	for _, pl := range p.Pipelines {
		for _, t := range pl.Tasks {
			for _, r := range t.Reads {
				if r.Set == c.Set && len(t.Models) > 0 {
					return pl.Name, t.Name, nil
				}
			}
		}
	}
	return "", "", fault.New(fault.NotFound, "no task trains a model on the feature set %s; name one with --task, or leave metrics out with --no-metrics", c.Set)
}

func (c featuresLeakageCommand) window(s *session, pipeline string) (commit.Window, error) {
	if c.Window != "" {
		pl, err := s.pipeline(pipeline)
		if err != nil {
			return commit.Window{}, err
		}
		t, err := pl.Schedule.Timetable()
		if err != nil {
			return commit.Window{}, err
		}
		return t.NamedWindow(c.Window)
	}
	runs, err := s.client.Runs(s.ctx, pipeline, string(run.Succeeded), "", 1)
	if err != nil {
		return commit.Window{}, err
	}
	if len(runs) == 0 {
		return commit.Window{}, fault.New(fault.NotFound, "%s has not run yet; name a window with --window", pipeline)
	}
	return runs[0].Window, nil
}

func (c featuresLeakageCommand) print(s *session, out leakage) error {
	share := 0.0
	if out.Labels > 0 {
		share = 100 * float64(out.Leaked) / float64(out.Labels)
	}
	_, err := fmt.Fprintf(s.Out, "Joined by event time, %s of %s labels (%.1f %%) would have seen a value that nobody had yet.\n", output.Number(out.Leaked), output.Number(out.Labels), share)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range out.Tables {
		rows = append(rows, []string{t.Table.String(), s.number(t.Leaked), t.Median})
	}
	if err := output.Align(s.Out, []string{"feature table", "labels that would have seen the future", "median wait until it was known"}, rows); err != nil {
		return err
	}
	if len(out.Metrics) == 0 {
		return nil
	}
	rows = nil
	columns := []string{"join"}
	columns = append(columns, sortedKeys(out.Metrics[0].Metrics)...)
	for _, k := range out.Metrics {
		row := []string{k.Join}
		for _, name := range columns[1:] {
			row = append(row, fmt.Sprintf("%.3f", k.Metrics[name]))
		}
		rows = append(rows, row)
	}
	_, _ = fmt.Fprintln(s.Out)
	return output.Align(s.Out, columns, rows)
}

type reproduceCommand struct {
	Model string `arg:"" help:"MODEL:VERSION or MODEL@ALIAS."`
}

// Run rebuilds the training set of a model version and compares.
func (c reproduceCommand) Run(s *session, client warehouse) error {
	m, err := s.model(c.Model)
	if err != nil {
		return err
	}
	if m.Pin == "" {
		return fault.New(fault.Invalid, "%s:%d has no pin: its script asked for no training set", m.Name, m.Version)
	}
	pin, err := client.Pin(s.ctx, m.Pin)
	if err != nil {
		return err
	}
	var frozen feature.Pin
	if err := json.Unmarshal(pin.Body, &frozen); err != nil {
		return fault.New(fault.Internal, "pin %s: %w", m.Pin, err)
	}
	found, err := answer.Through[training.Comparison](s.ctx, s.client, "/v1/reproduce", door.Pinned{
		Bundle: s.status.Bundle, Pin: pin.Body, Ref: run.Ref{Environment: s.env, Run: frozen.Run, Task: frozen.Task}, Attempt: frozen.Attempt,
	})
	if err != nil {
		return err
	}
	out := story.Reproduction{Model: m.Name, Version: m.Version, Comparison: found}
	if s.output == "json" {
		err = s.give(output.Table{Values: out})
	} else {
		err = out.Print(s.Out)
	}
	if err == nil && !out.Equal {
		return silent{fault.Refused}
	}
	return err
}

// model finds MODEL:VERSION, MODEL@ALIAS or MODEL, the newest.
func (s *session) model(ref string) (api.Model, error) {
	name, which, aliased := strings.Cut(ref, "@")
	if !aliased {
		name, which, _ = strings.Cut(ref, ":")
	}
	list, err := s.client.Models(s.ctx, name)
	if err != nil {
		return api.Model{}, err
	}
	for _, m := range list {
		if which == "" || fmt.Sprint(m.Version) == which {
			return m, nil
		}
		if slices.Contains(m.Aliases, which) {
			return m, nil
		}
	}
	return api.Model{}, s.noModel(ref)
}

// noModel says that a reference is no model's, with the one that was probably meant.
func (s *session) noModel(ref string) error {
	all, err := s.client.Models(s.ctx, "")
	if err != nil {
		return err
	}
	var names []string
	for _, m := range all {
		names = append(names, fmt.Sprintf("%s:%d", m.Name, m.Version))
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return fault.New(fault.NotFound, "there is no model %s%s", ref, problem.Suggest(ref, names))
}

type explainCommand struct {
	What string `arg:"" help:"A code such as TM301, or prediction."`
	ID   string `arg:"" optional:"" help:"The id of the prediction."`
}

// Run explains a code or a prediction.
func (c explainCommand) Run(s *session) error {
	if c.What == "prediction" {
		if c.ID == "" {
			return fault.New(fault.Invalid, "explain which prediction? its id stands in the column prediction_id")
		}
		return explainPrediction(s, c.ID)
	}
	code := problem.Code(strings.ToUpper(c.What))
	if !code.Known() {
		var codes []string
		for _, known := range problem.Codes() {
			codes = append(codes, string(known))
		}
		return fault.New(fault.NotFound, "there is no code %s%s", c.What, problem.Suggest(strings.ToUpper(c.What), codes))
	}
	if s.output == "json" {
		return s.give(output.Table{Values: map[string]string{"code": string(code), "title": code.Title(), "detail": code.Detail()}})
	}
	_, err := fmt.Fprintf(s.Out, "%s: %s\n\n%s\n", code, code.Title(), code.Detail())
	return err
}

// explainPrediction tells a prediction's whole story.
func explainPrediction(s *session, id string) error {
	client, err := s.connect(needs{worker: true})
	if err != nil {
		return err
	}
	p, err := s.project()
	if err != nil {
		return err
	}
	told, err := story.Teller{Client: client, Bundle: s.status.Bundle, Project: p, Model: s.model}.Tell(s.ctx, id)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return s.give(output.Table{Values: told})
	}
	return told.Print(s.Out, s.zone)
}
