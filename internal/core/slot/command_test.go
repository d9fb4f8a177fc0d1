package slot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the same zone data on every machine

	"github.com/cockroachdb/datadriven"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/slot"
)

// world is a pipeline and its ledger, driven by the command files in testdata:
//
//	pipeline    sets schedule and policies from the lines below it; again: an edit
//	at TIME     moves the clock to a local time and decides
//	end RUN...  ends runs, named by their due times, and decides; "all" ends all
//	pause, resume, hold REASON, release
//	broken WHY  the files are broken, and the live project cannot have the pipeline
//	removed     the pipeline was taken out of the project; mended: it is there as it was
//	stuck DUE   its run cannot go on; lines below: deadline and look-back
//	skip DUE    a person skips a slot
//	run         a person starts a run without naming a window
//	slots       lists the ledger
//
// Times are local, in the zone of the pipeline; a date alone is its midnight.
type world struct {
	pipeline slot.Pipeline
	now      time.Time
	rows     map[int64]slot.Slot
	away     bool   // the live project does not have the pipeline
	broken   string // because its files are so
}

func TestCommandFilesSayWhatBecomesOfSlots(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Parallel()
		w := &world{rows: map[int64]slot.Slot{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			return w.do(t, d)
		})
	})
}

func (w *world) do(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var words []string
	for _, arg := range d.CmdArgs {
		words = append(words, arg.Key)
	}
	switch d.Cmd {
	case "pipeline":
		w.configure(t, d)
		return w.pipeline.Timetable.String()
	case "at":
		w.now = w.moment(t, words[0])
	case "end":
		w.pipeline.Running = slices.DeleteFunc(w.pipeline.Running, func(r slot.Run) bool {
			return words[0] == "all" || slices.ContainsFunc(words, func(word string) bool {
				return r.ID == w.moment(t, word).Format(time.RFC3339)
			})
		})
	case "pause":
		w.pipeline.Paused = true
	case "resume":
		w.pipeline.Paused = false
	case "hold":
		w.pipeline.Hold = strings.Join(words, " ")
	case "release":
		w.pipeline.Hold = ""
	case "broken":
		w.away, w.broken = true, strings.Join(words, " ")
	case "removed":
		w.away, w.broken = true, ""
	case "mended":
		w.away = false
	case "stuck":
		return w.stuck(t, d, w.moment(t, words[0]))
	case "skip":
		decision, err := slot.Skip(w.pipeline, w.moment(t, words[0]), "by a person")
		if err != nil {
			return "error: " + err.Error()
		}
		w.store(decision)
	case "run":
		return w.manual()
	case "slots":
		return w.list()
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return w.decide(t)
}

func (w *world) moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := calendar.ParseMoment(text, w.pipeline.Timetable.Zone())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (w *world) configure(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	settings := map[string]string{"zone": "UTC"}
	for line := range strings.Lines(d.Input) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		settings[name] = value
	}
	zone, err := time.LoadLocation(settings["zone"])
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	must := func(err error) {
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	timetable := calendar.Timetable{Schedule: calendar.NewNone(zone)}
	for name, target := range map[string]*time.Time{"start": &timetable.Start, "end": &timetable.End} {
		if text := settings[name]; text != "" {
			*target, err = calendar.ParseMoment(text, zone)
			must(err)
		}
	}
	policy := slot.Policy{Missed: slot.MissedPolicy(settings["missed"]), Overlap: slot.OverlapPolicy(settings["overlap"])}
	if text := settings["look-back"]; text != "" {
		policy.LookBack, err = calendar.ParseDuration(text)
		must(err)
	}
	if text := settings["cron"]; text != "" {
		timetable.Schedule, err = calendar.ParseCron(text, zone)
		must(err)
	}
	if text := settings["every"]; text != "" {
		period, err := calendar.ParseDuration(text)
		must(err)
		timetable.Schedule, err = calendar.NewEvery(period, timetable.Start, zone)
		must(err)
	}
	if text := settings["window"]; text != "" {
		_, err := fmt.Sscanf(text+" 0", "%s %d", &timetable.Alignment.Unit, &timetable.Alignment.Shift)
		must(err)
	}
	must(timetable.Check())
	must(policy.Validate())
	w.pipeline.Timetable, w.pipeline.Policy, w.pipeline.Delay = timetable, policy, 0
	if text := settings["delay"]; text != "" {
		w.pipeline.Delay, err = calendar.ParseDuration(text)
		must(err)
	}
}

// store writes a decision down.
func (w *world) store(d slot.Decision) {
	for _, s := range d.Write {
		w.rows[s.Due.UnixMicro()] = s
	}
	w.pipeline = w.pipeline.After(d)
}

// decide plans, stores and shows, until nothing is left to do at once.
func (w *world) decide(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for {
		d := w.plan()
		w.store(d)
		for _, c := range d.Cancel {
			at, err := time.Parse(time.RFC3339, c.Run)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "cancel the run due %s: %s\n", w.at(at), c.Reason)
		}
		for _, s := range d.Write {
			out.WriteString(w.line(s))
		}
		for _, s := range d.Missed {
			fmt.Fprintf(&out, "incident: the slot due %s was missed\n", w.at(s.Due))
		}
		if !d.Wake.Equal(w.now) {
			if again := w.plan(); len(again.Write)+len(again.Cancel) > 0 {
				t.Errorf("deciding again at %s writes %v and cancels %v", w.now, again.Write, again.Cancel)
			}
			break
		}
		out.WriteString("(decides again at once)\n")
	}
	if out.Len() == 0 {
		return "nothing changes"
	}
	return out.String()
}

