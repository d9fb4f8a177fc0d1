package source

import (
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// defaultLookBack is how far missed: looks back where nothing is said.
const defaultLookBack = 7 * 24 * time.Hour

// manual is the schedule: of pipelines that only people and programs start.
const manual = "manual"

func (v *version) buildSchedule(p *pipeline) {
	s := p.settings.Schedule
	if over, ok := v.schedules[p.name]; ok {
		s = over
	}
	add := func(code problem.Code, at problem.Place, remedy, format string, args ...any) {
		v.fail([]string{p.name}, problem.New(code, at, remedy, format, args...))
	}
	out := project.Schedule{Timezone: v.zone, Place: s.Place}
	if s.Timezone.Given {
		out.Timezone = s.Timezone.V
	}
	zone, err := loadZone(out.Timezone)
	if err != nil {
		zone = time.UTC // reported where the zone was written
	}
	out.Start = momentOf(s.Start, zone, add)
	out.End = momentOf(s.End, zone, add)
	if !out.Start.IsZero() && !out.End.IsZero() && !out.End.After(out.Start) {
		add(problem.BadTime, s.End.Place, "", "the schedule ends before it starts")
		out.End = time.Time{}
	}
	switch {
	case s.Cron.Given && s.Every.Given:
		add(problem.BadValue, s.Every.Place, "keep one of them", "the schedule has both cron and every")
	case s.Cron.Given && s.Cron.V != manual:
		if _, err := calendar.ParseCron(s.Cron.V, zone); err != nil {
			blame(err, problem.BadCron, s.Cron, add)
		} else {
			out.Cron = s.Cron.V
		}
	case s.Every.Given:
		if _, err := calendar.NewEvery(s.Every.V, out.Start, zone); err != nil {
			blame(err, problem.BadDuration, form.Text{Place: s.Every.Place}, add)
		} else {
			out.Every = s.Every.V
		}
	}
	p.manual = !s.Cron.Given && !s.Every.Given || s.Cron.V == manual
	v.buildWindow(p, s.Window, &out, add)
	p.out.Schedule = out
}

type adder func(code problem.Code, at problem.Place, remedy, format string, args ...any)

// blame reports what the calendar could not read, at the character it names.
func blame(err error, code problem.Code, text form.Text, add adder) {
	at, remedy := text.Place, ""
	if p, ok := errors.AsType[*calendar.ParseError](err); ok {
		remedy = form.Clause(p.Remedy)
		if text.Node != nil {
			at = text.Node.At(p.Offset)
		}
		add(code, at, remedy, "%s %q: %s", p.Field, p.Text, p.Problem)
		return
	}
	add(code, at, remedy, "%s", err)
}

func momentOf(t form.Text, zone *time.Location, add adder) time.Time {
	if !t.Given {
		return time.Time{}
	}
	at, err := calendar.ParseMoment(t.V, zone)
	if err != nil {
		blame(err, problem.BadTime, t, add)
	}
	return at
}

func (v *version) buildWindow(p *pipeline, w file.Window, out *project.Schedule, add adder) {
	if !w.Given {
		return
	}
	if p.manual {
		add(problem.NoSchedule, w.Place, "add cron: or every:", "window has no meaning without a schedule")
		return
	}
	if !w.Unit.Given {
		return
	}
	out.Window = project.WindowUnit(w.Unit.V)
	if w.Shift != nil {
		shift, ok := w.Shift.Value().(int64)
		if u, unsigned := w.Shift.Value().(uint64); unsigned && u < 1<<31 {
			shift, ok = int64(u), true
		}
		if !ok {
			add(problem.WrongType, w.Shift.Place, "write a whole number", "shift takes a whole number")
		}
		out.Shift = int(shift)
	}
	if !out.Scheduled() {
		return // cron or every is wrong
	}
	table, err := out.Timetable()
	if err != nil {
		return // reported already
	}
	if err := table.Check(); err != nil {
		if empty, ok := errors.AsType[*calendar.EmptyWindowError](err); ok {
			add(problem.EmptyWindow, w.Place, form.Clause(empty.Remedy), "%s", err)
		} else {
			blame(err, problem.BadValue, form.Text{Place: w.Place}, add)
		}
		out.Window, out.Shift = "", 0
	}
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
