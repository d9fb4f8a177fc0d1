package calendar_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the same zone data on every machine

	"github.com/tidemill/tidemill/internal/core/calendar"
)

//go:embed testdata/zones.txt
var zoneNames []byte

// zone loads a zone or ends the test.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loaded, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// allZones loads every zone of the list.
func allZones(t testing.TB) []*time.Location {
	t.Helper()
	var zones []*time.Location
	for lines := bufio.NewScanner(bytes.NewReader(zoneNames)); lines.Scan(); {
		zones = append(zones, zone(t, lines.Text()))
	}
	return zones
}

// rule is an expression together with its meaning, said a second time by hand.
type rule struct {
	expression string
	minute     func(minute int) bool
	hour       func(hour int) bool
	day        func(date time.Time) bool
	running    bool
}

func any1(int) bool          { return true }
func anyDate(time.Time) bool { return true }
func exactly(n int, more ...int) func(int) bool {
	return func(value int) bool { return value == n || slices.Contains(more, value) }
}

var rules = []rule{
	{"30 2 * * *", exactly(30), exactly(2), anyDate, false},
	{"30 1 * * *", exactly(30), exactly(1), anyDate, false},
	{"0 0 * * *", exactly(0), exactly(0), anyDate, false},
	{"59 23 * * *", exactly(59), exactly(23), anyDate, false},
	{"0 * * * *", exactly(0), any1, anyDate, true},
	{"*/20 * * * *", exactly(0, 20, 40), any1, anyDate, true},
	{"30 */2 * * *", exactly(30), func(h int) bool { return h%2 == 0 }, anyDate, true},
	{"10 5,*/24 * * *", exactly(10), exactly(0, 5), anyDate, true},
	{"15,45 0-3 * * *", exactly(15, 45), func(h int) bool { return h <= 3 }, anyDate, false},
	{"*/25 22,23,0 * * MON-FRI", exactly(0, 25, 50), exactly(22, 23, 0), func(d time.Time) bool {
		return d.Weekday() != time.Saturday && d.Weekday() != time.Sunday
	}, false},
	{"5 1 1,15 * SUN", exactly(5), exactly(1), func(d time.Time) bool {
		return d.Day() == 1 || d.Day() == 15 || d.Weekday() == time.Sunday
	}, false},
	{"5 * */2 * SUN", exactly(5), any1, func(d time.Time) bool {
		return d.Day()%2 == 1 && d.Weekday() == time.Sunday
	}, true},
	{"0 2 L * *", exactly(0), exactly(2), func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 }, false},
	{"30 2 * * SUN#2", exactly(30), exactly(2), func(d time.Time) bool {
		return d.Weekday() == time.Sunday && d.Day() > 7 && d.Day() <= 14
	}, false},
	{"30 */1 * 3,10 0L", exactly(30), any1, func(d time.Time) bool {
		return (d.Month() == 3 || d.Month() == 10) && d.Weekday() == time.Sunday && d.AddDate(0, 0, 7).Month() != d.Month()
	}, true},
}

// change is an offset change of some zone, with the instants around it at which offsets change too.
type change struct {
	zone *time.Location
	at   time.Time
}

const day = 24 * time.Hour

// changes lists the offset changes of all zones from 1990 to 2037, one of each kind:
// two zones whose clocks do the same thing around the same instant are one.
func changes(t testing.TB, zones []*time.Location) []change {
	t.Helper()
	seen := map[string]bool{}
	var found []change
	for _, z := range zones {
		var own []time.Time
		for at := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2038; {
			_, end := at.In(z).ZoneBounds()
			if end.IsZero() || !end.After(at) {
				break
			}
			_, before := end.Add(-time.Second).In(z).Zone()
			if _, after := end.In(z).Zone(); before != after {
				own = append(own, end.UTC())
			}
			at = end
		}
		for i, at := range own {
			key := ""
			for _, near := range own[max(0, i-3):min(len(own), i+4)] {
				if near.Sub(at).Abs() < 8*day {
					_, before := near.Add(-time.Second).In(z).Zone()
					_, after := near.In(z).Zone()
					key += fmt.Sprint(near.Unix(), before, after, ";")
				}
			}
			if !seen[key] {
				seen[key] = true
				found = append(found, change{z, at})
			}
		}
	}
	return found
}

// minutes is what a local clock shows, minute by minute. A reading is counted
// in minutes since 1970 as if the zone were UTC.
type minutes struct {
	first   time.Time // of the instants
	shown   []int     // reading at each minute
	lowest  int       // smallest reading
	appears []int     // minute at which a reading, less the lowest, first appears; -1: never
}

func watch(z *time.Location, from, until time.Time) minutes {
	m := minutes{first: from}
	highest := 0
	for at := from; at.Before(until); at = at.Add(time.Minute) {
		local := at.In(z)
		year, month, date := local.Date()
		hour, minute, _ := local.Clock()
		reading := int(time.Date(year, month, date, hour, minute, 0, 0, time.UTC).Unix() / 60)
		m.shown = append(m.shown, reading)
		if m.lowest == 0 || reading < m.lowest {
			m.lowest = reading
		}
		highest = max(highest, reading)
	}
	m.appears = slices.Repeat([]int{-1}, highest-m.lowest+1)
	for i, reading := range m.shown {
		if m.appears[reading-m.lowest] < 0 {
			m.appears[reading-m.lowest] = i
		}
	}
	return m
}

