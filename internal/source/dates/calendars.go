package dates

import (
	"iter"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// Calendars are the calendars of a project, by name. Those with errors are there
// too: who uses one has its problems.
type Calendars struct {
	files map[string]named
	out   map[string]*project.Calendar
	found map[string]problem.List
}

type named struct {
	path   string
	parsed *file.Parsed
}

// NewCalendars returns no calendars.
func NewCalendars() *Calendars {
	return &Calendars{files: map[string]named{}, out: map[string]*project.Calendar{}, found: map[string]problem.List{}}
}

// Add takes a calendar file in.
func (c *Calendars) Add(path string, p *file.Parsed) {
	if first, twice := c.files[p.Name]; twice {
		two := problem.New(problem.DuplicateTask, problem.Place{File: path}, "rename one of them", "the calendar %s is in two files", p.Name)
		two.Related = []problem.Note{{Place: problem.Place{File: first.path}, Message: "the other one"}}
		c.found[p.Name] = append(c.found[p.Name], two)
		return
	}
	c.files[p.Name] = named{path, p}
}

// Settle makes every calendar, with what it includes.
func (c *Calendars) Settle() {
	for _, name := range c.names() {
		f := c.files[name]
		found := slices.Clone(f.parsed.Problems)
		if !form.IsName(name) {
			found = append(found, problem.New(problem.BadName, problem.Place{File: f.path}, "rename the file: a-z, 0-9 and _, beginning with a letter, at most 63 characters", "%q cannot be a calendar's name", name))
		}
		holidays, more := c.holidays(name, map[string]bool{name: true})
		found = append(found, more...)
		days, err := calendar.NewDays(name, f.parsed.Days.Weekend, holidays)
		if err != nil && len(found) == 0 {
			found = append(found, Blame(err, problem.BadCalendar, form.Text{Place: problem.Place{File: f.path, Line: 1, Column: 1}}))
		}
		c.found[name] = append(c.found[name], found...)
		if len(c.found[name].Errors()) == 0 {
			c.out[name] = &project.Calendar{Name: name, Weekend: f.parsed.Days.Weekend, Holidays: holidays, Days: days}
		}
	}
}

// holidays gathers those of a calendar and of what it includes.
func (c *Calendars) holidays(name string, seen map[string]bool) (out []calendar.Holiday, found problem.List) {
	days := c.files[name].parsed.Days
	out = slices.Clone(days.Holidays)
	for _, other := range days.Include {
		f, known := c.files[other.V]
		switch {
		case !known:
			found = append(found, problem.New(problem.UnknownCalendar, other.Place, c.remedy(other.V), "unknown calendar %q", other.V))
		case seen[other.V]: // taken in already
		default:
			seen[other.V] = true
			found = append(found, f.parsed.Problems...)
			more, bad := c.holidays(other.V, seen)
			out, found = append(out, more...), append(found, bad...)
		}
	}
	return out, found
}

// find returns a calendar; none where it has errors, which are told once.
func (c *Calendars) find(name form.Text) (*project.Calendar, problem.List) {
	if _, known := c.files[name.V]; !known {
		return nil, problem.List{problem.New(problem.UnknownCalendar, name.Place, c.remedy(name.V), "unknown calendar %q", name.V)}
	}
	return c.out[name.V], nil
}

func (c *Calendars) remedy(name string) string {
	if near := problem.Nearest(name, c.names()); near != "" {
		return "did you mean \"" + near + "\"?"
	}
	return "add calendars/" + name + ".yaml, or the holidays as calendars/" + name + ".ics"
}

func (c *Calendars) names() []string { return slices.Sorted(maps.Keys(c.files)) }

// All returns the calendars without errors.
func (c *Calendars) All() (out []project.Calendar) {
	for _, name := range c.names() {
		if one := c.out[name]; one != nil {
			out = append(out, *one)
		}
	}
	return out
}

// Problems gives the problems of each calendar.
func (c *Calendars) Problems() iter.Seq2[string, problem.List] {
	return func(yield func(string, problem.List) bool) {
		for _, name := range c.names() {
			if found := c.found[name]; len(found) > 0 && !yield(name, found) {
				return
			}
		}
	}
}
