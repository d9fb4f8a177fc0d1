package calendar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// cron parses an expression or ends the test.
func cron(t testing.TB, expression, zoneName string) calendar.Cron {
	t.Helper()
	c, err := calendar.ParseCron(expression, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// utc reads an RFC 3339 time or ends the test.
func utc(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// next lists the first due times of a schedule after a moment.
func next(s calendar.Schedule, after time.Time, count int) []string {
	var found []string
	for range count {
		at, ok := s.Next(after)
		if !ok {
			return append(found, "never")
		}
		found = append(found, at.In(s.Zone()).Format("2006-01-02T15:04:05Z07:00"))
		after = at
	}
	return found
}

func TestClockChangesFollowTheRule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, zone, expression, after string
		want                          []string
	}{
		{
			"daily 02:30 happens once in spring, at the first instant after the gap",
			"America/New_York", "30 2 * * *", "2026-03-07T00:00:00Z",
			[]string{"2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"},
		},
		{
			"daily 01:30 happens once in autumn, at the first pass",
			"America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"},
		},
		{
			"hourly follows the clock in autumn, at each pass",
			"America/New_York", "0 * * * *", "2026-11-01T04:30:00Z",
			[]string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"},
		},
		{
			"hourly leaves the gap out in spring and loses no real hour",
			"America/New_York", "0 * * * *", "2026-03-08T05:30:00Z",
			[]string{"2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"},
		},
		{
			"an even hour inside the gap does not occur when hours have a step of a star",
			"America/New_York", "0 */2 * * *", "2026-03-08T04:30:00Z",
			[]string{"2026-03-08T00:00:00-05:00", "2026-03-08T04:00:00-04:00"},
		},
		{
			"listed hours that fall on one instant are one run",
			"America/New_York", "0,30 2,3 * * *", "2026-03-08T05:30:00Z",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00", "2026-03-09T02:00:00-04:00"},
		},
		{
			"half an hour of change leaves a longer hour",
			"Australia/Lord_Howe", "0 * * * *", "2026-04-04T13:30:00Z",
			[]string{"2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30"},
		},
		{
			"midnight inside a gap is the first instant of the date",
			"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		},
		{
			"a date that the zone skips does not occur",
			"Pacific/Apia", "0 6 * * *", "2011-12-29T00:00:00Z",
			[]string{"2011-12-29T06:00:00-10:00", "2011-12-31T06:00:00+14:00"},
		},
		{
			"a gap that ends on the next date still belongs to the date before",
			"America/Scoresbysund", "30 23 * * *", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T00:00:00-01:00", "2026-03-29T23:30:00-01:00"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := next(cron(t, test.expression, test.zone), utc(t, test.after), len(test.want))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%q in %s (-want +got):\n%s", test.expression, test.zone, diff)
			}
		})
	}
}

