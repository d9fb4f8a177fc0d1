package slot_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// anyTimetable draws schedules that come due from every five minutes to every month.
func anyTimetable(t *rapid.T) calendar.Timetable {
	name := rapid.SampledFrom([]string{"UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"}).Draw(t, "zone")
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	choice := rapid.SampledFrom([]struct {
		cron  string
		every time.Duration
		unit  calendar.Unit
	}{
		{cron: "0 * * * *"},
		{cron: "7 * * * *", unit: "hour"},
		{cron: "*/10 * * * *"},
		{cron: "0 6 * * *"},
		{cron: "30 2 * * *", unit: "day"},
		{cron: "0 6 * * MON", unit: "week"},
		{cron: "0 6 * * MON,THU", unit: "day"},
		{cron: "0 1 L * *", unit: "month"},
		{every: 5 * time.Minute},
		{every: 7 * time.Hour},
		{},
	}).Draw(t, "schedule")
	timetable := calendar.Timetable{Schedule: calendar.NewNone(zone)}
	switch {
	case choice.cron != "":
		timetable.Schedule, err = calendar.ParseCron(choice.cron, zone)
	case choice.every > 0:
		timetable.Schedule, err = calendar.NewEvery(choice.every, time.Time{}, zone)
	}
	if err != nil {
		t.Fatal(err)
	}
	if choice.unit != "" {
		timetable.Alignment = calendar.Alignment{Unit: choice.unit, Shift: rapid.IntRange(-1, 1).Draw(t, "shift")}
	}
	return timetable
}

func anyPolicy(t *rapid.T) slot.Policy {
	return slot.Policy{
		Missed:   rapid.SampledFrom([]slot.MissedPolicy{"", slot.MissedAll, slot.MissedLatest, slot.MissedMerge, slot.MissedNone}).Draw(t, "missed"),
		LookBack: rapid.SampledFrom([]time.Duration{0, time.Hour, 3 * 24 * time.Hour}).Draw(t, "look-back"),
		Overlap:  rapid.SampledFrom([]slot.OverlapPolicy{"", slot.OverlapSkip, slot.OverlapQueue, slot.OverlapQueueAll, slot.OverlapCancel, slot.OverlapAllow}).Draw(t, "overlap"),
	}
}

// settle decides until nothing is left to do at once, and checks each decision.
func (w *world) settle(t *rapid.T) {
	for round := 0; ; round++ {
		if round > 200 {
			t.Fatalf("deciding at %s does not come to an end", w.now)
		}
		before := w.pipeline
		d := w.plan()
		w.check(t, before, d)
		w.store(d)
		if !d.Wake.Equal(w.now) {
			if !d.Wake.IsZero() && !d.Wake.After(w.now) {
				t.Fatalf("at %s the next decision is due at %s", w.now, d.Wake)
			}
			break
		}
	}
	if again := w.plan(); len(again.Write)+len(again.Start)+len(again.Cancel) > 0 || !again.Mark.Equal(w.pipeline.Mark) {
		t.Fatalf("deciding again at %s changes things: %+v", w.now, again)
	}
}

func (w *world) check(t *rapid.T, before slot.Pipeline, d slot.Decision) {
	if w.away && len(d.Start) > 0 {
		t.Fatalf("a pipeline that the project does not have starts %v", d.Start)
	}
	edited := before.Known != "" && before.Known != d.Known
	if d.Mark.Before(before.Mark) && !edited {
		t.Fatalf("at %s the mark goes back from %s to %s", w.now, before.Mark, d.Mark)
	}
	if d.Seen.Before(before.Seen) {
		t.Fatalf("what was seen goes back from %s to %s", before.Seen, d.Seen)
	}
	if len(d.Write) > slot.Limit+len(before.Waiting)+len(before.Suspended)+10 {
		t.Fatalf("one decision writes %d rows", len(d.Write))
	}
	for i, s := range d.Write {
		if s.Window.Empty() || i > 0 && !s.Due.After(d.Write[i-1].Due) {
			t.Fatalf("row %d of the decision is %s %s %s", i, s.Due, s.Window, s)
		}
		if s.State == slot.Ran && !slices.ContainsFunc(d.Start, func(o slot.Slot) bool { return o.Due.Equal(s.Due) && o.Window.Equal(s.Window) }) {
			t.Fatalf("%s ran without a start", s.Due)
		}
		if s.State == slot.Merged && s.Into.IsZero() || (s.State == slot.Skipped || s.State == slot.Missed || s.State == slot.Blocked || s.State == slot.Held || s.State == slot.Queued) && s.Reason == "" {
			t.Fatalf("%s does not say why it is %s", s.Due, s.State)
		}
		if old, ok := w.rows[s.Due.UnixMicro()]; ok && old.State.Final() && old.Reason != slot.ReasonPaused && old.Reason != slot.ReasonScheduleChanged && old.Reason != slot.ReasonRemoved {
			t.Fatalf("%s was %s and becomes %s", s.Due, old, s)
		}
	}
	serial := before.Policy.Overlap != slot.OverlapAllow
	if len(d.Start) > 0 && (before.Paused || before.Hold != "") || serial && len(d.Start) > 1 || serial && len(d.Start) == 1 && len(before.Running) > 0 {
		t.Fatalf("%d runs start beside %d, paused %v, hold %q, overlap %q", len(d.Start), len(before.Running), before.Paused, before.Hold, before.Policy.Overlap)
	}
}

