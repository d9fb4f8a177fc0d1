package calendar_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// tableZone makes a zone of one transition followed by a rule, as compact zone data have it.
func tableZone(t *testing.T, transition time.Time, before, after time.Duration, rule string) *time.Location {
	t.Helper()
	var data bytes.Buffer
	put := func(values ...any) {
		for _, value := range values {
			if err := binary.Write(&data, binary.BigEndian, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	header := func(transitions, types int32) {
		data.WriteString("TZif2")
		data.Write(make([]byte, 15))
		// Counts: UT flags, standard flags, leap seconds, transitions, types, letters.
		put([]int32{0, 0, 0, transitions, types, 4})
	}
	kind := func(offset time.Duration) { put(int32(offset/time.Second), uint8(0), uint8(0)) }
	header(0, 1) // the old 32 bit part, which readers of version 2 pass over
	kind(before)
	data.WriteString("AAA\x00")
	header(1, 2)
	put(transition.Unix(), uint8(1))
	kind(before)
	kind(after)
	data.WriteString("AAA\x00\n" + rule + "\n")
	loaded, err := time.LoadLocationFromTZData("Test/Table", data.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestARuleIsNotTrustedBeforeTheTableEnds(t *testing.T) {
	t.Parallel()
	// Until 1 June 2020 the clock showed UTC, afterwards a zone one hour ahead
	// with summer time, which by its rule alone would have begun in March.
	june := time.Date(2020, 6, 1, 0, 0, 0, 0, time.UTC)
	z := tableZone(t, june, 0, 2*time.Hour, "<+01>-1<+02>,M3.5.0,M10.5.0/3")
	for at := june.Add(-100 * day); at.Before(june.Add(200 * day)); at = at.Add(10 * day) {
		compareAround(t, change{z, at})
	}
	compareAround(t, change{z, june})
	hourly, err := calendar.ParseCron("0 */12 * * *", z)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := hourly.Prev(time.Date(2020, 6, 1, 5, 0, 0, 0, time.UTC))
	for range 3 {
		at, _ = hourly.Prev(at)
	}
	if want := time.Date(2020, 5, 30, 0, 0, 0, 0, time.UTC); !at.Equal(want) {
		t.Errorf("the fourth due time back is %s, want %s", at, want)
	}
}

func TestTheLastDayOfADistantLeapYearIsADayLikeOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"America/New_York", "Europe/Dublin", "Australia/Lord_Howe"} {
		for _, year := range []int{2040, 2044, 2096, 2400} {
			compareAround(t, change{zone(t, name), time.Date(year, 12, 31, 12, 0, 0, 0, time.UTC)})
		}
	}
}

func TestTimesBeforeStandardTimeHaveSeconds(t *testing.T) {
	t.Parallel()
	// Amsterdam was 19 minutes and 32 seconds ahead until 1937.
	amsterdam := time.FixedZone("AMT", 19*60+32)
	hourly, err := calendar.ParseCron("0 * * * *", amsterdam)
	if err != nil {
		t.Fatal(err)
	}
	got := next(hourly, utc(t, "1910-01-01T00:00:00Z"), 2)
	if diff := cmp.Diff([]string{"1910-01-01T01:00:00+00:19", "1910-01-01T02:00:00+00:19"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at, _ := hourly.Next(utc(t, "1910-01-01T00:00:00Z")); at.Second() != 28 {
		t.Errorf("due at %s", at)
	}
}

func TestADateThatHasBegunStaysBegun(t *testing.T) {
	t.Parallel()
	// At 00:01 on 29 October 2006 the clocks of St. John's went back to 23:01.
	z := zone(t, "America/St_Johns")
	midnight := utc(t, "2006-10-29T02:30:00Z")
	ends := func(unit calendar.Unit) []string {
		var found []string
		for _, minutes := range []int{-1, 0, 1, 30, 59, 60, 61, 62} {
			end := calendar.Alignment{Unit: unit}.End(midnight.Add(time.Duration(minutes)*time.Minute), z)
			found = append(found, end.In(z).Format("02T15:04Z07:00"))
		}
		return found
	}
	const before, after = "28T00:00-02:30", "29T00:00-02:30"
	if diff := cmp.Diff([]string{before, after, after, after, after, after, after, after}, ends(calendar.UnitDay)); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	want := []string{
		"28T23:00-02:30", "29T00:00-02:30", "28T23:01-03:30", "28T23:01-03:30",
		"28T23:01-03:30", "29T00:00-03:30", "29T00:00-03:30", "29T00:00-03:30",
	}
	if diff := cmp.Diff(want, ends(calendar.UnitHour)); diff != "" {
		t.Errorf("hours (-want +got):\n%s", diff)
	}
}

func TestWindowEndsNeverGoBack(t *testing.T) {
	t.Parallel()
	found := changes(t, allZones(t))
	for i := 0; i < len(found); i += 5 {
		c := found[i]
		for _, a := range []calendar.Alignment{
			{Unit: "hour"}, {Unit: "hour", Shift: -1}, {Unit: "day"}, {Unit: "day", Shift: 1}, {Unit: "week"}, {Unit: "month", Shift: -1},
		} {
			var ends []time.Time
			for at := c.at.Add(-26 * time.Hour); at.Before(c.at.Add(26 * time.Hour)); at = at.Add(29 * time.Minute) {
				end := a.End(at, c.zone)
				if a.Shift <= 0 && end.After(at) {
					t.Errorf("%s in %s: the window due %s ends later, at %s", a, c.zone, at, end)
				}
				ends = append(ends, end)
			}
			if !slices.IsSortedFunc(ends, time.Time.Compare) {
				t.Errorf("%s in %s around %s: ends go back: %s", a, c.zone, c.at, list(ends))
			}
		}
	}
}
