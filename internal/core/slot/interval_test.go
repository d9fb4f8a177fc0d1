package slot_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// hour returns a moment n hours after a fixed one, in UTC.
func hour(n int) time.Time { return time.Date(2026, 1, 1, n, 0, 0, 0, time.UTC) }

func hours(from, until int) calendar.Window {
	return calendar.Window{Start: hour(from), End: hour(until)}
}

func TestIntervalsAgreeWithCountingHours(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const size = 24
		var set []calendar.Window
		var has [size]bool
		for range rapid.IntRange(0, 12).Draw(t, "count") {
			from := rapid.IntRange(0, size).Draw(t, "from")
			until := rapid.IntRange(0, size).Draw(t, "until")
			before := slices.Clone(set)
			old := set
			set = slot.Add(set, hours(from, until))
			if !slices.Equal(old, before) {
				t.Fatalf("Add changed the set it was given")
			}
			for h := from; h < until; h++ {
				has[h] = true
			}
		}
		for i, w := range set {
			if w.Empty() || i > 0 && !set[i-1].End.Before(w.Start) {
				t.Fatalf("the set is not sorted and apart: %v", set)
			}
		}
		from := rapid.IntRange(0, size).Draw(t, "range from")
		until := rapid.IntRange(0, size).Draw(t, "range until")
		covered := true
		var holes []calendar.Window
		for h := from; h < until; h++ {
			if !has[h] {
				covered = false
				holes = slot.Add(holes, hours(h, h+1))
			}
		}
		if got := slot.Covers(set, hours(from, until)); got != covered {
			t.Fatalf("%v covers %s: %v", set, hours(from, until), got)
		}
		if diff := cmp.Diff(holes, slot.Holes(set, hours(from, until))); diff != "" {
			t.Fatalf("holes of %v in %s (-want +got):\n%s", set, hours(from, until), diff)
		}
	})
}

func daily(t testing.TB, zone string) calendar.Timetable {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	cron, err := calendar.ParseCron("0 6 * * *", location)
	if err != nil {
		t.Fatal(err)
	}
	return calendar.Timetable{Schedule: cron, Alignment: calendar.Alignment{Unit: calendar.UnitDay}}
}

