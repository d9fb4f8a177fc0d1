package project_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/project"
)

func TestASchedulesCalendarSurvivesTheWayToAWorker(t *testing.T) {
	t.Parallel()
	holidays := []calendar.Holiday{{Date: "2026-12-25", Name: "Christmas Day"}}
	days, err := calendar.NewDays("desk", []time.Weekday{time.Sunday}, holidays)
	if err != nil {
		t.Fatal(err)
	}
	p := project.Project{
		Name: "p", Stores: []project.Store{},
		Calendars: []project.Calendar{{Name: "desk", Weekend: []time.Weekday{time.Sunday}, Holidays: holidays, Days: days}},
		Pipelines: []project.Pipeline{{Name: "land", Schedule: project.Schedule{Cron: "0 6 * * *", Timezone: "Europe/Berlin"}}},
	}
	p.Pipelines[0].Schedule.On(&p.Calendars[0], calendar.RuleNext)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again project.Project
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Calendars, again.Calendars); diff != "" {
		t.Errorf("calendars (-want +got):\n%s", diff)
	}
	table, err := again.Pipelines[0].Schedule.Timetable()
	if err != nil {
		t.Fatal(err)
	}
	due, ok := table.Schedule.Next(time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC))
	if want := "2026-12-26T05:00:00Z"; !ok || due.Format(time.RFC3339) != want {
		t.Errorf("due at %s, want %s", due, want)
	}
	// Nothing computes with a calendar that did not come along.
	if err := json.Unmarshal([]byte(strings.Replace(string(text), `"name":"desk"`, `"name":"dusk"`, 1)), &again); err == nil || !strings.Contains(err.Error(), "the calendar desk is missing") {
		t.Errorf("a plan without its calendar was read: %v", err)
	}
	bare := p.Pipelines[0].Schedule
	bare.Days = nil
	if _, err := bare.Timetable(); err == nil {
		t.Error("a schedule without its calendar is due every day")
	}
}