// contiguous checks that the windows of all slots, and of runs without a
// schedule, cover the time from the first one to the mark exactly once.
func (w *world) contiguous(t *rapid.T, manual []calendar.Window) {
	windows := slices.Clone(manual)
	expected := 0
	for _, s := range w.rows {
		switch {
		case s.State == slot.Expected:
			expected++
			if !s.Due.Add(w.pipeline.Delay).After(w.now) || !s.Due.Equal(w.pipeline.Future.Due) {
				t.Fatalf("the row due %s is still expected at %s", s.Due, w.now)
			}
			if !w.pipeline.Mark.IsZero() && !s.Window.Start.Equal(w.pipeline.Mark) {
				t.Fatalf("the expected window %s does not begin at the mark %s", s.Window, w.pipeline.Mark)
			}
		case s.OwnsWindow():
			windows = append(windows, s.Window)
		}
	}
	if expected > 1 {
		t.Fatalf("%d slots are expected", expected)
	}
	slices.SortFunc(windows, func(a, b calendar.Window) int { return a.Start.Compare(b.Start) })
	for i, window := range windows {
		if i > 0 && !window.Start.Equal(windows[i-1].End) {
			t.Fatalf("%s does not follow %s", window, windows[i-1])
		}
	}
	if last := len(windows) - 1; last >= 0 && !windows[last].End.Equal(w.pipeline.Mark) {
		t.Fatalf("the newest window is %s, the mark %s", windows[last], w.pipeline.Mark)
	}
	// Nothing that is unfinished is lost.
	for _, s := range w.rows {
		waits := slices.ContainsFunc(w.pipeline.Waiting, func(o slot.Slot) bool { return o.Due.Equal(s.Due) })
		if (s.State == slot.Queued || s.State == slot.Held) != waits {
			t.Fatalf("the slot due %s is %s, but waits: %v", s.Due, s, waits)
		}
	}
}

func TestNoTimeIsDoubledOrDroppedWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{rows: map[int64]slot.Slot{}, now: time.Date(2011, 12, 20, 7, 30, 0, 0, time.UTC)}
		w.pipeline.Timetable, w.pipeline.Policy = anyTimetable(t), anyPolicy(t)
		if age := rapid.SampledFrom([]time.Duration{0, time.Hour, 2 * 24 * time.Hour, 3000 * 24 * time.Hour}).Draw(t, "start"); age > 0 {
			w.pipeline.Timetable.Start = w.now.Add(-age)
		}
		var manual []calendar.Window
		w.settle(t)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			step := rapid.SampledFrom([]string{"time", "time", "time", "wake", "wake", "end", "end", "edit", "policy", "spread", "pause", "away", "hold", "skip", "run"}).Draw(t, "step")
			if w.away && (step == "skip" || step == "run") {
				continue // nobody can: the live project does not have the pipeline
			}
			switch step {
			case "time":
				hours := rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Minute, time.Hour, 5 * time.Hour, 24 * time.Hour, 9 * 24 * time.Hour}).Draw(t, "forward")
				w.now = w.now.Add(hours)
			case "wake":
				if due := w.pipeline.Future.Due; !due.IsZero() {
					w.now = due.Add(w.pipeline.Delay).Add(time.Millisecond)
				}
			case "end":
				w.pipeline.Running = nil
			case "edit":
				w.pipeline.Timetable = anyTimetable(t)
			case "policy":
				w.pipeline.Policy = anyPolicy(t)
			case "spread":
				w.pipeline.Delay = rapid.SampledFrom([]time.Duration{0, time.Second, 17 * time.Minute, 3 * time.Hour}).Draw(t, "delay")
			case "pause":
				w.pipeline.Paused = !w.pipeline.Paused
			case "away":
				w.away, w.broken = !w.away, rapid.SampledFrom([]string{"", "a.yaml:1:1"}).Draw(t, "broken")
			case "hold":
				w.pipeline.Hold = rapid.SampledFrom([]string{"", "held"}).Draw(t, "why")
			case "skip":
				if d, err := slot.Skip(w.pipeline, w.pipeline.Future.Due, "by a person"); err == nil && !w.pipeline.Future.Due.IsZero() {
					w.store(d)
				}
			case "run":
				if window, moves, err := slot.ManualWindow(w.pipeline, w.now); err == nil && moves {
					w.pipeline.Mark = window.End
					manual = append(manual, window)
				}
			}
			w.settle(t)
			w.contiguous(t, manual)
		}
	})
}

func TestADecisionLeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	hourly, err := calendar.ParseCron("0 * * * *", nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 5, 4, 8, 30, 0, 0, time.UTC)
	p := slot.Pipeline{Timetable: calendar.Timetable{Schedule: hourly}, Policy: slot.Policy{Overlap: slot.OverlapCancel}}
	for hour := range 3 {
		p = p.After(slot.Plan(p, start.Add(time.Duration(hour)*time.Hour)))
	}
	waiting, running := slices.Clone(p.Waiting), slices.Clone(p.Running)
	slot.Plan(p, start.Add(3*time.Hour))
	if !slices.Equal(waiting, p.Waiting) || !slices.Equal(running, p.Running) {
		t.Errorf("the decision changed its input: %v %v", p.Waiting, p.Running)
	}
}
