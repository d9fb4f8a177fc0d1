package project

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Timetable is the schedule as calendar computes with it. A checked project has
// none that cannot be computed with.
func (s Schedule) Timetable() (calendar.Timetable, error) {
	zone, err := time.LoadLocation(s.Timezone)
	if err != nil {
		return calendar.Timetable{}, fmt.Errorf("time zone %q: %w", s.Timezone, err)
	}
	t := calendar.Timetable{
		Alignment: calendar.Alignment{Unit: calendar.Unit(s.Window), Shift: s.Shift},
		Start:     s.Start, End: s.End,
	}
	switch {
	case s.Cron != "":
		t.Schedule, err = calendar.ParseCron(s.Cron, zone)
	case s.Every > 0:
		t.Schedule, err = calendar.NewEvery(s.Every, s.Start, zone)
	default:
		t.Schedule = calendar.NewNone(zone)
	}
	if err != nil || s.Calendar == "" {
		return t, err
	}
	if s.Days == nil {
		return t, fmt.Errorf("the calendar %s is not at hand", s.Calendar)
	}
	t.Schedule, err = calendar.NewBusiness(t.Schedule, s.Days, s.Rule)
	return t, err
}
