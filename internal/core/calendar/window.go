package calendar

import (
	"strings"
	"time"
)

// Window is the half-open interval [Start, End) of time that a run is for, in UTC.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// IsZero says whether the window was never set.
func (w Window) IsZero() bool { return w.Start.IsZero() && w.End.IsZero() }

// Empty says whether no moment lies in the window.
func (w Window) Empty() bool { return !w.Start.Before(w.End) }

// Contains says whether a moment lies in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// Equal says whether both windows begin and end at the same instants.
func (w Window) Equal(other Window) bool {
	return w.Start.Equal(other.Start) && w.End.Equal(other.End)
}

// Clip returns the part of the window that lies within limits. It may be empty.
func (w Window) Clip(limits Window) Window {
	if limits.Start.After(w.Start) {
		w.Start = limits.Start
	}
	if limits.End.Before(w.End) {
		w.End = limits.End
	}
	return w
}

// String writes the window as START/END, in RFC 3339 and UTC; ParseWindow reads it back.
func (w Window) String() string {
	return w.Start.UTC().Format(time.RFC3339Nano) + "/" + w.End.UTC().Format(time.RFC3339Nano)
}

// Text writes the window as people read it in a zone: a date where it is one
// local day. The epoch begins windows that nobody gave a start; they are said by their end.
func (w Window) Text(zone *time.Location) string {
	layout := "2006-01-02 15:04"
	if w.End.Sub(w.Start) < time.Hour {
		layout += ":05"
	}
	start, end := w.Start.In(orUTC(zone)), w.End.In(orUTC(zone))
	midnight := func(t time.Time) bool { return t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 }
	switch {
	case w.IsZero():
		return ""
	case w.Start.Unix() == 0:
		return "until " + end.Format(layout)
	case midnight(start) && midnight(end) && start.AddDate(0, 0, 1).Equal(end):
		return start.Format(time.DateOnly)
	}
	return start.Format(layout) + " – " + end.Format(layout)
}

// StartOfDate returns the first instant of a local date. It says false for a date that the zone skips.
func StartOfDate(year int, month time.Month, day int, zone *time.Location) (time.Time, bool) {
	midnight := dayOf(year, month, day) * secondsPerDay
	return instant(reached(orUTC(zone), midnight)), dayOccurs(orUTC(zone), midnight)
}

// ParseMoment reads a local date ("2013-06-01": its first instant), a local
// time ("2013-06-01T06:00") or an RFC 3339 time. A local time that repeats is
// its first pass; one inside a gap is the first instant after it. The error is
// a *ParseError.
func ParseMoment(text string, zone *time.Location) (time.Time, error) {
	moment, _, err := parseMoment(text, 0, zone)
	return moment, err
}

// parseMoment says as well whether the text was a date. Offset is the place of text in what the user typed.
func parseMoment(text string, offset int, zone *time.Location) (moment time.Time, isDate bool, err error) {
	fail := func(problem, remedy string) (time.Time, bool, error) {
		return time.Time{}, false, &ParseError{Field: FieldMoment, Text: text, Offset: offset, Problem: problem, Remedy: remedy}
	}
	if date, err := time.Parse(time.DateOnly, text); err == nil {
		start, occurs := StartOfDate(date.Year(), date.Month(), date.Day(), zone)
		if !occurs {
			return fail("the zone "+orUTC(zone).String()+" skips this date", "Write a date that its clocks showed.")
		}
		return start, true, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if wall, err := time.Parse(layout, text); err == nil {
			fraction := time.Duration(wall.Nanosecond()).Truncate(time.Microsecond)
			return instant(reached(orUTC(zone), wall.Unix())).Add(fraction), false, nil
		}
	}
	if moment, err := time.Parse(time.RFC3339, text); err == nil {
		return moment.UTC().Truncate(time.Microsecond), false, nil
	}
	return fail("this is no date and no time",
		"Write a date such as 2013-06-01, or a time such as 2013-06-01T06:00:00Z.")
}

// ParseWindow reads "A/B", two moments as ParseMoment reads them: the window
// that begins at A and ends at B. The error is a *ParseError.
func ParseWindow(text string, zone *time.Location) (Window, error) {
	from, until, both := strings.Cut(text, "/")
	if !both {
		return Window{}, &ParseError{
			Field: FieldWindow, Text: text, Problem: "the end of the window is missing",
			Remedy: "Write START/END, as in 2013-06-01/2013-07-01.",
		}
	}
	start, _, err := parseMoment(from, 0, zone)
	if err != nil {
		return Window{}, err
	}
	end, _, err := parseMoment(until, len(from)+1, zone)
	if err != nil {
		return Window{}, err
	}
	w := Window{Start: start, End: end}
	if w.Empty() {
		what := "the window ends before it has begun"
		if w.Start.Equal(w.End) {
			what = "the window is empty"
		}
		return Window{}, &ParseError{
			Field: FieldWindow, Text: text, Problem: what,
			Remedy: "Write the earlier moment first; the end itself is not part of the window.",
		}
	}
	return w, nil
}
