// Package why makes the sentences that say why something waits, or how it ended.
//
// The same text goes to the command line, the API and the UI. The functions are
// given facts by whoever decides, and make words of them; they decide nothing.
package why

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// Reason is one thing that holds something back.
type Reason struct {
	Text  string
	Since time.Time
	Next  string // what to do, or when it goes on by itself
}

// Upstream says: the task waits for others of its run.
func Upstream(names []string, since time.Time) Reason {
	return Reason{
		Text: fmt.Sprintf("waits for %s of the same run", list(names)), Since: since,
		Next: "starts by itself when they have ended well",
	}
}

// Window says: the task waits until another pipeline's table covers a window.
func Window(table string, w calendar.Window, zone *time.Location, producer string, since time.Time) Reason {
	next := "nobody in the live project writes the table; give it a writer, or say wait: none"
	if producer != "" {
		next = fmt.Sprintf("starts by itself when %s has published it; look at: tidemill why %s", producer, producer)
	}
	return Reason{Text: fmt.Sprintf("waits until %s covers %s", table, w.Text(zone)), Since: since, Next: next}
}

// Previous says: the task waits until an earlier window of its own has ended well.
func Previous(task string, w calendar.Window, zone *time.Location, since time.Time) Reason {
	return Reason{
		Text: fmt.Sprintf("waits until %s has succeeded for the window %s (after_previous)", task, w.Text(zone)), Since: since,
		Next: "starts by itself then; if that run failed, run it again",
	}
}

// Turn says: the run waits for earlier runs of its pipeline.
func Turn(running []string, since time.Time) Reason {
	return Reason{
		Text: fmt.Sprintf("waits its turn behind %s", list(running)), Since: since,
		Next: "starts by itself when the earlier run has ended (overlap: queue)",
	}
}

// Worker says: the task is ready and no worker has taken it.
func Worker(workers, slots, busy int, since time.Time) Reason {
	r := Reason{Since: since, Next: "starts by itself when a slot is free"}
	switch {
	case workers == 0:
		r.Text, r.Next = "is ready, and no worker is connected", "the server starts its home worker by itself; look at its log if that takes more than seconds"
	case busy >= slots:
		r.Text = fmt.Sprintf("is ready, and all %d slots of %d worker(s) are taken", slots, workers)
	default:
		r.Text, r.Next = "is ready and is being handed to a worker", "starts within moments"
	}
	return r
}

// Limit says: something of which there is only so much is taken. Holders are those
// that hold it, RUN/TASK each.
func Limit(words string, capacity int, holders []string, since time.Time) Reason {
	text := fmt.Sprintf("waits for %s, of which there is %d", words, capacity)
	const most = 3
	switch n := len(holders); {
	case n == 0:
		text += ", and others stand before it"
	case n > most:
		text += fmt.Sprintf("; it is held by %s and %d more", strings.Join(holders[:most], ", "), n-most)
	default:
		text += "; it is held by " + strings.Join(holders, ", ")
	}
	return Reason{Text: text, Since: since, Next: "starts by itself when enough of it is given back"}
}

// Backoff says: the task rests between attempts.
func Backoff(reason string, until time.Time, zone *time.Location) Reason {
	return Reason{Text: "rests after " + reason, Next: "tries again by itself at " + moment(until, zone)}
}

// Closing says: the task's publish key is being closed.
func Closing() Reason {
	return Reason{Text: "is being closed in its store, because an attempt of it may still have been publishing", Next: "ends by itself"}
}

// Paused says: the pipeline, or what is named, is paused, and which command resumes it.
func Paused(what, resume, by, note string, since time.Time) Reason {
	text := strings.TrimSpace(what + " is paused")
	if by != "" {
		text += " by " + by
	}
	if note != "" {
		text += ": " + note
	}
	return Reason{Text: text, Since: since, Next: "goes on after: tidemill " + resume}
}

// NotDue says: the next slot has not come, or has and its start is spread.
func NotDue(due time.Time, w calendar.Window, spread time.Duration, zone *time.Location) Reason {
	r := Reason{Text: fmt.Sprintf("is next due at %s, for the window %s", moment(due, zone), w.Text(zone)), Next: "starts by itself then"}
	if spread > 0 {
		r.Next = Starts(due, spread, zone)
	}
	return r
}

