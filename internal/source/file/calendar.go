package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	ical "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"

	"github.com/tidemill/tidemill/internal/core/calendar"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/source/form"
)

// Calendar is calendars/NAME.yaml: which days are no business days.
type Calendar struct {
	form.Mapping
	Weekend  []form.Text `key:"weekend" one:"" one_of:"monday,tuesday,wednesday,thursday,friday,saturday,sunday,none" default:"saturday, sunday" doc:"Days of the week that are off; none for a calendar of holidays alone."`
	Holidays []Holiday   `key:"holidays" doc:"Dates that are off."`
	Include  []form.Text `key:"include" one:"" is:"name" doc:"Further calendars, whose holidays are off as well: of another .yaml or .ics file of this folder."`
}

// Holiday is a date that is off.
type Holiday struct {
	form.Mapping
	Date form.Text `key:"date" short:"" required:"" doc:"The date, such as 2026-12-25."`
	Name form.Text `key:"name" doc:"What people call it; previews show it."`
}

// Days is what a calendar file says, of whichever kind it is.
type Days struct {
	Weekend  []time.Weekday
	Holidays []calendar.Holiday
	Include  []form.Text
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

var defaultWeekend = []time.Weekday{time.Saturday, time.Sunday}

func (p *Parsed) parseCalendar(f *content) {
	if strings.HasSuffix(f.path, ".ics") {
		p.parseHolidays(f)
		return
	}
	var c Calendar
	p.decode(p.yaml(f), f.path, &c)
	p.Days = Days{Weekend: defaultWeekend, Include: c.Include}
	if len(c.Weekend) > 0 {
		p.Days.Weekend = nil
	}
	for _, w := range c.Weekend {
		if at := slices.Index(weekdays, w.V); w.Given && at >= 0 {
			p.Days.Weekend = append(p.Days.Weekend, time.Weekday(at))
		}
	}
	for _, h := range c.Holidays {
		if !h.Date.Given {
			continue
		}
		if _, err := time.Parse(time.DateOnly, h.Date.V); err != nil {
			p.Problems = append(p.Problems, problem.New(problem.BadTime, h.Date.Place, "write a date such as 2026-12-25", "%q is no date", h.Date.V))
			continue
		}
		p.Days.Holidays = append(p.Days.Holidays, calendar.Holiday{Date: h.Date.V, Name: h.Name.V})
	}
}

// What of an iCalendar file is read: rules go on without an end.
const (
	lastYear       = 2099
	mostHolidays   = 20_000
	longestHoliday = 366 // days
	icalDate       = "20060102"
)

// parseHolidays reads an iCalendar file (RFC 5545): each whole day of an event is a holiday.
func (p *Parsed) parseHolidays(f *content) {
	p.Days.Weekend = defaultWeekend
	bad := func(line int, remedy, format string, args ...any) {
		p.Problems = append(p.Problems, problem.New(problem.BadCalendar, problem.Place{File: f.path, Line: line, Column: 1}, remedy, format, args...))
	}
	lines := &lineReader{text: f.data}
	c, err := ical.ParseCalendar(lines)
	if err == nil && !bytes.HasSuffix(bytes.TrimSpace(f.data), []byte("END:VCALENDAR")) {
		err = errors.New("it does not end with END:VCALENDAR")
	}
	if err != nil {
		bad(max(lines.given, 1), "export it as iCalendar again", "the file is not iCalendar: %s", err)
		return
	}
	begins := eventLines(f.data)
	others := replacements(c.Events())
	for n, e := range c.Events() {
		line := 1
		if n < len(begins) {
			line = begins[n]
		}
		days, err := holidays(e, others[e.Id()])
		if err != nil {
			bad(line, "", "the event %q: %s", summary(e), err)
		}
		for _, day := range days {
			p.Days.Holidays = append(p.Days.Holidays, calendar.Holiday{Date: day.Format(time.DateOnly), Name: summary(e)})
		}
		if len(p.Days.Holidays) > mostHolidays {
			bad(line, "give its rule an end (UNTIL or COUNT)", "the file has more than %d days off", mostHolidays)
			return
		}
	}
}

// replacements gives, per event that repeats, the days on which another event
// takes its place: it was moved or cancelled on that day alone (RFC 5545 §3.8.4.4).
func replacements(events []*ical.VEvent) map[string][]*ical.IANAProperty {
	out := map[string][]*ical.IANAProperty{}
	for _, e := range events {
		if instance := e.GetProperty(ical.ComponentPropertyRecurrenceId); instance != nil {
			out[e.Id()] = append(out[e.Id()], instance)
		}
	}
	return out
}

// holidays returns the days of an event but for those on which another takes its
// place. One that has a time of day, or was cancelled, is no day off.
func holidays(e *ical.VEvent, replaced []*ical.IANAProperty) ([]time.Time, error) {
	start := e.GetProperty(ical.ComponentPropertyDtStart)
	switch status := e.GetProperty(ical.ComponentPropertyStatus); {
	case start == nil:
		return nil, errors.New("DTSTART is missing")
	case len(start.Value) != len(icalDate), status != nil && status.Value == string(ical.ObjectStatusCancelled):
		return nil, nil
	}
	from, err := time.Parse(icalDate, start.Value)
	if err != nil {
		return nil, fmt.Errorf("DTSTART: %q is no date", start.Value)
	}
	length := 1
	if end := e.GetProperty(ical.ComponentPropertyDtEnd); end != nil {
		until, err := time.Parse(icalDate, end.Value)
		if err != nil {
			return nil, fmt.Errorf("DTEND: %q is no date", end.Value)
		}
		if length = int(until.Sub(from) / (24 * time.Hour)); length < 1 || length > longestHoliday {
			return nil, errors.New("it does not end after it begins, and within a year")
		}
	}
	if e.GetProperty(ical.ComponentPropertyRecurrenceId) != nil {
		replaced = nil // it is one of those that take the place
	}
	firsts, err := repeated(e, from, replaced)
	var out []time.Time
	for _, first := range firsts {
		for n := range length {
			out = append(out, first.AddDate(0, 0, n))
		}
	}
	return out, err
}

// repeated returns the days on which an event begins: by its rule, with what is
// added to it and left out of it.
func repeated(e *ical.VEvent, from time.Time, without []*ical.IANAProperty) ([]time.Time, error) {
	var set rrule.Set
	set.DTStart(from)
	set.RDate(from)
	if text := e.GetProperty(ical.ComponentPropertyRrule); text != nil {
		option, err := rrule.StrToROption(text.Value)
		if err != nil {
			return nil, fmt.Errorf("RRULE: %w", err)
		}
		if option.Freq > rrule.DAILY || option.Interval < 0 {
			return nil, fmt.Errorf("RRULE: %q repeats more often than daily", text.Value)
		}
		option.Dtstart = from
		if last := time.Date(lastYear, 12, 31, 0, 0, 0, 0, time.UTC); option.Until.IsZero() || option.Until.After(last) {
			option.Until = last
		}
		rule, err := rrule.NewRRule(*option)
		if err != nil {
			return nil, fmt.Errorf("RRULE: %w", err)
		}
		set.RRule(rule)
	}
	for _, change := range []struct {
		days []*ical.IANAProperty
		make func(time.Time)
	}{
		{e.GetProperties(ical.ComponentPropertyRdate), set.RDate},
		{e.GetProperties(ical.ComponentPropertyExdate), set.ExDate},
		{without, set.ExDate},
	} {
		for _, one := range change.days {
			for text := range strings.SplitSeq(one.Value, ",") {
				day, err := time.Parse(icalDate, text[:min(len(text), len(icalDate))])
				if err != nil {
					return nil, fmt.Errorf("%s: %q is no date", one.IANAToken, text)
				}
				change.make(day)
			}
		}
	}
	var out []time.Time
	next := set.Iterator()
	for day, more := next(); more && len(out) <= mostHolidays; day, more = next() {
		out = append(out, day)
	}
	return out, nil
}

func summary(e *ical.VEvent) string {
	text := e.GetProperty(ical.ComponentPropertySummary)
	if text == nil {
		return ""
	}
	return strings.ToValidUTF8(ical.FromText(text.Value), "\uFFFD")
}

// eventLines returns the lines on which events begin.
func eventLines(data []byte) []int {
	var out []int
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	for line := 1; s.Scan(); line++ {
		if strings.EqualFold(strings.TrimSpace(s.Text()), "BEGIN:VEVENT") {
			out = append(out, line)
		}
	}
	return out
}

// lineReader gives one line per call, so that it is known how far a reader came.
type lineReader struct {
	text  []byte
	given int
}

// Read gives the next line, or as much of it as there is room for.
func (l *lineReader) Read(into []byte) (int, error) {
	if len(l.text) == 0 {
		return 0, io.EOF
	}
	n := bytes.IndexByte(l.text, '\n') + 1
	if n == 0 {
		n = len(l.text)
	}
	n = copy(into, l.text[:n])
	if l.text[n-1] == '\n' {
		l.given++
	}
	l.text = l.text[n:]
	return n, nil
}
