package calendar

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
)

// Holiday is a local date that is no business day, and what people call it.
type Holiday struct {
	Date string `json:"date"` // YYYY-MM-DD
	Name string `json:"name,omitempty"`
}

// Days says which local dates are business days.
type Days struct {
	name     string
	weekend  uint8            // bit 0: Sunday
	holidays map[int64]string // by day counted from 1970-01-01
	digest   string           // of all that it says
}

// NewDays returns the business days of a calendar: all dates but those of the
// weekend and the holidays. The error is a *ParseError: a date that is none, or a
// weekend of seven days.
func NewDays(name string, weekend []time.Weekday, holidays []Holiday) (*Days, error) {
	d := &Days{name: name, holidays: make(map[int64]string, len(holidays))}
	for _, w := range weekend {
		d.weekend |= 1 << w
	}
	if d.weekend == 1<<7-1 {
		return nil, &ParseError{
			Field: FieldCalendar, Text: name, Problem: "every day of the week is a day off",
			Remedy: "Leave at least one weekday out of \"weekend:\".",
		}
	}
	for _, h := range holidays {
		date, err := time.Parse(time.DateOnly, h.Date)
		if err != nil {
			return nil, &ParseError{Field: FieldCalendar, Text: h.Date, Problem: "this is no date", Remedy: "Write a date such as 2026-12-25."}
		}
		day := floorDiv(date.Unix(), secondsPerDay)
		if d.holidays[day] == "" {
			d.holidays[day] = h.Name
		}
	}
	sum := fnv.New64a()
	_, _ = fmt.Fprint(sum, d.weekend) // writing to a hash cannot fail
	for _, day := range slices.Sorted(maps.Keys(d.holidays)) {
		_, _ = fmt.Fprint(sum, " ", day)
	}
	d.digest = fmt.Sprintf("%x", sum.Sum64())
	return d, nil
}

// Name is the calendar's name.
func (d *Days) Name() string { return d.name }

// Equal says whether both leave out the same dates under the same name.
func (d *Days) Equal(o *Days) bool {
	if d == nil || o == nil {
		return d == o
	}
	return d.name == o.name && d.weekend == o.weekend && maps.Equal(d.holidays, o.holidays)
}

func (d *Days) business(day int64) bool {
	_, off := d.holidays[day]
	return !off && d.weekend>>weekdayOf(day)&1 == 0
}

// step returns the first business day from a day on, or back from it. It says
// false where there is none for longer than any calendar closes.
func (d *Days) step(day, direction int64) (int64, bool) {
	for range 2 * 366 {
		if d.business(day) {
			return day, true
		}
		day += direction
	}
	return day, false
}

// why says what makes a day a day off.
func (d *Days) why(day int64) string {
	if name, ok := d.holidays[day]; ok {
		if name == "" {
			return "holiday"
		}
		return name
	}
	return "weekend"
}

// Rule says what becomes of a due time on a day off.
type Rule string

// The rules.
const (
	RuleSkip     Rule = "skip"     // it is not due
	RuleNext     Rule = "next"     // it is due on the next business day, at the same time
	RulePrevious Rule = "previous" // on the one before
)

// Business is a schedule on business days alone. Due times that the rule moves to
// one instant are one.
type Business struct {
	base Schedule
	days *Days
	rule Rule
}

// NewBusiness returns the schedule on the business days of a calendar. Only a
// cron with fixed hours can be moved; the error is a *ParseError.
func NewBusiness(base Schedule, days *Days, rule Rule) (Business, error) {
	fail := func(text, problem, remedy string) (Business, error) {
		return Business{}, &ParseError{Field: FieldCalendar, Text: text, Problem: problem, Remedy: remedy}
	}
	switch rule {
	case RuleSkip:
	case RuleNext, RulePrevious:
		if cron, ok := base.(Cron); !ok || cron.running {
			return fail(string(rule), "only hours that are given as numbers can be moved to another day",
				"Write the hours of \"cron:\" as numbers, or \"shift: skip\".")
		}
	default:
		return fail(string(rule), "this rule is not known", "Write skip, next or previous.")
	}
	if _, ok := base.(None); ok || base == nil {
		return fail(days.name, "there is no schedule that a calendar could hold back", "Add \"cron:\" or \"every:\".")
	}
	return Business{base, days, rule}, nil
}

func (Business) closed() {}

// Zone returns the zone that local dates are about.
func (b Business) Zone() *time.Location { return b.base.Zone() }

// String identifies the schedule.
func (b Business) String() string {
	return fmt.Sprintf("%s on %s %s %s", b.base, b.days.name, b.days.digest, b.rule)
}

// Base is the schedule without the calendar.
func (b Business) Base() Schedule { return b.base }

// Next returns the first due instant strictly after a moment.
func (b Business) Next(after time.Time) (time.Time, bool) { return b.search(after, 1) }

// Prev returns the last due instant strictly before a moment.
func (b Business) Prev(before time.Time) (time.Time, bool) { return b.search(before, -1) }

// closedStretches bounds a search over due times that fall on days off: more of
// them in a row than any calendar has.
const closedStretches = 1000

