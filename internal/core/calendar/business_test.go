package calendar_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

var saturdays = []time.Weekday{time.Saturday, time.Sunday}

func days(t testing.TB, weekend []time.Weekday, dates ...string) *calendar.Days {
	t.Helper()
	var holidays []calendar.Holiday
	for _, d := range dates {
		date, name, _ := strings.Cut(d, " ")
		holidays = append(holidays, calendar.Holiday{Date: date, Name: name})
	}
	d, err := calendar.NewDays("nyse", weekend, holidays)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func business(t testing.TB, cron, zone string, d *calendar.Days, rule calendar.Rule) calendar.Business {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	base, err := calendar.ParseCron(cron, location)
	if err != nil {
		t.Fatal(err)
	}
	b, err := calendar.NewBusiness(base, d, rule)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDaysOffAreLeftOutOrMoved(t *testing.T) {
	t.Parallel()
	christmas := days(t, saturdays, "2026-12-24 Christmas Eve", "2026-12-25 Christmas Day", "2027-01-01 New Year")
	const layout = "Mon 2006-01-02 15:04"
	for _, test := range []struct {
		cron string
		rule calendar.Rule
		from string
		want []string
	}{
		{"0 6 * * *", calendar.RuleSkip, "2026-12-23", []string{"Wed 2026-12-23 06:00", "Mon 2026-12-28 06:00", "Tue 2026-12-29 06:00"}},
		{"0 6 * * *", calendar.RuleNext, "2026-12-23", []string{"Wed 2026-12-23 06:00", "Mon 2026-12-28 06:00", "Tue 2026-12-29 06:00"}},
		{"0 6 * * *", calendar.RulePrevious, "2026-12-23", []string{"Wed 2026-12-23 06:00", "Mon 2026-12-28 06:00", "Tue 2026-12-29 06:00"}},
		{"0 6 L * *", calendar.RulePrevious, "2026-10-01", []string{"Fri 2026-10-30 06:00", "Mon 2026-11-30 06:00", "Thu 2026-12-31 06:00", "Fri 2027-01-29 06:00"}},
		{"0 6 L * *", calendar.RuleNext, "2026-10-01", []string{"Mon 2026-11-02 06:00", "Mon 2026-11-30 06:00", "Thu 2026-12-31 06:00", "Mon 2027-02-01 06:00"}},
		{"0 6 L * *", calendar.RuleSkip, "2026-10-01", []string{"Mon 2026-11-30 06:00", "Thu 2026-12-31 06:00", "Wed 2027-03-31 06:00"}},
		{"30 7,16 25 12 *", calendar.RuleNext, "2026-12-01", []string{"Mon 2026-12-28 07:30", "Mon 2026-12-28 16:30", "Mon 2027-12-27 07:30"}},
		{"30 7,16 25 12 *", calendar.RulePrevious, "2026-12-01", []string{"Wed 2026-12-23 07:30", "Wed 2026-12-23 16:30", "Fri 2027-12-24 07:30"}},
		{"0 */6 * * *", calendar.RuleSkip, "2026-12-23T18:00", []string{"Wed 2026-12-23 18:00", "Mon 2026-12-28 00:00"}},
	} {
		b := business(t, test.cron, "America/New_York", christmas, test.rule)
		from, err := calendar.ParseMoment(test.from, b.Zone())
		if err != nil {
			t.Fatal(err)
		}
		at := from.Add(-1)
		for i, want := range test.want {
			next, ok := b.Next(at)
			if got := next.In(b.Zone()).Format(layout); !ok || got != want {
				t.Errorf("%s, %s: due time %d is %s, want %s", test.cron, test.rule, i, got, want)
			}
			if i > 0 {
				if back, ok := b.Prev(next); !ok || !back.Equal(at) {
					t.Errorf("%s, %s: before %s comes %s, want %s", test.cron, test.rule, want, back, at)
				}
			}
			at = next
		}
	}
}

// The oracle walks over the local dates of two years, and never searches.
func TestBusinessDaysAgreeWithWalkingOverEveryDate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "America/New_York", "America/Sao_Paulo"}).Draw(rt, "zone"))
		if err != nil {
			rt.Fatal(err)
		}
		text := rapid.SampledFrom([]string{"0 6 * * *", "0 0 * * *", "30 23,1 * * *", "0 6 L * *", "15 2 1,15 * *", "0 6 * * MON#1", "59 23 25 12 *", "*/30 0,1,2 * * SUN"}).Draw(rt, "cron")
		rule := rapid.SampledFrom([]calendar.Rule{calendar.RuleSkip, calendar.RuleNext, calendar.RulePrevious}).Draw(rt, "rule")
		base, err := calendar.ParseCron(text, zone)
		if err != nil {
			rt.Fatal(err)
		}
		first := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
		off := map[string]bool{}
		var holidays []calendar.Holiday
		for _, n := range rapid.SliceOfN(rapid.IntRange(-400, 1100), 0, 60).Draw(rt, "holidays") {
			date := first.AddDate(0, 0, n).Format(time.DateOnly)
			off[date], holidays = true, append(holidays, calendar.Holiday{Date: date})
		}
		weekend := rapid.SliceOfNDistinct(rapid.SampledFrom([]time.Weekday{0, 1, 2, 3, 4, 5, 6}), 0, 6, func(w time.Weekday) time.Weekday { return w }).Draw(rt, "weekend")
		d, err := calendar.NewDays("c", weekend, holidays)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := calendar.NewBusiness(base, d, rule)
		if err != nil {
			rt.Fatal(err)
		}
		open := func(date time.Time) bool {
			return !off[date.Format(time.DateOnly)] && !slices.Contains(weekend, date.Weekday())
		}
		var want []time.Time
		for at, ok := base.Next(first); ok && at.Before(first.AddDate(2, 0, 0)); at, ok = base.Next(at) {
			local := at.In(zone)
			date := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
			moved, due := 0, at
			for !open(date) && rule != calendar.RuleSkip {
				moved++
				date = date.AddDate(0, 0, map[calendar.Rule]int{calendar.RuleNext: 1, calendar.RulePrevious: -1}[rule])
			}
			switch {
			case !open(date):
				continue
			case moved > 0:
				if due, err = calendar.ParseMoment(fmt.Sprintf("%sT%s", date.Format(time.DateOnly), local.Format("15:04:05")), zone); err != nil {
					continue
				}
			}
			want = append(want, due.UTC())
		}
		slices.SortFunc(want, time.Time.Compare)
		want = slices.CompactFunc(want, time.Time.Equal)
		margin := first.AddDate(0, 1, 0) // what a neighbour beyond the edge moves here is not in the oracle
		inside := func(at time.Time) bool {
			return at.After(margin) && at.Before(first.AddDate(2, -1, 0))
		}
		var got, back []time.Time
		for at, ok := b.Next(margin); ok && inside(at); at, ok = b.Next(at) {
			if len(got) > 0 && !at.After(got[len(got)-1]) {
				rt.Fatalf("after %s comes %s", got[len(got)-1], at)
			}
			got = append(got, at)
		}
		for at, ok := b.Prev(first.AddDate(2, -1, 0)); ok && inside(at); at, ok = b.Prev(at) {
			if len(back) > 0 && !at.Before(back[len(back)-1]) {
				rt.Fatalf("before %s comes %s", back[len(back)-1], at)
			}
			back = append(back, at)
		}
		slices.Reverse(back)
		want = slices.DeleteFunc(want, func(at time.Time) bool { return !inside(at) })
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			rt.Fatalf("forward %v\nwant    %v", got, want)
		}
		if !slices.EqualFunc(back, want, time.Time.Equal) {
			rt.Fatalf("backward %v\nwant     %v", back, want)
		}
	})
}

func TestCalendarsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := calendar.NewDays("x", []time.Weekday{0, 1, 2, 3, 4, 5, 6}, nil); err == nil || !strings.Contains(calendar.Explain(err), "every day of the week is a day off") {
		t.Errorf("a week of days off: %v", err)
	}
	if _, err := calendar.NewDays("x", saturdays, []calendar.Holiday{{Date: "2026-02-30"}}); err == nil || !strings.Contains(calendar.Explain(err), "2026-02-30") {
		t.Errorf("a day that is none: %v", err)
	}
	d := days(t, saturdays)
	every, err := calendar.NewEvery(time.Hour, time.Time{}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	running, err := calendar.ParseCron("0 * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for name, schedule := range map[string]calendar.Schedule{"an interval": every, "running hours": running} {
		if _, err := calendar.NewBusiness(schedule, d, calendar.RuleNext); err == nil {
			t.Errorf("%s can be moved", name)
		}
		if _, err := calendar.NewBusiness(schedule, d, calendar.RuleSkip); err != nil {
			t.Errorf("%s cannot be held back: %v", name, err)
		}
	}
	if _, err := calendar.NewBusiness(calendar.NewNone(time.UTC), d, calendar.RuleSkip); err == nil {
		t.Error("no schedule can be held back")
	}
}

func TestADayThatIsAlwaysOffIsNeverDue(t *testing.T) {
	t.Parallel()
	for _, rule := range []calendar.Rule{calendar.RuleSkip, calendar.RuleNext} {
		b := business(t, "0 6 * * SUN", "UTC", days(t, saturdays), rule)
		_, ok := b.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if ok != (rule == calendar.RuleNext) {
			t.Errorf("%s: Sundays are due: %v", rule, ok)
		}
	}
}

func TestTheWindowAfterDaysOffCoversThem(t *testing.T) {
	t.Parallel()
	b := business(t, "0 6 * * *", "UTC", days(t, saturdays, "2026-12-25 Christmas Day"), calendar.RuleSkip)
	table := calendar.Timetable{Schedule: b, Alignment: calendar.Alignment{Unit: calendar.UnitDay}}
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
	o, ok := table.Next(time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC))
	if want := "2026-12-24T00:00:00Z/2026-12-28T00:00:00Z"; !ok || o.Window.String() != want {
		t.Errorf("the window is %s, want %s", o.Window, want)
	}
	if got, want := table.Note(time.Date(2026, 12, 24, 6, 0, 0, 0, time.UTC), o), "not due: Christmas Day, weekend"; got != want {
		t.Errorf("the note is %q, want %q", got, want)
	}
}
