package calendar_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// anyExpression draws cron expressions, most of them satisfiable.
func anyExpression(t *rapid.T) string {
	pick := func(name string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, name) }
	return strings.Join([]string{
		pick("minute", "0", "30", "59", "*", "*/7", "5-20/5", "0,30"),
		pick("hour", "0", "2", "1,2,3", "23", "*", "*/2", "*/5,3", "0-4"),
		pick("date", "*", "1", "L", "29", "31", "*/2", "1,15", "28-31"),
		pick("month", "*", "2", "3,10", "JAN-JUN", "*/3", "11"),
		pick("weekday", "*", "MON", "SUN", "MON-FRI", "5L", "SUN#2", "*/7", "0,3"),
	}, " ")
}

func anyZone(t *rapid.T) *time.Location {
	name := rapid.SampledFrom([]string{
		"UTC", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca",
		"Asia/Tehran", "America/Scoresbysund", "Pacific/Chatham", "America/Sao_Paulo", "Asia/Manila", "Africa/Monrovia", "Antarctica/Troll",
	}).Draw(t, "zone")
	loaded, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// anyMoment draws moments of the years 1900 to 2500, many at 31 December or near a change of clocks.
func anyMoment(t *rapid.T, z *time.Location) time.Time {
	low, high := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2500, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	at := time.Unix(rapid.Int64Range(low, high).Draw(t, "at"), rapid.SampledFrom([]int64{0, 0, 1, 999_999_999}).Draw(t, "nanosecond"))
	switch rapid.IntRange(0, 2).Draw(t, "near") {
	case 1:
		at = time.Date(at.UTC().Year(), 12, 31, at.Hour(), at.Minute(), 0, 0, time.UTC)
	case 2:
		if _, end := at.In(z).ZoneBounds(); !end.IsZero() && end.Year() <= 2500 {
			at = end.Add(time.Duration(rapid.Int64Range(-90, 90).Draw(t, "minutes")) * time.Minute)
		}
	}
	return at.UTC()
}

func anySchedule(t *rapid.T, z *time.Location) calendar.Schedule {
	if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
		e, err := calendar.NewEvery(time.Duration(rapid.Int64Range(1, 1_000_000).Draw(t, "seconds"))*time.Second, anyMoment(t, z), z)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	c, err := calendar.ParseCron(anyExpression(t), z)
	if _, ok := errors.AsType[*calendar.ParseError](err); ok {
		c, err = calendar.ParseCron("0 6 * * *", z) // no date matches: take a plain one
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNextAndPrevAreStrictAndInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := anyZone(t)
		s, at := anySchedule(t, z), anyMoment(t, z)
		next, ok := s.Next(at)
		if !ok {
			t.Fatalf("%s is not due after %s", s, at)
		}
		if !next.After(at) {
			t.Fatalf("%s: Next(%s) is %s", s, at, next)
		}
		prev, ok := s.Prev(at)
		if !ok || !prev.Before(at) {
			t.Fatalf("%s: Prev(%s) is %s, %v", s, at, prev, ok)
		}
		if again, _ := s.Next(prev); again.Before(at) {
			t.Fatalf("%s: %s lies between Prev(%s) = %s and it", s, again, at, prev)
		}
		if again, _ := s.Next(at.Add(-1)); again.Equal(at) {
			return // at itself is due; Next(prev) is at and not next
		}
		if again, _ := s.Next(prev); !again.Equal(next) {
			t.Fatalf("%s: Next(Prev(%s)) is %s, not %s", s, at, again, next)
		}
		if again, _ := s.Prev(next); !again.Equal(prev) {
			t.Fatalf("%s: Prev(Next(%s)) is %s, not %s", s, at, again, prev)
		}
		later := at.Add(time.Duration(rapid.Int64Range(0, 1_000_000).Draw(t, "later")) * time.Second)
		if after, _ := s.Next(later); after.Before(next) {
			t.Fatalf("%s: Next(%s) = %s comes before Next(%s) = %s", s, later, after, at, next)
		}
	})
}

func TestWindowsAreContiguousAndNeverEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := anyZone(t)
		at := anyMoment(t, z)
		timetable := calendar.Timetable{Schedule: anySchedule(t, z)}
		timetable.Alignment.Unit = rapid.SampledFrom([]calendar.Unit{"", "hour", "day", "week", "month"}).Draw(t, "unit")
		if timetable.Alignment.Unit != "" {
			timetable.Alignment.Shift = rapid.IntRange(-2, 2).Draw(t, "shift")
		}
		if rapid.Bool().Draw(t, "bounded") {
			timetable.Start = at.Add(-time.Hour)
			timetable.End = at.Add(time.Duration(rapid.Int64Range(1, 5000).Draw(t, "end")) * time.Hour)
		}
		var last calendar.Occurrence
		count := 0
		for o := range timetable.All(at) {
			if o.Window.Empty() || !o.Due.After(at) {
				t.Fatalf("%s: %s has the window %s", timetable, o.Due, o.Window)
			}
			if !timetable.End.IsZero() && (o.Window.Start.Before(timetable.Start) || o.Window.End.After(timetable.End)) {
				t.Fatalf("%s: the window %s leaves the bounds", timetable, o.Window)
			}
			if count > 0 && (!o.Window.Start.Equal(last.Window.End) || !o.Due.After(last.Due)) {
				t.Fatalf("%s: %s %s does not follow %s %s", timetable, o.Due, o.Window, last.Due, last.Window)
			}
			if whole, ok := timetable.Whole(o.Due); !ok || !whole.Equal(o.Window) {
				t.Fatalf("%s: whole window of %s is %s, from the mark %s", timetable, o.Due, whole, o.Window)
			}
			if latest, ok := timetable.Latest(o.Due); !ok || !latest.Due.Equal(o.Due) || !latest.Window.Equal(o.Window) {
				t.Fatalf("%s: Latest(%s) is %v %s", timetable, o.Due, latest.Due, latest.Window)
			}
			if next, ok := timetable.Boundary(o.Window.End.Add(-1)); !ok || !next.Equal(o.Window.End) {
				t.Fatalf("%s: Boundary before %s is %s", timetable, o.Window.End, next)
			}
			last = o
			if count++; count == 8 {
				break
			}
		}
		if count == 0 && timetable.End.IsZero() {
			t.Fatalf("%s makes no window after %s", timetable, at)
		}
	})
}

func TestDurationsSurviveWritingAndReading(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, 9_000_000_000).Draw(t, "seconds")) * time.Second
		got, err := calendar.ParseDuration(calendar.FormatDuration(want))
		if err != nil || got != want {
			t.Fatalf("%s was read back as %s, %v", want, got, err)
		}
	})
}