func (w *world) plan() slot.Decision {
	if w.away {
		return slot.Strand(w.pipeline, w.now, w.broken)
	}
	return slot.Plan(w.pipeline, w.now)
}

// stuck judges a slot whose run cannot go on.
func (w *world) stuck(t *testing.T, d *datadriven.TestData, due time.Time) string {
	t.Helper()
	settings := map[string]time.Duration{}
	for line := range strings.Lines(d.Input) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		length, err := calendar.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		settings[name] = length
	}
	s, ok := w.rows[due.UnixMicro()]
	if !ok {
		return "error: no such slot"
	}
	after, givenUp := slot.Stuck(s, "waits until raw.orders covers it", settings["deadline"], settings["look-back"], w.now)
	w.rows[due.UnixMicro()] = after
	text := w.line(after)
	if givenUp {
		text += "its run is cancelled\n"
	}
	return text
}

func (w *world) line(s slot.Slot) string {
	due := w.at(s.Due)
	if !s.First.IsZero() {
		due = w.at(s.First) + " to " + due
	}
	text := s.String()
	if s.State == slot.Merged {
		text = "merged into " + w.at(s.Into)
	}
	return fmt.Sprintf("%s [%s, %s) %s\n", due, w.at(s.Window.Start), w.at(s.Window.End), text)
}

// at writes a moment in local time, midnight as the date alone.
func (w *world) at(t time.Time) string {
	local := t.In(w.pipeline.Timetable.Zone())
	if local.Hour() == 0 && local.Minute() == 0 && local.Second() == 0 {
		return local.Format("2006-01-02")
	}
	return local.Format("2006-01-02T15:04")
}

func (w *world) list() string {
	var out strings.Builder
	for _, s := range w.sorted() {
		out.WriteString(w.line(s))
	}
	fmt.Fprintf(&out, "mark %s\n", w.at(w.pipeline.Mark))
	return out.String()
}

func (w *world) sorted() []slot.Slot {
	var rows []slot.Slot
	for _, s := range w.rows {
		rows = append(rows, s)
	}
	slices.SortFunc(rows, func(a, b slot.Slot) int { return a.Due.Compare(b.Due) })
	return rows
}

func (w *world) manual() string {
	window, moves, err := slot.ManualWindow(w.pipeline, w.now)
	if err != nil {
		return "error: " + err.Error()
	}
	text := fmt.Sprintf("[%s, %s), the mark stays", w.at(window.Start), w.at(window.End))
	if moves {
		w.pipeline.Mark = window.End
		text = strings.Replace(text, "stays", "moves", 1)
	}
	return text
}
