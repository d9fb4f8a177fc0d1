package source

import (
	"time"

	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/dates"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// defaultLookBack is how far missed: looks back where nothing is said.
const defaultLookBack = 7 * 24 * time.Hour

func (v *version) buildSchedule(p *pipeline) {
	s := p.settings.Schedule
	if over, ok := v.schedules[p.name]; ok {
		s = over
	}
	var found problem.List
	in := dates.Project{Timezone: v.zone, Zone: loadZone, Calendars: v.calendars, Spread: v.top.Defaults.Spread}
	p.out.Schedule, p.manual, found = in.Schedule(s)
	p.calendar = s.Calendar.Name.V
	v.fail([]string{p.name}, found...)
}

// buildPipeline settles a pipeline's own settings and its tasks.
func (v *version) buildPipeline(p *pipeline) {
	s, d := &p.settings, &v.top.Defaults
	p.out.Name, p.out.About = p.name, s.Description.V
	v.buildSchedule(p)
	p.out.Owner, p.out.Runbook = first(s.Owner, d.Owner).V, first(s.Runbook, d.Runbook).V
	p.out.Overlap = project.OverlapQueue
	if o := first(s.Overlap, d.Overlap); o.Given {
		p.out.Overlap = project.Overlap(o.V)
	}
	p.out.Deadline = first(s.Deadline, d.Deadline).V
	p.out.Missed = project.Missed{Policy: project.MissedAll, LookBack: defaultLookBack}
	if m := first(s.Missed.Policy, d.Missed.Policy); m.Given {
		p.out.Missed.Policy = project.MissedPolicy(m.V)
	}
	if l := first(s.Missed.LookBack, d.Missed.LookBack); l.Given {
		p.out.Missed.LookBack = l.V
	}
	if p.manual {
		for _, one := range []struct {
			name  string
			given bool
			at    problem.Place
		}{{"deadline", s.Deadline.Given, s.Deadline.Place}, {"missed", s.Missed.Given, s.Missed.Place}} {
			if one.given {
				v.fail([]string{p.name}, problem.New(problem.NoSchedule, one.at, "add a schedule:, or remove it", "%s has no meaning without a schedule", one.name))
			}
		}
		p.out.Deadline = 0
	}
	var found problem.List
	p.out.Limit, found = size(s.Limit, "limit")
	v.fail([]string{p.name}, found...)
	p.out.Params, found = file.Params(s.Params)
	v.fail([]string{p.name}, found...)
	for _, t := range p.tasks {
		v.buildTask(t)
	}
}

// first returns the first value that is given.
func first[T any](values ...form.Value[T]) form.Value[T] {
	for _, one := range values {
		if one.Given {
			return one
		}
	}
	return form.Value[T]{}
}
