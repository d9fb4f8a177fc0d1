package task

import (
	"time"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// files names the files that a move reads for the attempt's window.
func (a *attempt) files(m *project.Move) ([]store.Files, error) {
	template, err := expr.ParseTemplate(m.From)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%q: %w", m.From, err)
	}
	files, err := filesOf(template, a.times, a.grant.Window, func(w calendar.Window) (string, error) {
		values := a.values()
		values.Start, values.End = w.Start, w.End
		return template.Expand(values.Resolve)
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "%q: %w", m.From, err)
	}
	if m.Missing.Policy == "empty" { // what is there counts, be the rest missing
		for i := range files {
			files[i].Optional = true
		}
	}
	return files, nil
}

// filesOf names the files of a window. Files whose names hold one end of a window
// were each made for one window of the schedule, or for one of its units; a window
// may hold several of them: slots that were merged, a wider chunk of a backfill,
// days that the calendar leaves out. All of them are read. Those of days off need
// not be there, and where a window of the schedule is itself several units long,
// it need not have a file for each.
//
// A window of several that begins or ends between two of them is refused: nothing
// says which files are its own.
func filesOf(template expr.Template, times calendar.Timetable, window calendar.Window, name func(calendar.Window) (string, error)) ([]store.Files, error) {
	begins, ends := false, false
	for _, r := range template.References() {
		begins = begins || r.Path[0] == "window" && len(r.Path) > 1 && r.Path[1] != "end"
		ends = ends || r.Path[0] == "window" && len(r.Path) > 1 && r.Path[1] == "end"
	}
	slots, whole := times.BySlot(window)
	pieces := slots
	switch {
	case begins == ends || window.Empty() || !times.Scheduled():
		pieces = []calendar.Window{window}
	case !whole:
		if times.Parted(window) {
			return nil, fault.New(fault.Invalid, "the window %s holds several windows of the schedule and does not begin and end with one: nothing says "+
				"which files are its own, and nothing was read; name one that begins and ends as those of tidemill schedule preview do", window)
		}
		pieces = []calendar.Window{window}
	default:
		units, ok, err := unitsNamed(times, window, name)
		if err != nil {
			return nil, err
		}
		if ok {
			pieces = units
		}
	}
	slotted := make(map[time.Time]time.Time, len(slots))
	for _, w := range slots {
		slotted[w.Start] = w.End
	}
	var files []store.Files
	at := make(map[string]int, len(pieces))
	for _, piece := range pieces {
		glob, err := name(piece)
		if err != nil {
			return nil, err
		}
		day := piece.Start
		if ends {
			day = piece.End.Add(-1)
		}
		optional := len(pieces) > 1 && (!slotted[piece.Start].Equal(piece.End) || !times.Open(day))
		if i, ok := at[glob]; ok {
			files[i].Optional = files[i].Optional && optional
			continue
		}
		at[glob] = len(files)
		files = append(files, store.Files{Glob: glob, Optional: optional})
	}
	return files, nil
}

// unitsNamed cuts a window into the units of its timetable, if files are named by
// these: if none of the window's has the name of one before it or after it.
func unitsNamed(times calendar.Timetable, window calendar.Window, name func(calendar.Window) (string, error)) ([]calendar.Window, bool, error) {
	units, ok := times.ByUnit(window)
	if !ok {
		return nil, false, nil
	}
	n := len(units)
	for _, pair := range [][2]calendar.Window{{units[0], units[1]}, {units[n-2], units[n-1]}} {
		a, err := name(pair[0])
		if err != nil {
			return nil, false, err
		}
		b, err := name(pair[1])
		if err != nil {
			return nil, false, err
		}
		if a == b {
			return nil, false, nil
		}
	}
	return units[1 : n-1], true, nil
}
