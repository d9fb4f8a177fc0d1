// Package preview shows when a timetable is due, and reads one from flags.
package preview

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// Most is the largest number of due times that are shown.
const Most = 100_000

// occurrence is how one due time is written as JSON.
type occurrence struct {
	Due    time.Time       `json:"due"`
	Window calendar.Window `json:"window"`
}

// Table lists the due times after a moment with their windows, up to another moment
// where one is given, and no more than count.
func Table(t calendar.Timetable, from, until time.Time, count int) output.Table {
	list, previous := []occurrence{}, from
	out := output.Table{Columns: []string{"due", "local", "window start", "window end", "note"}}
	for o := range t.All(from) {
		if len(list) == count || !until.IsZero() && o.Due.After(until) {
			break
		}
		list = append(list, occurrence{o.Due.UTC(), calendar.Window{Start: o.Window.Start.UTC(), End: o.Window.End.UTC()}})
		out.Rows = append(out.Rows, []string{
			o.Due.UTC().Format(time.RFC3339), o.Due.In(t.Zone()).Format("Mon 2006-01-02 15:04 MST"),
			o.Window.Start.UTC().Format(time.RFC3339), o.Window.End.UTC().Format(time.RFC3339), t.Note(previous, o),
		})
		previous = o.Due
	}
	out.Values = list
	return out
}

// Flags are what a person gives in place of a pipeline.
type Flags struct {
	Cron     string `help:"A cron expression."`
	Every    string `help:"A duration, such as 15m."`
	Timezone string `default:"UTC" help:"An IANA zone."`
	Window   string `enum:",hour,day,week,month" default:"" help:"Align windows to this local unit."`
	Shift    int    `help:"Move the window by whole units."`
}

// Timetable is what the flags say. The error names the flag.
func (f Flags) Timetable() (calendar.Timetable, error) {
	zone, err := time.LoadLocation(f.Timezone)
	if err != nil || f.Timezone == "" || strings.EqualFold(f.Timezone, "local") {
		return calendar.Timetable{}, fault.New(fault.Invalid, "timezone: %q is no IANA zone, such as America/New_York", f.Timezone)
	}
	t := calendar.Timetable{Alignment: calendar.Alignment{Unit: calendar.Unit(f.Window), Shift: f.Shift}}
	switch {
	case f.Cron != "" && f.Every != "":
		return t, fault.New(fault.Invalid, "give --cron or --every, not both")
	case f.Cron != "":
		if t.Schedule, err = calendar.ParseCron(f.Cron, zone); err != nil {
			return t, Wrong("cron", err)
		}
	case f.Every != "":
		period, e := calendar.ParseDuration(f.Every)
		if e != nil {
			return t, Wrong("every", e)
		}
		if t.Schedule, err = calendar.NewEvery(period, time.Time{}, zone); err != nil {
			return t, Wrong("every", err)
		}
	default:
		return t, fault.New(fault.Invalid, "give a pipeline, --cron or --every")
	}
	if err := t.Check(); err != nil {
		return t, fault.New(fault.Invalid, "%w", err)
	}
	return t, nil
}

// Wrong says what is wrong with a flag's value.
func Wrong(flag string, err error) error {
	return fault.New(fault.Invalid, "%s: %s", flag, calendar.Explain(err))
}
