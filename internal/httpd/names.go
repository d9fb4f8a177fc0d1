package httpd

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
)

// noPipeline says that a name is no pipeline's, with the one that was probably meant.
func noPipeline(p *project.Project, name string) error {
	return fault.New(fault.NotFound, "there is no pipeline %q%s", name, problem.Suggest(name, p.PipelineNames()))
}

// broken returns the errors that disable a pipeline as its files lie there: its own,
// or those of the whole project.
func (s *Server) broken(name string) problem.List {
	all := s.Catalog.Problems()
	own := all.Of(name)
	if len(own) == 0 && slices.Contains(s.Catalog.Stale(), name) {
		return all.Of("")
	}
	return own
}

// pipeline refuses a name that is neither a pipeline's of the live project nor
// of one that the ledger remembers.
func (s *Server) pipeline(ctx context.Context, name string) error {
	p, _ := s.Catalog.Live()
	if p == nil {
		return errNoVersion
	}
	if _, ok := p.Pipeline(name); ok {
		return nil
	}
	known, err := s.Ledger.Pipelines(ctx, s.Environment)
	for _, k := range known {
		if k.Pipeline == name {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return noPipeline(p, name)
}

var errNoVersion = fault.New(fault.Invalid, "the project has no good version yet; see: tidemill check")

// run finds a run by its id, whose beginning or end is enough.
func (s *Server) run(ctx context.Context, id string) (ledger.RunInfo, error) {
	info, err := s.Ledger.Run(ctx, ledger.RunRef{Environment: s.Environment, Run: id})
	if !fault.Is(err, fault.NotFound) {
		return info, err
	}
	const recent = 200
	runs, e := s.Ledger.Runs(ctx, ledger.RunFilter{Environment: s.Environment, Most: recent})
	if e != nil {
		return info, e
	}
	var known []string
	for _, r := range runs {
		if r.Pipeline == id {
			return info, fault.New(fault.NotFound, "%s is a pipeline, and a run is asked for; its newest is %s", id, r.Run)
		}
		known = append(known, r.Run)
	}
	hint := "; see: tidemill runs"
	if near := problem.Nearest(id, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return info, fault.New(fault.NotFound, "there is no run %q%s", id, hint)
}

// hasTask refuses a name that is no task's of a run.
func hasTask(info ledger.RunInfo, name string) error {
	var names []string
	for _, t := range info.Tasks {
		if t.Name == name {
			return nil
		}
		names = append(names, t.Name)
	}
	return fault.New(fault.NotFound, "run %s has no task %q%s", info.Run, name, problem.Suggest(name, names))
}
