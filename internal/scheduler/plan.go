package scheduler

import (
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/ledger"
)

// Choice narrows a run to some tasks. The zero value takes all.
type Choice struct {
	Tasks []string // these alone, without upstreams and without waiting
	From  string   // this one and what follows from it
}

// Tasks returns the tasks of a run of a pipeline for a window, with what each
// waits for. Due is when the run was due; zero where nobody's clock made it.
func Tasks(p *project.Project, pl *project.Pipeline, window calendar.Window, due time.Time, c Choice) ([]ledger.NewTask, error) {
	chosen, err := choose(pl, c)
	if err != nil {
		return nil, err
	}
	mine, err := pl.Schedule.Timetable()
	if err != nil {
		return nil, fault.New(fault.Internal, "schedule of %s: %w", pl.Name, err)
	}
	tables, err := timetables(p)
	if err != nil {
		return nil, err
	}
	var tasks []ledger.NewTask
	for _, t := range pl.Tasks {
		if !chosen[t.Name] {
			continue
		}
		n := ledger.NewTask{Name: t.Name, When: t.When, RetryIf: t.RetryIf, Retries: t.Retries, Backoff: t.Backoff, Priority: t.Priority}
		needs := p.Needs(pl, &t)
		for _, limit := range slices.Sorted(maps.Keys(needs)) {
			n.Needs = append(n.Needs, ledger.Need{Limit: limit, Amount: needs[limit]})
		}
		for _, up := range t.Upstream {
			if chosen[up] {
				n.Upstream = append(n.Upstream, up)
			}
		}
		if len(c.Tasks) == 0 {
			n.Waits = waits(t, mine, tables, window, due)
		}
		if t.Previous && mine.Scheduled() {
			if before := previous(mine, window); !before.IsZero() {
				n.Waits = append(n.Waits, ledger.Wait{Target: ledger.PreviousTarget(pl.Name, t.Name), Window: before})
			}
		}
		tasks = append(tasks, n)
	}
	return tasks, nil
}

func choose(pl *project.Pipeline, c Choice) (map[string]bool, error) {
	chosen := map[string]bool{}
	for _, name := range slices.Concat(c.Tasks, []string{c.From}) {
		if name == "" {
			continue
		}
		if _, ok := pl.Task(name); !ok {
			return nil, fault.New(fault.NotFound, "pipeline %s has no task %s", pl.Name, name)
		}
		chosen[name] = true
	}
	if len(chosen) == 0 {
		for _, t := range pl.Tasks {
			chosen[t.Name] = true
		}
		return chosen, nil
	}
	for grown := c.From != ""; grown; {
		grown = false
		for _, t := range pl.Tasks {
			if !chosen[t.Name] && slices.ContainsFunc(t.Upstream, func(up string) bool { return chosen[up] }) {
				chosen[t.Name], grown = true, true
			}
		}
	}
	return chosen, nil
}

func timetables(p *project.Project) (map[string]calendar.Timetable, error) {
	out := map[string]calendar.Timetable{}
	for _, pl := range p.Pipelines {
		t, err := pl.Schedule.Timetable()
		if err != nil {
			return nil, fault.New(fault.Internal, "schedule of %s: %w", pl.Name, err)
		}
		out[pl.Name] = t
	}
	return out, nil
}