func TestExpressionsMeanWhatCronUsersExpect(t *testing.T) {
	t.Parallel()
	const after = "2026-01-01T00:00:00Z" // a Thursday
	tests := []struct {
		expression string
		want       []string
	}{
		{"@hourly", []string{"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}},
		{"@daily", []string{"2026-01-02T00:00:00Z"}},
		{"@Midnight", []string{"2026-01-02T00:00:00Z"}},
		{"@weekly", []string{"2026-01-04T00:00:00Z"}},
		{"@monthly", []string{"2026-02-01T00:00:00Z"}},
		{"@yearly", []string{"2027-01-01T00:00:00Z"}},
		{"@annually", []string{"2027-01-01T00:00:00Z"}},
		{" 5\t4  * * * ", []string{"2026-01-01T04:05:00Z"}},
		{"? ? ? ? ?", []string{"2026-01-01T00:01:00Z"}},
		{"0 0 * jan,MAR mon", []string{"2026-01-05T00:00:00Z"}},
		{"0 0 ? * 7", []string{"2026-01-04T00:00:00Z"}},
		{"0 0 * * FRI-SUN", []string{"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z"}},
		{"0 0 * * 5-7", []string{"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z"}},
		{"5/20 0 * * *", []string{"2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z", "2026-01-01T00:45:00Z", "2026-01-02T00:05:00Z"}},
		{"10-30/10 0 * * *", []string{"2026-01-01T00:10:00Z", "2026-01-01T00:20:00Z", "2026-01-01T00:30:00Z", "2026-01-02T00:10:00Z"}},
		{"0 0 L * *", []string{"2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"}},
		{"0 0 15,L 2 *", []string{"2026-02-15T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-15T00:00:00Z"}},
		{"0 0 * * 5L", []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"0 0 * * friL", []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"0 0 * * MON#2", []string{"2026-01-12T00:00:00Z", "2026-02-09T00:00:00Z"}},
		{"0 0 * * 7#5", []string{"2026-03-29T00:00:00Z", "2026-05-31T00:00:00Z"}},
		{"0 0 * * MON#1,WED", []string{"2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z", "2026-01-14T00:00:00Z"}},
		{"0 0 13 * FRI", []string{"2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"}},
		{"0 0 */2 * MON", []string{"2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z"}},
		{"0 0 29 2 *", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"0 0 29 2 */7", []string{"2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z", "2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"}},
	}
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			t.Parallel()
			got := next(cron(t, test.expression, "UTC"), utc(t, after), len(test.want))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrorsNameTheFieldAndThePlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expression, field, text string
		offset                  int
	}{
		{"", "expression", "", 0},
		{"* * * *", "expression", "* * * *", 0},
		{"0 0 0 * * *", "expression", "0 0 0 * * *", 0},
		{"TZ=UTC 0 0 * * *", "expression", "TZ=UTC 0 0 * * *", 0},
		{"@every 5m", "expression", "@every 5m", 0},
		{"@reboot", "expression", "@reboot", 0},
		{"60 * * * *", "minute", "60", 0},
		{"1,,2 * * * *", "minute", "", 2},
		{"-1 * * * *", "minute", "", 0},
		{"1.5 * * * *", "minute", "1.5", 0},
		{"0 24 * * *", "hour", "24", 2},
		{"0 5,8-26 * * *", "hour", "26", 6},
		{"0 22-2 * * *", "hour", "22-2", 2},
		{"0 */0 * * *", "hour", "0", 4},
		{"0 */25 * * *", "hour", "25", 4},
		{"0 */ * * *", "hour", "", 4},
		{"0 1/2/3 * * *", "hour", "2/3", 4},
		{"0 0 0 * *", "day of month", "0", 4},
		{"0 0 32 * *", "day of month", "32", 4},
		{"0 0 15W * *", "day of month", "15W", 4},
		{"0 0 L-3 * *", "day of month", "L-3", 4},
		{"0 0 30 2 *", "day of month", "30", 4},
		{"0 0 31 feb,apr,jun,sep,nov *", "day of month", "31", 4},
		{"0 0 */31 * MON#2", "day of month", "*/31", 4},
		{"0 0 1 13 *", "month", "13", 6},
		{"0 0 1 january *", "month", "january", 6},
		{"0 0 1 foo *", "month", "foo", 6},
		{"0 0 1 DEC-FEB *", "month", "DEC-FEB", 6},
		{"0 0 * * 8", "day of week", "8", 8},
		{"0 0 * * L", "day of week", "L", 8},
		{"0 0 * * MON#6", "day of week", "6", 12},
		{"0 0 * * XYZ#1", "day of week", "XYZ", 8},
		{"0 0 * * 9L", "day of week", "9", 8},
		{"0 0 * * FRI-MON", "day of week", "FRI-MON", 8},
		{"0 0 * * mon,montag", "day of week", "montag", 12},
	}
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			t.Parallel()
			_, err := calendar.ParseCron(test.expression, nil)
			found, ok := errors.AsType[*calendar.ParseError](err)
			if !ok {
				t.Fatalf("error is %v, not a ParseError", err)
			}
			if found.Field != test.field || found.Text != test.text || found.Offset != test.offset {
				t.Errorf("got %s %q at %d, want %s %q at %d", found.Field, found.Text, found.Offset, test.field, test.text, test.offset)
			}
			if found.Problem == "" || found.Remedy == "" {
				t.Errorf("problem %q and remedy %q must both be said", found.Problem, found.Remedy)
			}
		})
	}
}

func TestAReversedRangeIsToldHowToBeWritten(t *testing.T) {
	t.Parallel()
	_, err := calendar.ParseCron("0 22-2 * * *", nil)
	found, _ := errors.AsType[*calendar.ParseError](err)
	if want := "Write two ranges, 22-23,0-2."; found.Remedy != want {
		t.Errorf("remedy is %q, want %q", found.Remedy, want)
	}
}

func TestEveryCountsRealTimeFromItsAnchor(t *testing.T) {
	t.Parallel()
	newYork := zone(t, "America/New_York")
	every := func(period time.Duration, anchor time.Time) calendar.Every {
		e, err := calendar.NewEvery(period, anchor, newYork)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	got := next(every(6*time.Hour, time.Time{}), utc(t, "2026-03-08T00:00:00Z"), 3)
	want := []string{"2026-03-08T01:00:00-05:00", "2026-03-08T08:00:00-04:00", "2026-03-08T14:00:00-04:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from 1970 (-want +got):\n%s", diff)
	}
	anchored := every(7*time.Hour, utc(t, "2026-01-01T00:10:00Z"))
	if at, _ := anchored.Prev(utc(t, "2026-01-01T00:10:00Z")); !at.Equal(utc(t, "2025-12-31T17:10:00Z")) {
		t.Errorf("before the anchor it was due at %s", at)
	}
	if at, _ := anchored.Prev(utc(t, "2026-01-01T00:10:00.000001Z")); !at.Equal(utc(t, "2026-01-01T00:10:00Z")) {
		t.Errorf("just after the anchor the last due time is %s", at)
	}
	for _, period := range []time.Duration{0, -time.Hour, time.Millisecond, 1500 * time.Millisecond} {
		if _, err := calendar.NewEvery(period, time.Time{}, nil); err == nil {
			t.Errorf("an interval of %s was accepted", period)
		}
	}
}

func TestZeroValuesAreNeverDue(t *testing.T) {
	t.Parallel()
	for _, s := range []calendar.Schedule{calendar.Cron{}, calendar.Every{}, calendar.None{}, calendar.NewNone(nil)} {
		if at, ok := s.Next(utc(t, "2026-01-01T00:00:00Z")); ok {
			t.Errorf("%T is due at %s", s, at)
		}
		if at, ok := s.Prev(utc(t, "2026-01-01T00:00:00Z")); ok {
			t.Errorf("%T was due at %s", s, at)
		}
		if s.Zone() == nil || s.String() == "" {
			t.Errorf("%T has no zone or no name", s)
		}
	}
}
