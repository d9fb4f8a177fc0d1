package source_test

import (
	"slices"
	"testing"
)

func TestADayOnWhichARepeatedHolidayIsMovedOrCancelledIsABusinessDay(t *testing.T) {
	t.Parallel()
	r := sound(t, `
-- tidemill.yaml --
project: p
-- calendars/desk.ics --
BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
SUMMARY:Desk day
DTSTART;VALUE=DATE:20240501
RRULE:FREQ=YEARLY;COUNT=4
END:VEVENT
BEGIN:VEVENT
UID:1
SUMMARY:Desk day
RECURRENCE-ID;VALUE=DATE:20250501
DTSTART;VALUE=DATE:20250501
STATUS:CANCELLED
END:VEVENT
BEGIN:VEVENT
UID:1
SUMMARY:Desk day, moved
RECURRENCE-ID;VALUE=DATE:20260501
DTSTART;VALUE=DATE:20260430
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Another
DTSTART;VALUE=DATE:20250502
END:VEVENT
END:VCALENDAR
`, "")
	var got []string
	for _, h := range r.Project.Calendars[0].Holidays {
		got = append(got, h.Date+" "+h.Name)
	}
	slices.Sort(got)
	want := []string{"2024-05-01 Desk day", "2025-05-02 Another", "2026-04-30 Desk day, moved", "2027-05-01 Desk day"}
	if !slices.Equal(got, want) {
		t.Errorf("days off: %v, want %v", got, want)
	}
}
