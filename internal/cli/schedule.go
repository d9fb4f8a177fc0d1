package cli

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type scheduleCommand struct {
	Preview previewCommand `cmd:"" help:"Print the next due times with their windows. Needs no project, or a pipeline of one."`
}

type previewCommand struct {
	Pipeline string `arg:"" optional:"" help:"A pipeline of the project."`
	Cron     string `help:"A cron expression."`
	Every    string `help:"A duration, such as 15m."`
	Timezone string `default:"UTC" help:"An IANA zone."`
	Window   string `enum:",hour,day,week,month" default:"" help:"Align windows to this local unit."`
	Shift    int    `help:"Move the window by whole units."`
	From     string `help:"After this instant (RFC 3339) or local date; now without it."`
	Until    string `help:"Up to this instant (RFC 3339) or local date, instead of a number."`
	Count    int    `default:"10" help:"How many; at most 100000."`
}

// occurrence is how one due time is written as JSON.
type occurrence struct {
	Due    time.Time       `json:"due"`
	Window calendar.Window `json:"window"`
}

// Run prints due times.
func (c previewCommand) Run(s *session) error {
	t, err := c.timetable(s)
	if err != nil {
		return err
	}
	if c.Count < 1 || c.Count > 100_000 {
		return fault.New(fault.Invalid, "count: %d is not between 1 and 100000", c.Count)
	}
	from := time.Now()
	if c.From != "" {
		if from, err = calendar.ParseMoment(c.From, t.Zone()); err != nil {
			return wrong("from", err)
		}
	}
	until := time.Time{}
	if c.Until != "" {
		if until, err = calendar.ParseMoment(c.Until, t.Zone()); err != nil {
			return wrong("until", err)
		}
		c.Count = 100_000
	}
	list, previous := []occurrence{}, from
	out := output.Table{Columns: []string{"due", "local", "window start", "window end", "note"}}
	for o := range t.All(from) {
		if !until.IsZero() && o.Due.After(until) {
			break
		}
		list = append(list, occurrence{o.Due.UTC(), calendar.Window{Start: o.Window.Start.UTC(), End: o.Window.End.UTC()}})
		due := o.Due.In(t.Zone())
		out.Rows = append(out.Rows, []string{
			o.Due.UTC().Format(time.RFC3339), due.Format("Mon 2006-01-02 15:04 MST"),
			o.Window.Start.UTC().Format(time.RFC3339), o.Window.End.UTC().Format(time.RFC3339), t.Note(previous, o),
		})
		previous = o.Due
		if len(list) == c.Count {
			break
		}
	}
	out.Values = list
	return s.give(out)
}

func (c previewCommand) timetable(s *session) (calendar.Timetable, error) {
	if c.Pipeline != "" {
		pl, err := s.pipeline(c.Pipeline)
		if err != nil {
			return calendar.Timetable{}, err
		}
		return pl.Schedule.Timetable()
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil || c.Timezone == "" || strings.EqualFold(c.Timezone, "local") {
		return calendar.Timetable{}, fault.New(fault.Invalid, "timezone: %q is no IANA zone, such as America/New_York", c.Timezone)
	}
	t := calendar.Timetable{Alignment: calendar.Alignment{Unit: calendar.Unit(c.Window), Shift: c.Shift}}
	switch {
	case c.Cron != "" && c.Every != "":
		return t, fault.New(fault.Invalid, "give --cron or --every, not both")
	case c.Cron != "":
		if t.Schedule, err = calendar.ParseCron(c.Cron, zone); err != nil {
			return t, wrong("cron", err)
		}
	case c.Every != "":
		period, e := calendar.ParseDuration(c.Every)
		if e != nil {
			return t, wrong("every", e)
		}
		if t.Schedule, err = calendar.NewEvery(period, time.Time{}, zone); err != nil {
			return t, wrong("every", err)
		}
	default:
		return t, fault.New(fault.Invalid, "give a pipeline, --cron or --every")
	}
	if err := t.Check(); err != nil {
		return t, fault.New(fault.Invalid, "%w", err)
	}
	return t, nil
}

// wrong says what is wrong with a flag's value.
func wrong(flag string, err error) error {
	return fault.New(fault.Invalid, "%s: %s", flag, calendar.Explain(err))
}
