package calendar

import (
	"fmt"
	"strings"
	"time"
)

// NamedWindow reads what a person writes after --window: "A/B" is that one
// window; a date is the window of the timetable that starts on that local date;
// a time is the one that starts then. Without a schedule a date is the whole
// local date. Bounds are left aside. The error is a *ParseError.
func (t Timetable) NamedWindow(text string) (Window, error) {
	if strings.Contains(text, "/") {
		return ParseWindow(text, t.Zone())
	}
	start, isDate, err := parseMoment(text, 0, t.Zone())
	if err != nil {
		return Window{}, err
	}
	fail := func(problem, remedy string) (Window, error) {
		return Window{}, &ParseError{Field: FieldWindow, Text: text, Problem: problem, Remedy: remedy}
	}
	limit := start.Add(1)
	if isDate {
		limit = Alignment{Unit: UnitDay, Shift: 1}.End(start, t.Zone())
	}
	if !t.Scheduled() {
		if !isDate {
			return fail("without a schedule there are no windows to choose from", "Write the window as START/END.")
		}
		return Window{Start: start, End: limit}, nil
	}
	first, ok := t.Boundary(start.Add(-1))
	if !ok {
		return fail("the schedule has no window there", "Write the window as START/END.")
	}
	end, ok := t.Boundary(first)
	if !ok {
		return fail("the schedule has no window there", "Write the window as START/END.")
	}
	found := Window{Start: first, End: end}
	if !first.Before(limit) {
		return fail("no window of the schedule starts then",
			fmt.Sprintf("The next one is %s; write it, or any START/END.", found))
	}
	if end.Before(limit) {
		return fail("several windows of the schedule start on this date",
			fmt.Sprintf("Write the time as well, as in %s, or START/END.", first.In(t.Zone()).Format(time.RFC3339)))
	}
	return found, nil
}
