// Package dates settles what project files say about time: schedules, windows,
// moments, and the calendars of business days.
//
// It guarantees that what it returns can be computed with; what cannot is a
// problem with a place, and left out. It must not look at the clock.
package dates

import (
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// Manual is the schedule: of pipelines that only people and programs start.
const Manual = "manual"

// aTime is when a schedule is asked whether it is ever due: a rule of weekdays is old and lasting.
var aTime = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// Project is what a schedule needs to know of its project.
type Project struct {
	Timezone  string
	Zone      func(name string) (*time.Location, error)
	Calendars *Calendars
	Spread    form.Duration // of schedules that say nothing of it
}

// Schedule settles the schedule of a pipeline. It is manual where nothing, or
// nothing that can be read, says when the pipeline is due.
func (p Project) Schedule(s file.Schedule) (out project.Schedule, manual bool, found problem.List) {
	b := &builder{Project: p}
	out, manual = b.schedule(s)
	return out, manual, b.found
}

type builder struct {
	Project
	found problem.List
}

func (b *builder) add(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	b.found = append(b.found, problem.New(code, at, remedy, format, args...))
}

func (b *builder) schedule(s file.Schedule) (out project.Schedule, manual bool) {
	out = project.Schedule{Timezone: b.Timezone, Place: s.Place}
	if s.Timezone.Given {
		out.Timezone = s.Timezone.V
	}
	zone, err := b.Zone(out.Timezone)
	if err != nil {
		zone = time.UTC // reported where the zone was written
	}
	out.Start, out.End = b.moment(s.Start, zone), b.moment(s.End, zone)
	if !out.Start.IsZero() && !out.End.IsZero() && !out.End.After(out.Start) {
		b.add(problem.BadTime, s.End.Place, "", "the schedule ends before it starts")
		out.End = time.Time{}
	}
	switch {
	case s.Cron.Given && s.Every.Given:
		b.add(problem.BadValue, s.Every.Place, "keep one of them", "the schedule has both cron and every")
	case s.Cron.Given && s.Cron.V != Manual:
		if _, err := calendar.ParseCron(s.Cron.V, zone); err != nil {
			b.blame(err, problem.BadCron, s.Cron)
		} else {
			out.Cron = s.Cron.V
		}
	case s.Every.Given:
		if _, err := calendar.NewEvery(s.Every.V, out.Start, zone); err != nil {
			b.blame(err, problem.BadDuration, form.Text{Place: s.Every.Place})
		} else {
			out.Every = s.Every.V
		}
	}
	manual = !s.Cron.Given && !s.Every.Given || s.Cron.V == Manual
	b.business(s.Calendar, &out, manual)
	b.window(s.Window, &out, manual)
	b.spread(s.Spread, &out, manual)
	return out, manual
}

// spread bounds how long after due runs start. A start never waits until the next
// one is due: where a bound for the whole project is longer than that, it is cut.
func (b *builder) spread(s form.Duration, out *project.Schedule, manual bool) {
	if s.Given && manual {
		b.add(problem.NoSchedule, s.Place, "add cron: or every:", "spread has no meaning without a schedule")
		return
	}
	if !s.Given {
		s = b.Spread
	}
	if s.V <= 0 || !out.Scheduled() {
		return
	}
	if table, err := out.Timetable(); err == nil { // else it is reported already
		out.Spread = min(s.V, table.Shortest())
	}
}

// business holds a schedule back on the days off of a calendar.
func (b *builder) business(s file.Business, out *project.Schedule, manual bool) {
	if !s.Given || !s.Name.Given {
		return
	}
	if manual {
		b.add(problem.NoSchedule, s.Place, "add cron: or every:", "calendar has no meaning without a schedule")
		return
	}
	found, problems := b.Calendars.find(s.Name)
	b.found = append(b.found, problems...)
	if found == nil || !out.Scheduled() {
		return
	}
	rule := calendar.RuleSkip
	if s.Shift.Given {
		rule = calendar.Rule(s.Shift.V)
	}
	held := *out
	held.On(found, rule)
	table, err := held.Timetable()
	if err != nil {
		at := s.Shift
		if !at.Given {
			at = s.Name
		}
		b.blame(err, problem.BadCalendar, form.Text{Place: at.Place})
		return
	}
	if _, ever := table.Schedule.Next(aTime); !ever {
		b.add(problem.BadCalendar, s.Name.Place, "move what falls on a day off, with shift: next or previous, or leave the calendar out",
			"the schedule is never due: each of its times falls on a day off of %s", s.Name.V)
		return
	}
	*out = held
}

func (b *builder) moment(t form.Text, zone *time.Location) time.Time {
	if !t.Given {
		return time.Time{}
	}
	at, err := calendar.ParseMoment(t.V, zone)
	if err != nil {
		b.blame(err, problem.BadTime, t)
	}
	return at
}

func (b *builder) blame(err error, code problem.Code, text form.Text) {
	b.found = append(b.found, Blame(err, code, text))
}

// Blame says what the calendar could not read, at the character it names.
func Blame(err error, code problem.Code, text form.Text) problem.Problem {
	p, ok := errors.AsType[*calendar.ParseError](err)
	if !ok {
		return problem.New(code, text.Place, "", "%s", err)
	}
	at := text.Place
	if text.Node != nil {
		at = text.Node.At(p.Offset)
	}
	return problem.New(code, at, form.Clause(p.Remedy), "%s %q: %s", p.Field, p.Text, p.Problem)
}

func (b *builder) window(w file.Window, out *project.Schedule, manual bool) {
	if !w.Given {
		return
	}
	if manual {
		b.add(problem.NoSchedule, w.Place, "add cron: or every:", "window has no meaning without a schedule")
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
			b.add(problem.WrongType, w.Shift.Place, "write a whole number", "shift takes a whole number")
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
			b.add(problem.EmptyWindow, w.Place, form.Clause(empty.Remedy), "%s", err)
		} else {
			b.blame(err, problem.BadValue, form.Text{Place: w.Place})
		}
		out.Window, out.Shift = "", 0
	}
}
