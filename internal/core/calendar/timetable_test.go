package calendar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

func local(t testing.TB, text, zoneName string) time.Time {
	t.Helper()
	at, err := calendar.ParseMoment(text, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

const newYork = "America/New_York"

// shown writes occurrences in local time, "due: start..end".
func shown(t testing.TB, timetable calendar.Timetable, after time.Time, count int) []string {
	t.Helper()
	var lines []string
	format := func(at time.Time) string { return at.In(timetable.Zone()).Format("01-02T15:04") }
	for o := range timetable.All(after) {
		if len(lines) == count {
			break
		}
		lines = append(lines, format(o.Due)+": "+format(o.Window.Start)+".."+format(o.Window.End))
	}
	return lines
}

func TestWindowsAreAlignedToLocalUnits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, expression string
		alignment        calendar.Alignment
		start, end       string
		after            string
		want             []string
	}{
		{
			name: "without alignment a window ends when it is due", expression: "0 6 * * *", after: "2026-01-01T00:00",
			want: []string{"01-01T06:00: 12-31T06:00..01-01T06:00", "01-02T06:00: 01-01T06:00..01-02T06:00"},
		},
		{
			name: "a daily run loads yesterday", expression: "0 6 * * *", alignment: calendar.Alignment{Unit: "day"}, after: "2026-03-07T00:00",
			want: []string{"03-07T06:00: 03-06T00:00..03-07T00:00", "03-08T06:00: 03-07T00:00..03-08T00:00", "03-09T06:00: 03-08T00:00..03-09T00:00"},
		},
		{
			name: "a shift looks at the day that begins", expression: "30 6 * * *", alignment: calendar.Alignment{Unit: "day", Shift: 1}, after: "2026-03-07T00:00",
			want: []string{"03-07T06:30: 03-07T00:00..03-08T00:00", "03-08T06:30: 03-08T00:00..03-09T00:00"},
		},
		{
			name: "a sparse schedule takes several units", expression: "0 6 * * MON", alignment: calendar.Alignment{Unit: "day"}, after: "2026-01-04T00:00",
			want: []string{"01-05T06:00: 12-29T00:00..01-05T00:00", "01-12T06:00: 01-05T00:00..01-12T00:00"},
		},
		{
			name: "weeks begin on Monday", expression: "0 6 * * WED", alignment: calendar.Alignment{Unit: "week"}, after: "2026-01-05T00:00",
			want: []string{"01-07T06:00: 12-29T00:00..01-05T00:00", "01-14T06:00: 01-05T00:00..01-12T00:00"},
		},
		{
			name: "months have their own lengths", expression: "0 6 3 * *", alignment: calendar.Alignment{Unit: "month", Shift: -1}, after: "2026-03-01T00:00",
			want: []string{"03-03T06:00: 01-01T00:00..02-01T00:00", "04-03T06:00: 02-01T00:00..03-01T00:00"},
		},
		{
			name: "hours", expression: "7 * * * *", alignment: calendar.Alignment{Unit: "hour"}, after: "2026-11-01T00:10",
			want: []string{"11-01T01:07: 11-01T00:00..11-01T01:00", "11-01T01:07: 11-01T01:00..11-01T01:00", "11-01T02:07: 11-01T01:00..11-01T02:00"},
		},
		{
			name: "the first window begins at the start", expression: "0 6 * * *", start: "2026-01-01", after: "2025-06-01T00:00",
			want: []string{"01-01T06:00: 01-01T00:00..01-01T06:00", "01-02T06:00: 01-01T06:00..01-02T06:00"},
		},
		{
			name: "bounds are about data: each day from start to end gets its run", expression: "0 6 * * *", alignment: calendar.Alignment{Unit: "day"},
			start: "2026-01-01", end: "2026-01-03", after: "2025-06-01T00:00",
			want: []string{"01-02T06:00: 01-01T00:00..01-02T00:00", "01-03T06:00: 01-02T00:00..01-03T00:00"},
		},
		{
			name: "without alignment nothing is due after the end", expression: "0 6 * * *", end: "2026-01-02T06:00", after: "2026-01-01T12:00",
			want: []string{"01-02T06:00: 01-01T06:00..01-02T06:00"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timetable := calendar.Timetable{Schedule: cron(t, test.expression, newYork), Alignment: test.alignment}
			if test.start != "" {
				timetable.Start = local(t, test.start, newYork)
			}
			if test.end != "" {
				timetable.End = local(t, test.end, newYork)
			}
			if err := timetable.Check(); err != nil {
				t.Fatal(err)
			}
			count := len(test.want)
			if test.end != "" {
				count++ // one more must not come
			}
			got := shown(t, timetable, local(t, test.after, newYork), count)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheNextWindowStartsAtTheMark(t *testing.T) {
	t.Parallel()
	daily := calendar.Timetable{Schedule: cron(t, "0 6 * * *", newYork), Alignment: calendar.Alignment{Unit: "day"}}
	mark, now := local(t, "2026-05-04T10:00", newYork), local(t, "2026-05-04T10:20", newYork)
	got, ok := daily.From(mark, now)
	want := calendar.Occurrence{
		Due:    local(t, "2026-05-05T06:00", newYork),
		Window: calendar.Window{Start: mark, End: local(t, "2026-05-05", newYork)},
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A mark in the future, left by a shift of one day: the first due time after
	// which the window would not be empty.
	ahead := local(t, "2026-05-06", newYork)
	got, ok = daily.From(ahead, now)
	if wantDue := local(t, "2026-05-07T06:00", newYork); !ok || !got.Due.Equal(wantDue) {
		t.Errorf("due %s, want %s", got.Due, wantDue)
	}
	if w, ok := daily.WindowFrom(ahead, local(t, "2026-05-06T06:00", newYork)); ok {
		t.Errorf("the window %s was not called empty", w)
	}
}

func TestSkippedDatesAreNoUnits(t *testing.T) {
	t.Parallel()
	for _, shift := range []int{-2, -1, 0, 1, 2} {
		timetable := calendar.Timetable{Schedule: cron(t, "0 6 * * *", "Pacific/Apia"), Alignment: calendar.Alignment{Unit: "day", Shift: shift}}
		count := 0
		for o := range timetable.All(utc(t, "2011-12-25T00:00:00Z")) {
			if length := o.Window.End.Sub(o.Window.Start); length != 24*time.Hour {
				t.Errorf("shift %d: the window %s has %s", shift, o.Window, length)
			}
			if count++; count == 12 {
				break
			}
		}
	}
}

func TestCheckRefusesEmptyWindows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expression string
		unit       calendar.Unit
		empty      bool
	}{
		{"0 * * * *", calendar.UnitNone, false},
		{"* * * * *", calendar.UnitNone, false},
		{"0 * * * *", calendar.UnitHour, false},
		{"0,30 * * * *", calendar.UnitHour, true},
		{"0 * * * *", calendar.UnitDay, true},
		{"0 6,18 * * *", calendar.UnitDay, true},
		{"0 6 * * *", calendar.UnitDay, false},
		{"0 6 * * *", calendar.UnitWeek, true},
		{"0 6 * * MON,TUE", calendar.UnitWeek, true},
		{"0 6 * * MON", calendar.UnitWeek, false},
		{"0 6 * * SUN", calendar.UnitWeek, false},
		{"0 6 1 * *", calendar.UnitWeek, false},
		{"0 6 1,8 * *", calendar.UnitWeek, false},
		{"0 6 1,6 * *", calendar.UnitWeek, true},
		{"0 6 1 * *", calendar.UnitMonth, false},
		{"0 6 L * *", calendar.UnitMonth, false},
		{"0 6 28,L 2 *", calendar.UnitMonth, true}, // 28 and 29 February of a leap year
		{"0 6 * * MON#1", calendar.UnitMonth, false},
		{"0 6 * * MON", calendar.UnitMonth, true},
	}
	for _, test := range tests {
		timetable := calendar.Timetable{Schedule: cron(t, test.expression, newYork), Alignment: calendar.Alignment{Unit: test.unit}}
		err := timetable.Check()
		found, ok := errors.AsType[*calendar.EmptyWindowError](err)
		if ok != test.empty || (err != nil) != test.empty {
			t.Errorf("%q with %q: %v", test.expression, test.unit, err)
		}
		if ok && (found.First == "" || found.Remedy == "") {
			t.Errorf("%q with %q: the error does not help: %+v", test.expression, test.unit, found)
		}
	}
	for period, empty := range map[time.Duration]bool{time.Hour: true, 24 * time.Hour: true, 25 * time.Hour: false} {
		// Counted from local midnight, 24 hours meet the autumn day of 25 hours twice.
		every, err := calendar.NewEvery(period, local(t, "2026-01-01T00:30", "America/New_York").Add(time.Hour*-1), zone(t, newYork))
		if err != nil {
			t.Fatal(err)
		}
		timetable := calendar.Timetable{Schedule: every, Alignment: calendar.Alignment{Unit: calendar.UnitDay}}
		if err := timetable.Check(); (err != nil) != empty {
			t.Errorf("every %s: %v", period, err)
		}
	}
}

func TestCheckRefusesImpossibleAlignments(t *testing.T) {
	t.Parallel()
	daily := cron(t, "0 6 * * *", newYork)
	for name, timetable := range map[string]calendar.Timetable{
		"a shift without a unit":     {Schedule: daily, Alignment: calendar.Alignment{Shift: 1}},
		"an unknown unit":            {Schedule: daily, Alignment: calendar.Alignment{Unit: "year"}},
		"a huge shift":               {Schedule: daily, Alignment: calendar.Alignment{Unit: "day", Shift: 100000}},
		"an alignment of no windows": {Schedule: calendar.NewNone(nil), Alignment: calendar.Alignment{Unit: "day"}},
		"an end before the start":    {Schedule: daily, Start: utc(t, "2026-01-02T00:00:00Z"), End: utc(t, "2026-01-01T00:00:00Z")},
	} {
		if _, ok := errors.AsType[*calendar.ParseError](timetable.Check()); !ok {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestLatestIsTheNewestCompleteWindow(t *testing.T) {
	t.Parallel()
	day := calendar.Alignment{Unit: "day"}
	tests := []struct {
		name      string
		timetable calendar.Timetable
		now, want string
	}{
		{"at the due time itself", calendar.Timetable{Schedule: cron(t, "0 6 * * *", "UTC")}, "2026-01-02T06:00:00Z", "2026-01-01T06:00:00Z/2026-01-02T06:00:00Z"},
		{"just before it", calendar.Timetable{Schedule: cron(t, "0 6 * * *", "UTC")}, "2026-01-02T05:59:59Z", "2025-12-31T06:00:00Z/2026-01-01T06:00:00Z"},
		{"aligned", calendar.Timetable{Schedule: cron(t, "0 6 * * *", "UTC"), Alignment: day}, "2026-01-02T07:00:00Z", "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"},
		{"when several due times share one end", calendar.Timetable{Schedule: cron(t, "0 6,18 * * *", "UTC"), Alignment: day}, "2026-01-02T19:00:00Z", "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"},
		{"long after the end", calendar.Timetable{Schedule: cron(t, "0 6 * * *", "UTC"), Alignment: day, End: utc(t, "2014-01-01T00:00:00Z")}, "2026-01-02T07:00:00Z", "2013-12-31T00:00:00Z/2014-01-01T00:00:00Z"},
		{"before the start", calendar.Timetable{Schedule: cron(t, "0 6 * * *", "UTC"), Start: utc(t, "2027-01-01T00:00:00Z")}, "2026-01-02T07:00:00Z", ""},
	}
	for _, test := range tests {
		got, ok := test.timetable.Latest(utc(t, test.now))
		if text := got.Window.String(); ok != (test.want != "") || ok && text != test.want {
			t.Errorf("%s: %v %s, want %q", test.name, ok, text, test.want)
		}
	}
}

func TestANamedWindowIsFoundByItsStart(t *testing.T) {
	t.Parallel()
	daily := calendar.Timetable{Schedule: cron(t, "0 6 * * *", newYork), Alignment: calendar.Alignment{Unit: "day"}}
	plain := calendar.Timetable{Schedule: cron(t, "0 6 * * *", newYork)}
	hourly := calendar.Timetable{Schedule: cron(t, "0 * * * *", newYork)}
	manual := calendar.Timetable{Schedule: calendar.NewNone(zone(t, newYork))}
	tests := []struct {
		timetable  calendar.Timetable
		text, want string // no want: an error
	}{
		{daily, "2013-06-01", "2013-06-01T04:00:00Z/2013-06-02T04:00:00Z"},
		{daily, "2013-03-10", "2013-03-10T05:00:00Z/2013-03-11T04:00:00Z"},
		{daily, "2013-06-01T04:00:00Z", "2013-06-01T04:00:00Z/2013-06-02T04:00:00Z"},
		{daily, "2013-06-01T05:00:00Z", ""},
		{daily, "2013-06-01/2013-07-01", "2013-06-01T04:00:00Z/2013-07-01T04:00:00Z"},
		{plain, "2013-06-01", "2013-06-01T10:00:00Z/2013-06-02T10:00:00Z"},
		{hourly, "2013-06-01", ""},
		{hourly, "2013-06-01T07:00", "2013-06-01T11:00:00Z/2013-06-01T12:00:00Z"},
		{manual, "2013-06-01", "2013-06-01T04:00:00Z/2013-06-02T04:00:00Z"},
		{manual, "2013-06-01T04:00:00Z", ""},
		{manual, "2013-06-01T04:00:00Z/2013-06-01T05:00:00Z", "2013-06-01T04:00:00Z/2013-06-01T05:00:00Z"},
		{daily, "2013-06-31", ""},
		{daily, "yesterday", ""},
		{daily, "2013-06-02/2013-06-01", ""},
		{daily, "2013-06-02/2013-06-02", ""},
		{daily, "2013-06-02/", ""},
	}
	for _, test := range tests {
		got, err := test.timetable.NamedWindow(test.text)
		if test.want == "" {
			if found, ok := errors.AsType[*calendar.ParseError](err); !ok || found.Remedy == "" {
				t.Errorf("%s %q: got %s, %v", test.timetable, test.text, got, err)
			}
			continue
		}
		if err != nil || got.String() != test.want {
			t.Errorf("%s %q: got %s, %v, want %s", test.timetable, test.text, got, err, test.want)
		}
	}
	apia := calendar.Timetable{Schedule: cron(t, "0 6 * * *", "Pacific/Apia")}
	if w, err := apia.NamedWindow("2011-12-30"); err == nil {
		t.Errorf("the date that Apia skipped has the window %s", w)
	}
}

func TestDurationsReadAndWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "6h": 6 * time.Hour, "2d": 48 * time.Hour, "1h30m": 90 * time.Minute,
		"1w": 7 * 24 * time.Hour, "1w2d3h4m5s": 9*24*time.Hour + 3*time.Hour + 4*time.Minute + 5*time.Second, "0s": 0,
	} {
		if got, err := calendar.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]struct {
		text   string
		offset int
	}{
		"": {"", 0}, "5": {"5", 0}, "m": {"m", 0}, "1h30": {"30", 2}, "5 m": {" m", 1}, "1.5h": {".5h", 1}, "-1h": {"-1h", 0},
		"5x": {"x", 1}, "30m1h": {"h", 4}, "1h1h": {"h", 3}, "99999999w": {"99999999w", 0}, "1w9999999999999999999s": {"9999999999999999999", 2},
	} {
		_, err := calendar.ParseDuration(text)
		found, ok := errors.AsType[*calendar.ParseError](err)
		if !ok || found.Text != want.text || found.Offset != want.offset || found.Remedy == "" {
			t.Errorf("%q: %+v", text, err)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Minute: "1h30m", 7 * 24 * time.Hour: "7d", 25 * time.Hour: "1d1h", time.Millisecond: "1ms", -time.Hour: "-1h0m0s",
	} {
		if got := calendar.FormatDuration(d); got != want {
			t.Errorf("%d is written %q, want %q", d, got, want)
		}
	}
}
