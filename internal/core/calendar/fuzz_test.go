package calendar_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// checkParseError verifies that an error is typed, helps, and points into the text.
func checkParseError(t *testing.T, text string, err error) {
	t.Helper()
	found, ok := errors.AsType[*calendar.ParseError](err)
	if !ok {
		t.Fatalf("%q: error %v is no ParseError", text, err)
	}
	if found.Field == "" || found.Problem == "" || found.Remedy == "" {
		t.Fatalf("%q: the error does not help: %+v", text, found)
	}
	if found.Offset < 0 || found.Offset > len(text) {
		t.Fatalf("%q: offset %d lies outside", text, found.Offset)
	}
	if shown := strings.TrimSuffix(found.Text, "…"); found.Field != calendar.FieldExpression && !strings.HasPrefix(text[found.Offset:], shown) {
		t.Fatalf("%q: %q is not at offset %d", text, found.Text, found.Offset)
	}
}

func FuzzParseCron(f *testing.F) {
	for _, seed := range []string{
		"30 2 * * *", "@daily", "0 0 L * 5L", "0 0 ? * MON#2", "*/15 1-3 1,15 JAN-MAR 7", "0 0 30 2 *",
		"60 * * * *", "0 22-2 * * *", "", "\x00", "0 0 \xff * *", "0 0 29 2 */7",
	} {
		f.Add(seed, int64(1_790_000_000))
	}
	dublin := zone(f, "Europe/Dublin")
	f.Fuzz(func(t *testing.T, text string, at int64) {
		c, err := calendar.ParseCron(text, dublin)
		if err != nil {
			checkParseError(t, text, err)
			return
		}
		low, high := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)
		after := time.Unix(at, 0)
		if after.Before(low) || after.After(high) {
			after = low
		}
		if next, ok := c.Next(after); ok {
			if prev, okPrev := c.Prev(next.Add(1)); !next.After(after) || !okPrev || !prev.Equal(next) {
				t.Fatalf("%q: Next(%s) is %s, and before its end Prev is %s", text, after, next, prev)
			}
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90m", "1h30m", "1w2d", "1.5h", "-1h", "99999999999999999999w", "5", "", "1µs"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := calendar.ParseDuration(text)
		if err != nil {
			checkParseError(t, text, err)
			return
		}
		if again, err := calendar.ParseDuration(calendar.FormatDuration(d)); err != nil || again != d {
			t.Fatalf("%q is %s and was read back as %s, %v", text, d, again, err)
		}
	})
}

func FuzzNamedWindow(f *testing.F) {
	for _, seed := range []string{
		"2013-06-01", "2013-06-01T06:00", "2013-06-01T06:00:00Z", "2013-06-01/2013-07-01", "2013-06-01T00:00:00+14:00/2013-06-03",
		"/", "2013-06-01/", "9999-12-31", "0000-01-01", "0001-01-01/9999-12-31",
	} {
		f.Add(seed)
	}
	timetable := calendar.Timetable{Schedule: cron(f, "0 6 * * *", "America/New_York"), Alignment: calendar.Alignment{Unit: "day"}}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := timetable.NamedWindow(text)
		if err != nil {
			checkParseError(t, text, err)
			return
		}
		if w.Empty() {
			t.Fatalf("%q is the empty window %s", text, w)
		}
		if again, err := calendar.ParseWindow(w.String(), nil); err != nil || !again.Equal(w) {
			t.Fatalf("%q is %s and was read back as %s, %v", text, w, again, err)
		}
	})
}
