package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type modelsCommand struct {
	List    modelsListCommand    `cmd:"" default:"withargs" help:"List model versions."`
	Show    modelsShowCommand    `cmd:"" help:"Show a model version: metrics, pin, and why it was or was not promoted."`
	Promote modelsPromoteCommand `cmd:"" help:"Move an alias to a version."`
}

type modelsListCommand struct {
	Model string `arg:"" optional:"" help:"Of this model alone."`
}

// Run lists model versions.
func (c modelsListCommand) Run(s *session, client *api.Client) error {
	list, err := client.Models(s.ctx, c.Model)
	if err != nil {
		return err
	}
	if len(list) == 0 && c.Model != "" {
		return s.noModel(c.Model)
	}
	t := output.Table{Columns: []string{"model", "version", "aliases", "not promoted to", "metrics", "pin", "run", "created"}, Values: list}
	for _, m := range list {
		var held []string
		for _, p := range m.Promotions {
			if !p.Promoted && !slices.Contains(m.Aliases, p.Alias) { // a person may have moved it since
				held = append(held, p.Alias)
			}
		}
		t.Rows = append(t.Rows, []string{m.Name, fmt.Sprint(m.Version), strings.Join(m.Aliases, ", "), strings.Join(held, ", "), metricsText(m), short(m.Pin), m.Run, s.local(m.Created)})
	}
	return s.give(t)
}

func metricsText(m api.Model) string {
	var list []string
	for _, name := range sortedKeys(m.Metrics) {
		list = append(list, fmt.Sprintf("%s=%.4g", name, m.Metrics[name]))
	}
	return strings.Join(list, " ")
}

type modelsShowCommand struct {
	Model string `arg:"" help:"MODEL:VERSION or MODEL@ALIAS; MODEL is its newest version."`
}

// Run shows a model version.
func (c modelsShowCommand) Run(s *session, _ *api.Client) error {
	m, err := s.model(c.Model)
	if err != nil {
		return err
	}
	t := output.Table{Columns: []string{"what", "value"}, Values: m}
	line := func(what, value string) {
		if value != "" {
			t.Rows = append(t.Rows, []string{what, value})
		}
	}
	line("model", fmt.Sprintf("%s:%d", m.Name, m.Version))
	line("aliases", strings.Join(m.Aliases, ", "))
	for _, p := range m.Promotions {
		line("when recorded", p.String())
	}
	line("metrics", metricsText(m))
	for _, name := range sortedKeys(m.Params) {
		line("param "+name, string(m.Params[name]))
	}
	line("features", strings.Join(m.Features, ", "))
	line("pin", m.Pin)
	line("made", fmt.Sprintf("%s by %s of run %s", s.local(m.Created), m.Task, m.Run))
	line("artifact", m.Artifact+" "+m.Digest)
	line("code", m.CodeDigest)
	line("environment", m.EnvDigest)
	return s.give(t)
}

type modelsPromoteCommand struct {
	Model string `arg:"" help:"MODEL:VERSION."`
	Alias string `arg:"" help:"The alias, such as champion."`
}

// Run moves an alias.
func (c modelsPromoteCommand) Run(s *session) error {
	name, text, ok := strings.Cut(c.Model, ":")
	var version int
	if _, err := fmt.Sscan(text, &version); !ok || err != nil {
		return fault.New(fault.Invalid, "%q is no MODEL:VERSION", c.Model)
	}
	client, err := s.connect(needs{})
	if err != nil {
		return err
	}
	if err := client.Promote(s.ctx, api.PromoteRequest{Model: name, Version: version, Alias: c.Alias, By: me()}); err != nil {
		return err
	}
	now, err := s.model(c.Model)
	if err != nil {
		return err
	}
	return s.done(now, "%s@%s is version %d now", name, c.Alias, version)
}