const minutesPerDay = 24 * 60

// dates lists the dates that the clock shows at any minute, as days since 1970.
func (m minutes) dates() []int {
	var found []int
	for i, at := range m.appears {
		if date := (i + m.lowest) / minutesPerDay; at >= 0 && !slices.Contains(found, date) {
			found = append(found, date)
		}
	}
	return found
}

func dateOf(days int) time.Time { return time.Unix(int64(days)*24*60*60, 0).UTC() }

// due lists the due instants of a rule among the watched minutes.
func (m minutes) due(r rule) []time.Time {
	var found []int
	if r.running {
		for i, reading := range m.shown {
			inDay := reading % minutesPerDay
			if r.minute(inDay%60) && r.hour(inDay/60) && r.day(dateOf(reading/minutesPerDay)) {
				found = append(found, i)
			}
		}
		return m.instants(found)
	}
	for _, date := range m.dates() {
		if !r.day(dateOf(date)) {
			continue
		}
		for minute := range minutesPerDay {
			if !r.hour(minute/60) || !r.minute(minute%60) {
				continue
			}
			if index := m.reaches(date*minutesPerDay + minute); index >= 0 {
				found = append(found, index)
			}
		}
	}
	return m.instants(found)
}

// reaches returns the minute at which a reading first appears, or at which the clock jumps over it.
func (m minutes) reaches(reading int) int {
	if reading < m.lowest || reading >= m.lowest+len(m.appears) {
		return -1 // outside of what was watched
	}
	if at := m.appears[reading-m.lowest]; at >= 0 {
		return at
	}
	return slices.IndexFunc(m.shown, func(shown int) bool { return shown > reading })
}

func (m minutes) instants(indexes []int) []time.Time {
	slices.Sort(indexes)
	var found []time.Time
	for _, index := range slices.Compact(indexes) {
		found = append(found, m.first.Add(time.Duration(index)*time.Minute))
	}
	return found
}

func TestEveryOffsetChangeOfEveryZoneAgreesWithWatchingTheClock(t *testing.T) {
	t.Parallel()
	found := changes(t, allZones(t))
	t.Logf("%d distinct changes of clocks", len(found))
	if len(found) < 1000 {
		t.Fatalf("only %d changes were found, so the zone data are not what this test is about", len(found))
	}
	step := 1
	if testing.Short() {
		step = 20
	}
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprintf("part %d", part), func(t *testing.T) {
			t.Parallel()
			for i := part * step; i < len(found); i += parts * step {
				compareAround(t, found[i])
			}
		})
	}
}

func compareAround(t *testing.T, c change) {
	t.Helper()
	seen := watch(c.zone, c.at.Add(-5*day), c.at.Add(5*day))
	low, high := c.at.Add(-3*day), c.at.Add(3*day)
	for _, r := range rules {
		cron, err := calendar.ParseCron(r.expression, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		var want []time.Time
		for _, at := range seen.due(r) {
			if at.After(low) && at.Before(high) {
				want = append(want, at)
			}
		}
		var forward, backward []time.Time
		for at, ok := cron.Next(low); ok && at.Before(high); at, ok = cron.Next(at) {
			forward = append(forward, at)
		}
		for at, ok := cron.Prev(high); ok && at.After(low); at, ok = cron.Prev(at) {
			backward = append(backward, at)
		}
		slices.Reverse(backward)
		if !slices.EqualFunc(forward, want, time.Time.Equal) {
			t.Errorf("%q in %s around %s\n  Next: %s\n  want: %s", r.expression, c.zone, c.at, list(forward), list(want))
		}
		compareFrom(t, cron, c, want)
		if !slices.EqualFunc(backward, want, time.Time.Equal) {
			t.Errorf("%q in %s around %s\n  Prev: %s\n  want: %s", r.expression, c.zone, c.at, list(backward), list(want))
		}
	}
}

// compareFrom asks from moments that are not due themselves, above all within repeated stretches.
func compareFrom(t *testing.T, cron calendar.Cron, c change, want []time.Time) {
	t.Helper()
	for from := c.at.Add(-3 * time.Hour); from.Before(c.at.Add(3 * time.Hour)); from = from.Add(13 * time.Minute) {
		after := slices.IndexFunc(want, func(at time.Time) bool { return at.After(from) })
		if after >= 0 {
			if at, ok := cron.Next(from); !ok || !at.Equal(want[after]) {
				t.Errorf("%s around %s: Next(%s) is %s, want %s", cron, c.at, from, at, want[after])
			}
		}
		before := after - 1
		if after < 0 {
			before = len(want) - 1
		}
		if before >= 0 {
			// A nanosecond makes "at or before" of "before".
			if at, ok := cron.Prev(from.Add(1)); !ok || !at.Equal(want[before]) {
				t.Errorf("%s around %s: Prev(%s) is %s, want %s", cron, c.at, from, at, want[before])
			}
		}
	}
}

func list(moments []time.Time) string {
	var text []string
	for _, at := range moments {
		text = append(text, at.UTC().Format("01-02T15:04Z"))
	}
	return strings.Join(text, " ")
}
