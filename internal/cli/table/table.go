// Package table lays out what the API answers about runs and backfills as tables:
// rows for people, values for programs.
//
// It asks nobody anything, and says nothing beside the tables.
package table

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/api"
	"github.com/tidemill/tidemill/internal/cli/output"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// Runs is a list of runs.
func Runs(runs []api.Run, zone *time.Location) output.Table {
	t := output.Table{Columns: []string{"run", "pipeline", "window", "kind", "state", "began", "took"}, Values: runs}
	for _, r := range runs {
		took := ""
		if !r.Began.IsZero() {
			end := r.Ended
			if end.IsZero() {
				end = time.Now()
			}
			took = output.Duration(end.Sub(r.Began))
		}
		t.Rows = append(t.Rows, []string{r.ID, r.Pipeline, r.Window.Text(zone), r.Kind, string(r.State), moment(r.Began, zone), took})
	}
	return t
}

// RolledRuns is a list of runs in which a backfill is one line, which says how many runs it has.
func RolledRuns(runs []api.Run, zone *time.Location) output.Table {
	t := Runs(runs, zone)
	t.Columns = append(t.Columns, "runs")
	for i, r := range runs {
		count := ""
		if all := total(r.Runs); all > 0 {
			count = fmt.Sprint(all)
			if bad := r.Runs[run.Failed]; bad > 0 {
				count += fmt.Sprintf(", %d failed", bad)
			}
		}
		t.Rows[i] = append(t.Rows[i], count)
	}
	return t
}

// Tasks is a run, task by task.
func Tasks(r api.Run) output.Table {
	t := output.Table{Columns: []string{"task", "state", "attempt", "rows", "quarantined", "took", "reason"}, Values: r}
	for _, one := range r.Tasks {
		var rows, quarantined int64
		published := false
		for _, a := range one.Attempts {
			for _, receipt := range a.Receipts {
				for _, c := range receipt.Tables {
					rows, quarantined, published = rows+c.Evidence.Staged, quarantined+c.Evidence.Quarantined, true
				}
			}
		}
		took, counts, bad := "", "", ""
		if !one.Ended.IsZero() && !one.Began.IsZero() {
			took = output.Duration(one.Ended.Sub(one.Began))
		}
		if published {
			counts = output.Number(rows)
		}
		if quarantined > 0 {
			bad = output.Number(quarantined)
		}
		t.Rows = append(t.Rows, []string{one.Name, string(one.State), fmt.Sprint(one.Attempt), counts, bad, took, one.Reason})
	}
	return t
}

// Backfills is a list of backfills.
func Backfills(list []api.Backfill, zone *time.Location) output.Table {
	t := output.Table{Columns: []string{"backfill", "pipeline", "range", "state", "succeeded", "failed", "open"}, Values: list}
	for _, b := range list {
		state := string(b.State)
		if b.Paused {
			state = "paused"
		}
		t.Rows = append(t.Rows, []string{
			b.ID, b.Pipeline, b.Range.Text(zone), state,
			fmt.Sprint(b.Runs[run.Succeeded]), fmt.Sprint(b.Runs[run.Failed]), fmt.Sprint(b.Runs[run.Queued] + b.Runs[run.Running]),
		})
	}
	return t
}

// Backfill is one backfill with all that is known of it; now says what it waits for,
// or how it ended.
func Backfill(b api.Backfill, now api.Why, zone *time.Location) output.Table {
	t := output.Table{Columns: []string{"what", "is"}, Values: b}
	add := func(what, format string, args ...any) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprintf(format, args...)})
	}
	add("backfill", "%s", b.ID)
	add("pipeline", "%s", b.Pipeline)
	cut := "the schedule's windows"
	if b.Chunk != "" {
		cut = "cut by " + b.Chunk
	}
	add("range", "%s, %s", b.Range.Text(zone), cut)
	add("order", "%s first, %d at a time", b.Direction, b.Concurrency)
	add("reprocess", "%s", b.Reprocess)
	state := string(b.State)
	if b.Paused {
		state = "paused by " + b.PausedBy
	}
	if b.Note != "" {
		state += ": " + b.Note
	}
	add("state", "%s", state)
	all := total(b.Runs)
	var parts []string
	for _, state := range []run.State{run.Succeeded, run.Failed, run.Cancelled, run.Running, run.Queued} {
		if n := b.Runs[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	add("windows", "%d of %d done: %s", all-b.Runs[run.Queued]-b.Runs[run.Running], all, strings.Join(parts, ", "))
	add("started", "%s by %s", moment(b.Created, zone), b.By)
	if !b.Ended.IsZero() {
		add("took", "%s", output.Duration(b.Ended.Sub(b.Created)))
	}
	for _, r := range now.Reasons {
		text := r.Text
		if r.Next != "" {
			text += "; " + r.Next
		}
		add("why", "%s", text)
		if b.State.Terminal() {
			break // the failed windows follow
		}
	}
	for _, f := range b.Failed {
		add("failed", "%s: %s: %s (run %s)", f.Window.Text(zone), f.Task, f.Reason, f.Run)
	}
	if more := b.Runs[run.Failed] - len(b.Failed); more > 0 {
		add("failed", "and %d more: tidemill runs --backfill %s --state failed", more, b.ID)
	}
	return t
}

// Plan is what a backfill would do, window by window.
func Plan(b api.Backfill) output.Table {
	t := output.Table{Columns: []string{"start", "end", "would", "why", "run"}, Values: b}
	windows := slices.Clone(b.Plan)
	if b.Direction == slot.NewestFirst {
		slices.Reverse(windows)
	}
	for _, w := range windows {
		would, reason := "run", w.Reason
		switch {
		case !w.Runs:
			would = "be left out"
		case w.Refused != "":
			would, reason = "fail", w.Refused
		}
		t.Rows = append(t.Rows, []string{w.Window.Start.Format(time.RFC3339), w.Window.End.Format(time.RFC3339), would, reason, w.Run})
	}
	return t
}

// Counts says how many windows of a backfill run, and how many do not, by reason.
func Counts(b api.Backfill, verb string) string {
	chosen, left := total(b.Chosen), total(b.LeftOut)
	text := fmt.Sprintf("%d of %d windows %s", chosen, chosen+left, verb) + reasons(b.Chosen)
	if left > 0 {
		text += fmt.Sprintf("; %d left out", left) + reasons(b.LeftOut)
	}
	return text
}

func reasons(counts map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func total[K comparable](counts map[K]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func moment(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}