func window(t testing.TB, text string, zone *time.Location) calendar.Window {
	t.Helper()
	w, err := calendar.ParseWindow(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func texts(windows []calendar.Window) []string {
	var found []string
	for _, w := range windows {
		found = append(found, w.String())
	}
	return found
}

func TestABackfillReusesRecordedWindows(t *testing.T) {
	t.Parallel()
	timetable := daily(t, "America/New_York")
	zone := timetable.Zone()
	// A slot of an earlier schedule covered a day and a half.
	recorded := []calendar.Window{
		window(t, "2013-03-09T12:00/2013-03-11", zone),
		window(t, "2013-03-20/2013-03-21", zone), // outside
	}
	got, err := slot.Chunks(timetable, window(t, "2013-03-08T06:00/2013-03-12T12:00", zone), recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2013-03-08T11:00:00Z/2013-03-09T05:00:00Z", // clipped
		"2013-03-09T05:00:00Z/2013-03-09T17:00:00Z",
		"2013-03-09T17:00:00Z/2013-03-11T04:00:00Z", // recorded, over the change of clocks
		"2013-03-11T04:00:00Z/2013-03-12T04:00:00Z",
		"2013-03-12T04:00:00Z/2013-03-12T16:00:00Z",
	}
	if diff := cmp.Diff(want, texts(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABackfillWithoutAScheduleIsOnePiece(t *testing.T) {
	t.Parallel()
	within := window(t, "2013-01-01/2014-01-01", nil)
	got, err := slot.Chunks(calendar.Timetable{Schedule: calendar.NewNone(nil)}, within, nil)
	if err != nil || len(got) != 1 || !got[0].Equal(within) {
		t.Errorf("got %v, %v", texts(got), err)
	}
}

func TestARangeIsCutIntoChunks(t *testing.T) {
	t.Parallel()
	zone := daily(t, "America/New_York").Zone()
	tests := []struct {
		chunk, within string
		want          []string
	}{
		{"month", "2013-01-10/2013-03-15", []string{
			"2013-01-10T05:00:00Z/2013-02-01T05:00:00Z", "2013-02-01T05:00:00Z/2013-03-01T05:00:00Z", "2013-03-01T05:00:00Z/2013-03-15T04:00:00Z",
		}},
		{"week", "2013-01-01/2013-01-15", []string{
			"2013-01-01T05:00:00Z/2013-01-07T05:00:00Z", "2013-01-07T05:00:00Z/2013-01-14T05:00:00Z", "2013-01-14T05:00:00Z/2013-01-15T05:00:00Z",
		}},
		{"day", "2013-03-10/2013-03-12", []string{"2013-03-10T05:00:00Z/2013-03-11T04:00:00Z", "2013-03-11T04:00:00Z/2013-03-12T04:00:00Z"}},
		{"1d", "2013-03-10/2013-03-12", []string{"2013-03-10T05:00:00Z/2013-03-11T05:00:00Z", "2013-03-11T05:00:00Z/2013-03-12T04:00:00Z"}},
		{"30d", "2013-01-01/2013-02-01", []string{"2013-01-01T05:00:00Z/2013-01-31T05:00:00Z", "2013-01-31T05:00:00Z/2013-02-01T05:00:00Z"}},
		{"30d", "2013-01-01/2013-01-02", []string{"2013-01-01T05:00:00Z/2013-01-02T05:00:00Z"}},
	}
	for _, test := range tests {
		chunk, err := slot.ParseChunk(test.chunk)
		if err != nil {
			t.Fatal(err)
		}
		got, err := slot.Cut(window(t, test.within, zone), chunk, zone)
		if diff := cmp.Diff(test.want, texts(got)); err != nil || diff != "" {
			t.Errorf("%s of %s: %v (-want +got):\n%s", test.chunk, test.within, err, diff)
		}
	}
	for _, text := range []string{"", "year", "0s", "-1d", "6"} {
		if _, err := slot.ParseChunk(text); err == nil {
			t.Errorf("the chunk %q was accepted", text)
		}
	}
	_, err := slot.Cut(window(t, "2013-01-01/2014-01-01", zone), slot.Chunk{Length: time.Second}, zone)
	if _, ok := errors.AsType[*slot.TooManyChunksError](err); !ok {
		t.Errorf("a year of seconds was cut: %v", err)
	}
}

func TestChunksCoverTheRangeExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timetable := anyTimetable(t)
		start := rapid.IntRange(0, 200).Draw(t, "start")
		within := hours(start, start+rapid.IntRange(1, 60).Draw(t, "length"))
		var recorded []calendar.Window
		for range rapid.IntRange(0, 5).Draw(t, "recorded") {
			from := rapid.IntRange(0, 250).Draw(t, "from")
			recorded = append(recorded, hours(from, from+rapid.IntRange(1, 30).Draw(t, "hours")))
		}
		got, err := slot.Chunks(timetable, within, recorded)
		if err != nil {
			t.Fatal(err)
		}
		at := within.Start
		for _, w := range got {
			if w.Empty() || !w.Start.Equal(at) {
				t.Fatalf("%s does not begin at %s", w, at)
			}
			at = w.End
		}
		if !at.Equal(within.End) {
			t.Fatalf("the pieces end at %s and not at %s", at, within.End)
		}
	})
}

func TestPoliciesAreChecked(t *testing.T) {
	t.Parallel()
	for policy, valid := range map[slot.Policy]bool{
		{}:                                 true,
		{Missed: "merge", Overlap: "skip"}: true,
		{Missed: "some"}:                   false,
		{Overlap: "never"}:                 false,
		{LookBack: -time.Hour}:             false,
	} {
		if err := policy.Validate(); (err == nil) != valid {
			t.Errorf("%+v: %v", policy, err)
		}
	}
}