func (b Business) search(from time.Time, direction int64) (time.Time, bool) {
	if !inRange(from) {
		return time.Time{}, false
	}
	if b.rule == RuleSkip {
		return b.open(from, direction)
	}
	return b.moved(from, direction)
}

// step is the base's next or previous due time.
func (b Business) step(from time.Time, direction int64) (time.Time, bool) {
	if direction > 0 {
		return b.base.Next(from)
	}
	return b.base.Prev(from)
}

// open returns the first due time of the base on a business day.
func (b Business) open(from time.Time, direction int64) (time.Time, bool) {
	for range closedStretches {
		due, ok := b.step(from, direction)
		if !ok {
			return time.Time{}, false
		}
		day := floorDiv(wallOf(b.Zone(), due.Unix()), secondsPerDay)
		if b.days.business(day) {
			return due, true
		}
		open, ok := b.days.step(day, direction)
		if !ok {
			return time.Time{}, false
		}
		// What lies between is off as well. Clocks that go back may show the end of a day twice.
		if direction > 0 {
			from = later(due, instant(reached(b.Zone(), open*secondsPerDay)).Add(-1))
		} else if end := instant(reached(b.Zone(), (open+1)*secondsPerDay)); end.Before(due) {
			from = end
		} else {
			from = due
		}
	}
	return time.Time{}, false
}

// moved looks at one business day after the other: at what is due on it, and at
// what the days off beside it move to it.
func (b Business) moved(from time.Time, direction int64) (time.Time, bool) {
	seconds := secondsUpTo(from)
	if direction < 0 {
		seconds = secondsBefore(from)
	}
	// The peak: every fixed time up to it has been reached, and no later one.
	day, ok := b.days.step(floorDiv(peak(b.Zone(), seconds), secondsPerDay), direction)
	for range closedStretches {
		if !ok {
			return time.Time{}, false
		}
		first, last := b.stretch(day)
		due := b.dueOn(day, first, last)
		if direction > 0 {
			if i := slices.IndexFunc(due, func(t time.Time) bool { return t.After(from) }); i >= 0 {
				return due[i], true
			}
		} else if i := slices.IndexFunc(due, func(t time.Time) bool { return !t.Before(from) }); i != 0 && len(due) > 0 {
			if i < 0 {
				i = len(due)
			}
			return due[i-1], true
		}
		next, found := b.base.Next(b.begin(last + 1).Add(-1))
		if direction < 0 {
			next, found = b.base.Prev(b.begin(first))
		}
		if !found {
			return time.Time{}, false
		}
		day, ok = b.target(floorDiv(wallOf(b.Zone(), next.Unix()), secondsPerDay))
	}
	return time.Time{}, false
}

// begin is the first instant of a local date.
func (b Business) begin(day int64) time.Time { return instant(reached(b.Zone(), day*secondsPerDay)) }

// target is the business day to which the rule moves a date.
func (b Business) target(day int64) (int64, bool) {
	if b.rule == RuleNext {
		return b.days.step(day, 1)
	}
	return b.days.step(day, -1)
}

// stretch returns the dates whose due times come on a business day.
func (b Business) stretch(day int64) (first, last int64) {
	first, last = day, day
	if b.rule == RuleNext {
		for day-first < 2*366 && !b.days.business(first-1) {
			first--
		}
		return first, last
	}
	for last-day < 2*366 && !b.days.business(last+1) {
		last++
	}
	return first, last
}

// dueOn returns the instants of a business day, each once, in order.
func (b Business) dueOn(day, first, last int64) []time.Time {
	var out []time.Time
	end := b.begin(last + 1)
	for at, ok := b.base.Next(b.begin(first).Add(-1)); ok && at.Before(end); at, ok = b.base.Next(at) {
		wall := wallOf(b.Zone(), at.Unix())
		if floorDiv(wall, secondsPerDay) == day {
			out = append(out, at)
		} else {
			out = append(out, instant(reached(b.Zone(), day*secondsPerDay+floorMod(wall, secondsPerDay))))
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.CompactFunc(out, time.Time.Equal)
}

// note says in words what the calendar did between two due times: which dates it
// left out, or moved. It is empty where it did nothing.
func (b Business) note(previous, due time.Time) string {
	seen, words := map[string]bool{}, []string{}
	from, until := floorDiv(wallOf(b.Zone(), previous.Unix()), secondsPerDay), floorDiv(wallOf(b.Zone(), due.Unix()), secondsPerDay)
	if b.rule == RulePrevious { // what is moved to a day lies after it
		from, until = until, until+2*366
	}
	for day := from + 1; day < until; day++ {
		if b.days.business(day) {
			if b.rule == RulePrevious {
				break
			}
			continue
		}
		at, ok := b.base.Next(b.begin(day).Add(-1))
		if !ok || !at.Before(b.begin(day+1)) {
			continue
		}
		if word := b.days.why(day); !seen[word] {
			seen[word], words = true, append(words, word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	what := map[Rule]string{RuleSkip: "not due: ", RuleNext: "moved from: ", RulePrevious: "moved from: "}[b.rule]
	return what + strings.Join(words, ", ")
}