// Starts says when a slot starts whose start is spread.
func Starts(due time.Time, spread time.Duration, zone *time.Location) string {
	return fmt.Sprintf("starts by itself at %s, spread by %s", moment(due.Add(spread), zone), spread)
}

// NoSchedule says: nobody but a person starts it.
func NoSchedule(pipeline string) Reason {
	return Reason{Text: "has no schedule", Next: "starts with: tidemill run " + pipeline}
}

// Broken says: the pipeline's files have errors, the first of which is said; kept
// says that there is an older version of it that is good.
func Broken(errors string, kept bool) Reason {
	next := "mend it and look again with: tidemill check; the last good version runs on meanwhile"
	if !kept {
		next = "mend it and look again with: tidemill check; it has no good version and cannot run"
	}
	return Reason{Text: "is broken: " + errors, Next: next}
}

// Incident says: something is wrong with it, and was told to people.
func Incident(id, kind, task, summary string, since time.Time) Reason {
	if task != "" {
		summary = task + ": " + summary
	}
	return Reason{
		Text: fmt.Sprintf("has the open incident %s (%s): %s", id, strings.ReplaceAll(kind, "_", " "), summary), Since: since,
		Next: "resolved by the next success for the same window",
	}
}

// Ended says: how something ended.
func Ended(state, reason string, at time.Time, next string) Reason {
	text := "ended " + state
	if reason != "" {
		text += ": " + reason
	}
	return Reason{Text: text, Since: at, Next: next}
}

// Running says: it runs.
func Running(attempt int, since time.Time) Reason {
	return Reason{Text: fmt.Sprintf("is running, attempt %d", attempt), Since: since}
}

// Fill is what is known of a backfill.
type Fill struct {
	ID, Pipeline, Chunk                           string
	Zone                                          *time.Location
	State                                         string
	Newest                                        bool
	Concurrency                                   int
	Queued, Running, Succeeded, Failed, Cancelled int
}

// FillGoesOn says how far a backfill is, and what its windows wait for.
func FillGoesOn(f Fill, paused bool, since time.Time) Reason {
	all := f.Queued + f.Running + f.Succeeded + f.Failed + f.Cancelled
	text := fmt.Sprintf("has done %d of %d windows", all-f.Queued-f.Running, all)
	if f.Failed > 0 {
		text += fmt.Sprintf(", %d failed", f.Failed)
	}
	if f.Running > 0 {
		text += fmt.Sprintf("; %d going on", f.Running)
	}
	r := Reason{Text: text, Since: since}
	if f.Queued > 0 && !paused {
		first := "oldest"
		if f.Newest {
			first = "newest"
		}
		r.Text += fmt.Sprintf("; %d waiting their turn", f.Queued)
		r.Next = fmt.Sprintf("start by themselves, the %s first, %d at a time (--concurrency)", first, f.Concurrency)
	}
	return r
}

// FillEnded says how a backfill ended.
func FillEnded(f Fill, within calendar.Window, at time.Time) Reason {
	all := f.Succeeded + f.Failed + f.Cancelled
	if f.Succeeded == all {
		return Ended("well", fmt.Sprintf("%d windows", all), at, "")
	}
	again := fmt.Sprintf("run again what did not end well: tidemill backfill %s --from %s --to %s --reprocess failed",
		f.Pipeline, within.Start.UTC().Format(time.RFC3339), within.End.UTC().Format(time.RFC3339))
	if f.Chunk != "" {
		again += " --chunk " + f.Chunk
	}
	var parts []string
	for _, one := range []struct {
		n    int
		text string
	}{{f.Failed, "failed"}, {f.Cancelled, "were cancelled"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d windows %s", one.n, all, one.text))
		}
	}
	return Ended(f.State, strings.Join(parts, ", "), at, again)
}

// FailedWindow says what was wrong with a window of a backfill.
func FailedWindow(w calendar.Window, zone *time.Location, run, task, reason string) Reason {
	return Reason{Text: fmt.Sprintf("window %s failed: %s: %s", w.Text(zone), task, reason), Next: "look: tidemill logs " + run + "   again: tidemill rerun " + run}
}

// moment is an instant as people read it in a zone.
func moment(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

func list(names []string) string {
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
