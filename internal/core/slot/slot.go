package slot

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
)

// State is what has become of a slot.
type State string

// The states. The last five are ends.
const (
	Expected State = "expected" // not yet due
	Queued   State = "queued"   // due, waits for earlier windows of its pipeline
	Held     State = "held"     // due, may not start: its pipeline is paused, held or broken
	Ran      State = "ran"      // became a run
	Merged   State = "merged"   // its window went into the run of another slot
	Skipped  State = "skipped"  // a rule or a person said no
	Missed   State = "missed"   // nobody was there, and it is not made up
	Blocked  State = "blocked"  // its pipeline stayed broken, or what its run reads did not come in time
)

// Final says whether the state never changes again, but for slots that ended
// because the pipeline was paused: a resume judges those once more. One whose run
// is blocked has ran after all, should the run go on.
func (s State) Final() bool {
	switch s {
	case Ran, Merged, Skipped, Missed, Blocked:
		return true
	case Expected, Queued, Held:
	}
	return false
}

// Reasons that the ledger looks for.
const (
	// ReasonPaused marks slots that a resume will judge. Once judged they have another reason.
	ReasonPaused = "paused"
	// ReasonScheduleChanged marks slots that gave their window back.
	ReasonScheduleChanged = "schedule changed"
	// ReasonRemoved marks expected slots of pipelines that left the project. They gave their window back.
	ReasonRemoved = "removed from the project"
	// ReasonBroken begins the reason of slots that are held, or were blocked, because
	// the live project cannot have their pipeline.
	ReasonBroken = "the pipeline is broken"
)

// Slot is one expected run.
type Slot struct {
	Due      time.Time       // identifies the slot within its pipeline
	First    time.Time       // set where one record stands for several due times: the first of them
	Window   calendar.Window // what its run is for
	State    State
	Reason   string    // why it is in this state, for people; empty where that goes without saying
	Into     time.Time // due time of the slot that took its window; only when merged
	Schedule string    // calendar.Timetable.String of the timetable that made it
}

// String says the state with its reason, as in "skipped: paused" or "merged into 2026-05-04T06:00:00Z".
func (s Slot) String() string {
	switch {
	case s.State == Merged:
		return "merged into " + s.Into.UTC().Format(time.RFC3339)
	case s.Reason == "":
		return string(s.State)
	}
	return string(s.State) + ": " + s.Reason
}

// OwnsWindow says whether the slot's window is its own and settled, so that
// backfills can reuse it: not while it is expected, and not once it has been
// given back or merged away.
func (s Slot) OwnsWindow() bool {
	return s.State != Expected && s.State != Merged && (s.State != Skipped || s.Reason != ReasonScheduleChanged && s.Reason != ReasonRemoved)
}

// MissedPolicy says what becomes of slots that came due while nobody was there.
type MissedPolicy string

// The policies for missed slots.
const (
	MissedAll    MissedPolicy = "all"    // each gets its run
	MissedLatest MissedPolicy = "latest" // the newest gets its run
	MissedMerge  MissedPolicy = "merge"  // one run whose window covers them
	MissedNone   MissedPolicy = "none"   // none gets a run
)

// OverlapPolicy says what happens when a slot comes due while an earlier run is still going.
type OverlapPolicy string

// The policies for overlapping runs.
const (
	OverlapSkip     OverlapPolicy = "skip"      // the new slot is skipped
	OverlapQueue    OverlapPolicy = "queue"     // it waits, however many do, in window order
	OverlapQueueAll OverlapPolicy = "queue_all" // the same as queue, for those who look for the word
	OverlapCancel   OverlapPolicy = "cancel"    // the earlier run is cancelled, the new one follows when it has ended
	OverlapAllow    OverlapPolicy = "allow"     // both run
)

const (
	// DefaultLookBack is how far back missed slots are made up.
	DefaultLookBack = 7 * 24 * time.Hour
	// Grace is how late a slot may be noticed and still count as on time.
	Grace = time.Minute
	// Limit bounds how many slots one decision writes down one by one.
	Limit = 1000
)

// Policy holds a pipeline's answers to missed and overlapping slots. The zero
// value means the defaults: all, seven days, queue.
type Policy struct {
	Missed   MissedPolicy
	LookBack time.Duration
	Overlap  OverlapPolicy
}

