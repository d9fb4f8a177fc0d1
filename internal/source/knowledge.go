package source

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
)

// tooEarly warns of a known time that serving cannot keep (PROTOCOLS §4.4).
func (v *version) tooEarly(t *task, w project.Write) {
	if w.Mode != project.ModeFeature || w.KnownAt == "" || !t.pipeline.out.Schedule.Scheduled() {
		return
	}
	at := w.Place
	if f := t.parsed.Task.Feature; f != nil && f.KnownAt.Given {
		at = f.KnownAt.Place
	} else if b, ok := v.contract(w.Table); ok && b.table != nil {
		at = b.place
	}
	schedule := t.pipeline.out.Schedule.Cron
	if schedule == "" {
		schedule = "every " + t.pipeline.out.Schedule.Every.String()
	}
	v.fail(nil, problem.New(problem.TooEarly, at, "leave known_at out: then a value counts as known when the schedule delivers it",
		"%s counts values as known at %s, but %s delivers them no sooner than its schedule (%s) runs", w.Table, w.KnownAt, t.id, schedule))
}

// skewed warns where a set is scored before values become known that training
// with the same set would see (PROTOCOLS §4.5): scoring joins at the earlier of
// at and now, and its rows have their at within the window.
func (v *version) skewed(t *task) {
	sets := slices.ContainsFunc(t.reads, func(r read) bool { return r.Set != "" })
	if !sets || len(t.models) > 0 { // with models it trains
		return
	}
	scoring, err := t.pipeline.out.Schedule.Timetable()
	if err != nil {
		return
	}
	for _, r := range t.reads {
		s := v.sets[r.Set]
		if s == nil {
			continue
		}
		for _, f := range s.out.Features {
			writer, _ := v.producer(f.Table)
			if f.Table.IsZero() || writer == nil {
				continue
			}
			writing, err := writer.pipeline.out.Schedule.Timetable()
			if err != nil {
				continue
			}
			skew, found := feature.FindSkew(scoring, writing, availableAfter(writer, f.Table))
			if !found {
				continue
			}
			zone := scoring.Zone()
			const layout = "2006-01-02 15:04"
			p := problem.New(problem.Skewed, r.Place, fmt.Sprintf("score after %s, or nearer to %s", writer.id, s.out.At),
				"%s scores rows of %s whose %s lies after its run, and %s becomes known in between: training sees it, this run cannot (due %s, known %s, window until %s)",
				t.id, s.out.Name, s.out.At, f.Table, skew.Run.In(zone).Format(layout), skew.Known.In(zone).Format(layout), skew.Until.In(zone).Format(layout))
			v.fail(nil, p)
			break // one table shows it
		}
	}
}

// availableAfter is how long after its due time a feature table's values are known.
func availableAfter(writer *task, table project.Table) time.Duration {
	for _, w := range writer.out.Writes {
		if w.Table == table {
			return w.AvailableAfter
		}
	}
	return 0
}
