package task

import (
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// described writes files as "a b? c": those that need not be there with a question mark.
func described(files []store.Files) string {
	var words []string
	for _, f := range files {
		w := f.Glob
		if f.Optional {
			w += "?"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestAWindowReadsTheFilesOfAllThatItHolds(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	days, err := calendar.NewDays("desk", []time.Weekday{time.Saturday, time.Sunday}, []calendar.Holiday{{Date: "2013-03-11"}})
	if err != nil {
		t.Fatal(err)
	}
	table := func(cron string, unit calendar.Unit, shift int, rule calendar.Rule) calendar.Timetable {
		base, err := calendar.ParseCron(cron, zone)
		if err != nil {
			t.Fatal(err)
		}
		out := calendar.Timetable{Schedule: base, Alignment: calendar.Alignment{Unit: unit, Shift: shift}}
		if rule != "" {
			if out.Schedule, err = calendar.NewBusiness(base, days, rule); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	daily := table("0 6 * * *", calendar.UnitDay, 0, "")
	bare := table("0 6 * * *", calendar.UnitNone, 0, "")
	desk := table("0 6 * * *", calendar.UnitDay, 0, calendar.RuleSkip)
	weekdays := table("0 6 * * 1-5", calendar.UnitDay, 0, "")
	// 2013-03-08 is a Friday; the clocks go forward on Sunday the 10th; Monday the 11th is a holiday of the desk.
	for _, c := range []struct {
		about, path, window string
		times               calendar.Timetable
		want                string // "" where it is refused
	}{
		{"one slot", "{window.date}.csv", "2013-03-09/2013-03-10", daily, "2013-03-09.csv"},
		{"of 23 hours", "{window.date}.csv", "2013-03-10/2013-03-11", daily, "2013-03-10.csv"},
		{"merged slots", "{window.date}.csv", "2013-03-09/2013-03-12", daily, "2013-03-09.csv 2013-03-10.csv 2013-03-11.csv"},
		{"named by the end", "{window.end:%d}.csv", "2013-03-09/2013-03-11", daily, "10.csv 11.csv"},
		{"in UTC", "{window.start.utc:%dT%H}.csv", "2013-03-10/2013-03-12", daily, "10T05.csv 11T04.csv"},
		{"named by both ends", "{window.start:%d}_{window.end:%d}.csv", "2013-03-09/2013-03-12", daily, "09_12.csv"},
		{"named by neither", "all.csv", "2013-03-09/2013-03-12", daily, "all.csv"},
		{"a file of several slots", "{window.start:%Y-%m}.csv", "2013-03-30/2013-04-02", daily, "2013-03.csv 2013-04.csv"},
		{"no schedule", "{window.date}.csv", "2013-03-09/2013-03-12", calendar.Timetable{Schedule: calendar.NewNone(zone)}, "2013-03-09.csv"},

		{"days off", "{window.date}.csv", "2013-03-08/2013-03-12", desk, "2013-03-08.csv 2013-03-09.csv? 2013-03-10.csv? 2013-03-11.csv?"},
		{"days off by their end", "{window.end:%d}.csv", "2013-03-08/2013-03-12", desk, "09.csv 10.csv? 11.csv? 12.csv?"},
		{
			"days off, unaligned", "{window.date}.csv", "2013-03-08T06:00:00-05:00/2013-03-12T06:00:00-04:00",
			table("0 6 * * *", calendar.UnitNone, 0, calendar.RuleSkip), "2013-03-08.csv 2013-03-09.csv? 2013-03-10.csv? 2013-03-11.csv?",
		},
		{
			"the day that begins", "{window.date}.csv", "2013-03-09/2013-03-13",
			table("0 6 * * *", calendar.UnitDay, 1, calendar.RuleSkip), "2013-03-09.csv? 2013-03-10.csv? 2013-03-11.csv? 2013-03-12.csv",
		},
		{
			"moved to the next day", "{window.date}.csv", "2013-03-08/2013-03-12",
			table("0 6 * * *", calendar.UnitDay, 0, calendar.RuleNext), "2013-03-08.csv 2013-03-09.csv? 2013-03-10.csv? 2013-03-11.csv?",
		},
		{
			"moved months", "{window.date}.csv", "2013-02-28T06:00:00-05:00/2013-03-29T06:00:00-04:00",
			table("0 6 L * *", calendar.UnitNone, 0, calendar.RulePrevious), "2013-02-28.csv",
		},

		{
			"days that cron leaves out", "{window.date}.csv", "2013-03-07/2013-03-11", weekdays,
			"2013-03-07.csv 2013-03-08.csv? 2013-03-09.csv? 2013-03-10.csv?",
		},
		{
			"a file a week or a day", "{window.start:%d}.csv", "2013-03-04/2013-03-11", table("0 6 * * 1", calendar.UnitDay, 0, ""),
			"04.csv? 05.csv? 06.csv? 07.csv? 08.csv? 09.csv? 10.csv?",
		},
		{
			"hours of a day", "{window.start:%dT%H}.csv", "2013-03-10/2013-03-10T04:00:00-04:00", table("0 0,4 * * *", calendar.UnitHour, 0, ""),
			"10T00.csv? 10T01.csv? 10T03.csv?",
		}, // 02 is the hour that the clocks left out
		{
			"hours, named by the day", "{window.date}.csv", "2013-03-07T06:00:00-05:00/2013-03-09T06:00:00-05:00",
			table("0 6 * * *", calendar.UnitHour, 0, ""), "2013-03-07.csv 2013-03-08.csv",
		},

		{"part of a slot", "{window.start:%dT%H}.csv", "2013-03-07T07:00:00-05:00/2013-03-07T09:00:00-05:00", bare, "07T07.csv"},
		{"parts of slots", "{window.date}.csv", "2013-03-07/2013-03-09", bare, ""},
		{"part of days off", "{window.date}.csv", "2013-03-09/2013-03-10", desk, "2013-03-09.csv"},
		{"parts of days off", "{window.date}.csv", "2013-03-08T12:00:00-05:00/2013-03-10", desk, ""},
		{"parts of a slot and of days off", "{window.date}.csv", "2013-03-08T01:00:00-05:00/2013-03-13", desk, ""},
	} {
		window, err := calendar.ParseWindow(c.window, zone)
		if err != nil {
			t.Fatal(err)
		}
		template, err := expr.ParseTemplate(c.path)
		if err != nil {
			t.Fatal(err)
		}
		files, err := filesOf(template, c.times, window, func(w calendar.Window) (string, error) {
			return template.Expand(expr.Values{Start: w.Start, End: w.End, Zone: zone}.Resolve)
		})
		switch {
		case c.want == "" && fault.KindOf(err) == fault.Invalid:
		case err != nil || described(files) != c.want:
			t.Errorf("%s: %s over %s reads %q (%v), want %q", c.about, c.path, c.window, described(files), err, c.want)
		}
	}
}
