package cli

import (
	"time"

	"github.com/tidemill/tidemill/internal/app"
	"github.com/tidemill/tidemill/internal/cli/planned"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/plan"
)

type planCommand struct {
	Against string `placeholder:"DIR" help:"The project folder whose installation to compare with; this one's own without it."`
	Ledger  string `help:"Where its ledger lies, if not in its folder: postgres://…"`
	Count   int    `default:"10" help:"How many of the next due times to show where a schedule changed."`
}

// Run compares the project's files with what its installation works by.
func (c planCommand) Run(s *session) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	if bad := r.Problems.Errors(); len(bad) > 0 {
		return fault.New(fault.Invalid, "the project has %d errors, and what it means is not known; see: tidemill check", len(bad))
	}
	if c.Against == "" {
		c.Against = s.dir
	}
	layout, err := app.LayoutOf(c.Against)
	if err != nil {
		return err
	}
	live, err := app.LiveOf(s.ctx, layout, c.Ledger, s.env)
	if err != nil {
		return err
	}
	next := plan.Version{Project: &r.Project, Contracts: r.Contracts}
	out := planned.Document{Live: live.Bundle, Plan: plan.Compare(plan.Version{Project: &live.Plan.Project, Contracts: live.Plan.Contracts}, next, time.Now(), c.Count)}
	out.Cover(live.Covered)
	switch {
	case live.Bundle == "":
		s.say("no version was ever live in %s: all is new", layout.Project)
	case out.Empty():
		s.say("nothing would change: the live version says the same")
		if s.output == "table" {
			return nil
		}
	}
	return s.judge(planned.Table(out), out.Breaks(), fault.Refused)
}