// withDefaults fills in what was left empty.
func (p Policy) withDefaults() Policy {
	if p.Missed == "" {
		p.Missed = MissedAll
	}
	if p.LookBack <= 0 {
		p.LookBack = DefaultLookBack
	}
	if p.Overlap == "" || p.Overlap == OverlapQueueAll {
		p.Overlap = OverlapQueue
	}
	return p
}

// Validate refuses policies that do not exist.
func (p Policy) Validate() error {
	switch p.Missed {
	case "", MissedAll, MissedLatest, MissedMerge, MissedNone:
	default:
		return fmt.Errorf("missed %q is not known: write all, latest, merge or none", p.Missed)
	}
	switch p.Overlap {
	case "", OverlapSkip, OverlapQueue, OverlapQueueAll, OverlapCancel, OverlapAllow:
	default:
		return fmt.Errorf("overlap %q is not known: write queue, queue_all, skip, cancel or allow", p.Overlap)
	}
	if p.LookBack < 0 {
		return fmt.Errorf("a look-back of %s lies in the future", p.LookBack)
	}
	return nil
}

// Run is a run that the overlap policy takes into account.
type Run struct {
	ID         string
	Window     calendar.Window
	Cancelling bool // it has been told to end and has not ended yet
}

// Pipeline is what a decision rests on: what files say, and what the ledger knows.
type Pipeline struct {
	Timetable calendar.Timetable
	Policy    Policy
	Paused    bool
	Hold      string        // why nothing may start, for people; empty when it may
	Delay     time.Duration // how long after due its slots start: see Spread

	Known     string          // Decision.Known of the last decision; empty at first sight
	Seen      time.Time       // due times up to here have been dealt with
	Mark      time.Time       // where the newest slot's window ended; zero before the first
	Newest    calendar.Window // window of the newest slot that has come due; zero before the first
	Future    Slot            // the expected slot; zero if there is none
	Waiting   []Slot          // queued and held slots
	Suspended []Slot          // slots that ended with ReasonPaused
	Running   []Run           // unfinished runs of slots
}

// Cancellation asks for the end of a run.
type Cancellation struct {
	Run    string
	Reason string
}

// Decision is what must be written and done, together. Its zero Write, Start
// and Cancel mean that only Known, Seen and Mark may have changed.
type Decision struct {
	Write  []Slot         // rows to insert or replace, by due time; earliest first
	Start  []Slot         // those of Write that become runs now, in window order
	Cancel []Cancellation // runs to end
	Missed []Slot         // those of Write that somebody could expect, and must hear of
	Known  string         // identity of the timetable that decided
	Seen   time.Time
	Mark   time.Time
	Newest calendar.Window
	Wake   time.Time // when to decide again at the latest; zero: only after an event
}

// After returns the pipeline once a decision has been written. Started slots
// appear as runs named by their due times.
func (p Pipeline) After(d Decision) Pipeline {
	waiting, suspended := dropWritten(p.Waiting, d.Write), dropWritten(p.Suspended, d.Write)
	for _, s := range d.Write {
		if s.Due.Equal(p.Future.Due) {
			p.Future = Slot{}
		}
		switch {
		case s.State == Queued || s.State == Held:
			waiting = append(waiting, s)
		case s.State == Skipped && s.Reason == ReasonPaused:
			suspended = append(suspended, s)
		}
	}
	for _, s := range d.Write {
		if s.State == Expected {
			p.Future = s
		}
	}
	running := make([]Run, 0, len(p.Running)+len(d.Start))
	for _, r := range p.Running {
		for _, c := range d.Cancel {
			r.Cancelling = r.Cancelling || c.Run == r.ID
		}
		running = append(running, r)
	}
	for _, s := range d.Start {
		running = append(running, Run{ID: s.Due.UTC().Format(time.RFC3339), Window: s.Window})
	}
	p.Waiting, p.Suspended, p.Running = waiting, suspended, running
	p.Known, p.Seen, p.Mark, p.Newest = d.Known, d.Seen, d.Mark, d.Newest
	return p
}

// dropWritten returns the slots that are not written anew.
func dropWritten(slots, written []Slot) []Slot {
	replaced := make(map[int64]bool, len(written))
	for _, s := range written {
		replaced[key(s.Due)] = true
	}
	kept := make([]Slot, 0, len(slots))
	for _, s := range slots {
		if !replaced[key(s.Due)] {
			kept = append(kept, s)
		}
	}
	return kept
}
